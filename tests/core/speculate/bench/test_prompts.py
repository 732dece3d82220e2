"""Prompts: pieces of a text, editing tasks, a person's own words."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from core.errors import RequestError
from core.models.load import load_tokenizer
from core.models.resolve import resolve
from core.speculate.bench.prompts import prompts_of, renamed


@pytest.fixture(scope="module")
def tokenizer() -> object:
    return load_tokenizer(resolve("bundled:base"))


def test_pieces_are_equally_long_different_and_open_as_the_tokenizer_opens(tokenizer: object) -> None:
    found = prompts_of(tokenizer, source="builtin", own=None, task="continue", count=4, length=40, spacing=20)  # type: ignore[arg-type]
    assert found.tokens.shape == (4, 40)
    assert found.tokens[:, 0].tolist() == [0] * 4
    assert len({tuple(row) for row in found.tokens.tolist()}) == 4
    assert found.corpus == "python-stdlib/held-out"
    assert len(found.sha256) == 64


def test_an_editing_task_is_the_text_and_its_changed_beginning(tokenizer: object, tmp_path: Path) -> None:
    source = tmp_path / "module.py"
    source.write_text("".join(f"def handler_{index}(request):\n    return request.body\n" for index in range(60)))
    found = prompts_of(tokenizer, source=str(source), own=None, task="edit", count=1, length=120)  # type: ignore[arg-type]
    text = tokenizer.decode(found.tokens[0, 1:])  # type: ignore[attr-defined]
    assert found.tokens.shape == (1, 120)
    assert text.startswith("def handler_0(request):")
    assert "\ndef handler_0(request_new):" in text[40:]


def test_the_most_frequent_name_is_changed_everywhere() -> None:
    assert renamed("total = total + other\nreturn total") == "total_new = total_new + other\nreturn total_new"
    assert renamed("1 + 2") == "1 + 2"


def test_own_words_are_the_only_prompt(tokenizer: object) -> None:
    found = prompts_of(tokenizer, source="builtin", own="import os", task="continue", count=9, length=40)  # type: ignore[arg-type]
    assert found.tokens.shape[0] == 1
    assert torch.equal(found.tokens[0], torch.tensor(tokenizer("import os")["input_ids"]))  # type: ignore[operator]


def test_a_text_too_short_for_a_prompt_is_refused(tokenizer: object, tmp_path: Path) -> None:
    (tmp_path / "short.txt").write_text("a few words")
    with pytest.raises(RequestError, match="longer text"):
        prompts_of(tokenizer, source=str(tmp_path / "short.txt"), own=None, task="continue", count=1, length=50)  # type: ignore[arg-type]
