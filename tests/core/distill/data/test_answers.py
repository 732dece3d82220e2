"""The file of answers under kills, full disks and other writers."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from core.distill.data.answers import AnswerFile
from core.distill.data.client.in_flight import Answered
from core.distill.data.client.request import Reply, Request
from core.distill.data.conversation import Message
from core.errors import RequestError, RunFailed


def request(number: int, **changes: object) -> Request:
    return Request(**({"model": "m", "messages": (Message("user", f"问题 {number}"),), "max_tokens": 8, "temperature": 0.0, "top_p": 1.0} | changes))  # type: ignore[arg-type]


def answered(number: int, text: str = "答\u2028案\n") -> Answered:
    return Answered(request(number), Reply(text, "stop", 3, 5), 2)


def filled(path: Path, count: int) -> bytes:
    with AnswerFile(path) as file:
        file.add([answered(number) for number in range(count)])
    return path.read_bytes()


def keys(path: Path) -> list[str]:
    return [json.loads(line)["key"] for line in path.read_bytes().split(b"\n") if line]


def test_what_was_added_is_found_again_once(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "answers.jsonl"
    filled(path, 3)
    with AnswerFile(path) as file:
        assert file.found[request(1).key].reply == Reply("答\u2028案\n", "stop", 3, 5)
        assert file.found[request(1).key].attempts == 2
        file.add([answered(1, "another"), answered(3), answered(3, "again")])
        assert file.found[request(1).key].reply.text == "答\u2028案\n"
        assert file.found[request(3).key].reply.text == "答\u2028案\n"
    assert keys(path) == [request(number).key for number in range(4)]


def test_a_kill_at_any_byte_loses_no_whole_line(tmp_path: Path) -> None:
    whole = filled(tmp_path / "whole", 2)
    ends = [0, whole.index(b"\n") + 1, len(whole)]
    for cut in range(len(whole) + 1):
        path = tmp_path / "cut"
        path.write_bytes(whole[:cut])
        with AnswerFile(path) as file:
            # A line that lacks nothing but its end is whole too.
            complete = sum(cut >= end - 1 for end in ends[1:])
            assert len(file.found) == complete
            assert file.damaged == 0
            file.add([answered(number) for number in range(3)])
        assert sorted(keys(path)) == sorted(request(number).key for number in range(3))


def test_damaged_lines_are_counted_and_asked_again(tmp_path: Path) -> None:
    path = tmp_path / "answers"
    first, rest = filled(path, 2).split(b"\n", 1)
    path.write_bytes(b"\0" * 40 + b"\n" + b'{"key": 3}\n\n' + b"[" * 100_000 + b"\n" + first[:30] + b"\n" + rest)
    with AnswerFile(path) as file:
        assert file.damaged == 4
        assert set(file.found) == {request(1).key}


def test_two_writers_exclude_each_other(tmp_path: Path) -> None:
    with AnswerFile(tmp_path / "answers"), pytest.raises(RequestError, match="another run writes"), AnswerFile(tmp_path / "answers"):
        pass
    with AnswerFile(tmp_path / "answers"):
        pass


def test_a_full_disk_leaves_only_whole_lines(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "answers"
    before = filled(path, 2)

    def half(handle: int, data: memoryview) -> int:
        if os.fstat(handle).st_size > len(before):
            raise OSError(28, "No space left on device")
        return real(handle, data[: len(data) // 2])

    real = os.write
    with AnswerFile(path) as file:
        monkeypatch.setattr(os, "write", half)
        with pytest.raises(RunFailed, match="free some space and resume"):
            file.add([answered(2)])
        monkeypatch.undo()
        assert request(2).key not in file.found
        assert path.read_bytes() == before
        file.add([answered(2)])
    assert len(keys(path)) == 3


def test_a_place_that_cannot_be_written_is_refused(tmp_path: Path) -> None:
    with pytest.raises(RequestError, match="choose another file"), AnswerFile(tmp_path):
        pass


@pytest.mark.parametrize(
    "changes",
    [
        {"model": "n"},
        {"max_tokens": 9},
        {"temperature": 0.5},
        {"top_p": 0.9},
        {"sample": 1},
        {"seed": 1},
        {"messages": (Message("system", "问"),)},
    ],
)
def test_the_key_depends_on_everything_that_the_answer_does(changes: dict[str, object]) -> None:
    assert request(1, **changes).key != request(1).key
    assert request(1).key == request(1).key
