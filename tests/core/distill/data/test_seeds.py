"""Seed tasks out of a file."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from core.distill.data.conversation import Message
from core.distill.data.seeds import read_seeds
from core.errors import RequestError


def written(folder: Path, *lines: object) -> Path:
    path = folder / "seeds.jsonl"
    path.write_text("\n".join(line if isinstance(line, str) else json.dumps(line, ensure_ascii=False) for line in lines), encoding="utf-8")
    return path


def test_prompts_and_conversations_in_both_languages(tmp_path: Path) -> None:
    turns = [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Hello"}, {"role": "user", "content": "再见"}]
    path = written(tmp_path, "\ufeff" + json.dumps({"prompt": "Why?", "id": 7}), "", {"prompt": "为什么?", "system": "用中文"}, {"messages": turns})
    assert read_seeds(path) == [
        (Message("user", "Why?"),),
        (Message("system", "用中文"), Message("user", "为什么?")),
        (Message("user", "Hi"), Message("assistant", "Hello"), Message("user", "再见")),
    ]
    assert [seed[0].content for seed in read_seeds(path, "Be brief.")] == ["Be brief.", "用中文", "Be brief."]
    assert len(read_seeds(path, limit=2)) == 2


def test_a_system_message_in_a_conversation_wins(tmp_path: Path) -> None:
    path = written(tmp_path, {"messages": [{"role": "system", "content": "own"}, {"role": "user", "content": "q"}]})
    assert read_seeds(path, "default") == [(Message("system", "own"), Message("user", "q"))]


@pytest.mark.parametrize(
    ("line", "complaint"),
    [
        ("{oops", "not JSON"),
        ("[1]", "not a JSON object"),
        ({}, "either prompt or messages"),
        ({"prompt": "a", "messages": []}, "either prompt or messages"),
        ({"prompt": "  "}, "prompt must be a text"),
        ({"prompt": 3}, "prompt must be a text"),
        ({"prompt": "a", "system": 1}, "system must be a text"),
        ({"messages": []}, "at least one message"),
        ({"messages": [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}]}, "end with a user's message"),
        ({"messages": [{"role": "tool", "content": "a"}]}, "message 1 must have a role"),
        ({"messages": [{"role": "user", "content": ["a"]}]}, "a text as its content"),
        ({"messages": [{"role": "user", "content": "a"}, {"role": "system", "content": "b"}]}, "must be the first"),
        ('{"prompt": "\\ud800"}', "surrogate"),
        ("[" * 100_000, "not"),
    ],
)
def test_a_bad_line_is_named_with_its_number(tmp_path: Path, line: object, complaint: str) -> None:
    with pytest.raises(RequestError) as refused:
        read_seeds(written(tmp_path, {"prompt": "fine"}, "", line))
    assert "line 3: " in str(refused.value)
    assert complaint in str(refused.value)
    assert "\n" not in str(refused.value)


def test_many_bad_lines_are_counted(tmp_path: Path) -> None:
    with pytest.raises(RequestError, match=r"line 1: .*line 5: .*and 4 more lines"):
        read_seeds(written(tmp_path, *["oops"] * 9))


@pytest.mark.parametrize(("content", "complaint"), [(b"", "has no seeds"), (b"\n \n", "has no seeds"), (b'{"prompt": "\xe4"}', "not UTF-8")])
def test_a_file_that_is_none_is_refused(tmp_path: Path, content: bytes, complaint: str) -> None:
    path = tmp_path / "seeds.jsonl"
    path.write_bytes(content)
    with pytest.raises(RequestError, match=complaint):
        read_seeds(path)
    with pytest.raises(RequestError, match="cannot read"):
        read_seeds(tmp_path)
    with pytest.raises(RequestError, match="cannot read"):
        read_seeds(Path("\0"))
