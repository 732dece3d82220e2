"""Questions of a file: read, asked by probability and by letter."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from core.benchmark.quality.choices import Question, by_letter, by_probability, load
from core.errors import RequestError


def written(path: Path, *lines: Any) -> Path:
    file = path / "questions.jsonl"
    file.write_text("\n".join(line if isinstance(line, str) else json.dumps(line) for line in lines), encoding="utf-8")
    return file


def test_answers_are_numbers_letters_or_texts(tmp_path: Path) -> None:
    usual = {"question": "2 + 2 =", "choices": ["3", "4", "five"]}
    lines = [usual | {"answer": answer} for answer in (1, "B", "b", "4", "five")]
    assert [question.answer for question in load(written(tmp_path, *lines, ""))] == [1, 1, 1, 1, 2]


@pytest.mark.parametrize(
    ("line", "word"),
    [
        ("{oops", "not JSON"),
        ("[]", "no question"),
        ({"choices": ["a", "b"], "answer": 0}, "no question"),
        ({"question": "q", "choices": ["a"], "answer": 0}, "2 to 26"),
        ({"question": "q", "choices": ["a", 5], "answer": 0}, "2 to 26"),
        ({"question": "q", "choices": ["a", "b"], "answer": 2}, "an answer that is not one of its choices"),
        ({"question": "q", "choices": ["a", "b"], "answer": True}, "an answer that is not one of its choices"),
        ({"question": "q", "choices": ["a", "b"]}, "an answer that is not one of its choices"),
        ("", "has no questions"),
    ],
)
def test_a_line_that_is_no_question_is_named(tmp_path: Path, line: Any, word: str) -> None:
    with pytest.raises(RequestError, match=word) as refused:
        load(written(tmp_path, line))
    assert line == "" or "line 1 of" in str(refused.value)


def test_a_file_that_cannot_be_read_is_refused(tmp_path: Path) -> None:
    with pytest.raises(RequestError, match="cannot read"):
        load(tmp_path / "absent.jsonl")
    (tmp_path / "bytes").write_bytes(b"\xff\xfe")
    with pytest.raises(RequestError, match="not UTF-8"):
        load(tmp_path / "bytes")


QUESTIONS = [Question("one", ("a", "bb"), 0), Question("two", ("a", "bb"), 1), Question("three", ("a", "bb"), 1)]


def test_the_likeliest_answer_a_byte_counts() -> None:
    table = {("one", " a"): -2.0, ("one", " bb"): -3.1, ("two", " a"): -2.0, ("two", " bb"): -2.9, ("three", " a"): -1.0, ("three", " bb"): -9.0}
    assert by_probability(QUESTIONS, lambda before, behind: table[before, behind]) == 1
    assert by_probability(QUESTIONS[:1], lambda _, behind: -1.0 if behind == " a" else -9.0) == 1


@pytest.mark.parametrize(
    ("said", "chosen"),
    [("A", 0), (" b) B", 1), ("The answer is (B).", 1), ("I say A", 0), ("Z or B", 1), ("", None), ("abc", None), ("Because", None)],
)
def test_the_first_letter_of_an_answer_counts(said: str, chosen: int | None) -> None:
    right, mute = by_letter([Question("q", ("x", "y"), chosen or 0)], lambda _: said)
    assert (right, mute) == ((0, 1) if chosen is None else (1, 0))


def test_a_question_is_asked_with_letters() -> None:
    asked: list[str] = []
    by_letter(QUESTIONS[:1], lambda prompt: asked.append(prompt) or "A")
    assert asked == ["one\nA. a\nB. bb\nAnswer with the letter of the right answer alone.\nAnswer:"]
