"""Questions with several answers to choose from, of a local file: scored by log-probability where a server gives it, else by the letter it says."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from core.benchmark.workload.lines import numbered_lines
from core.errors import RequestError

_LARGEST = 64 << 20
_LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
_LETTER = re.compile(r"(?<![A-Za-z])[A-Z](?![A-Za-z'])")
LETTER_TOKENS = 16
"""Tokens in which a letter must have come."""

BY_PROBABILITY = "the answer with the highest log-probability per byte after the question"
BY_LETTER = "the first letter of the server's answer"


@dataclass(frozen=True)
class Question:
    """One question."""

    question: str
    choices: tuple[str, ...]
    answer: int
    """Which of the choices is right, from 0."""

    def lettered(self) -> str:
        """With its answers behind letters, for a server that only talks."""
        listed = "\n".join(f"{letter}. {choice}" for letter, choice in zip(_LETTERS, self.choices, strict=False))
        return f"{self.question}\n{listed}\nAnswer with the letter of the right answer alone.\nAnswer:"


def load(path: Path) -> list[Question]:
    """JSONL, each line with `question`, `choices` (2 to 26 texts) and `answer` (its number from 0, its letter, or the text itself).

    Raises:
        RequestError: the file cannot be read, or a line is none; says which.
    """
    lines = numbered_lines(path, _LARGEST, "has no questions: give one per line, with question, choices and answer")
    return [_question(line, place) for line, place in lines]


def by_probability(questions: Sequence[Question], loglikelihood: Callable[[str, str], float]) -> int:
    """How many are answered right; `loglikelihood` is of a text (the second) behind another, in nat."""
    return sum(_likeliest(question, loglikelihood) == question.answer for question in questions)


def by_letter(questions: Sequence[Question], say: Callable[[str], str]) -> tuple[int, int]:
    """How many are answered right, and how many are not answered with a letter, which count as wrong.

    Args:
        questions: to be asked.
        say: what the server says to a text.
    """
    said = [_said(say(question.lettered()), len(question.choices)) for question in questions]
    return sum(chosen == question.answer for chosen, question in zip(said, questions, strict=True)), said.count(None)


def _likeliest(question: Question, loglikelihood: Callable[[str, str], float]) -> int:
    found = [loglikelihood(question.question, f" {choice}") / len(choice.encode()) for choice in question.choices]
    return found.index(max(found))


def _said(text: str, count: int) -> int | None:
    """The first capital letter, standing alone, that is one of the answers'."""
    numbers = (_LETTERS.index(match.group()) for match in _LETTER.finditer(text))
    return next((number for number in numbers if number < count), None)


def _question(line: str, where: str) -> Question:
    try:
        held = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise RequestError(f"{where} is not JSON: write one object with question, choices and answer") from error
    held = held if isinstance(held, dict) else {}
    text, choices = held.get("question"), held.get("choices")
    if not isinstance(text, str) or not text.strip():
        raise RequestError(f"{where} has no question")
    if not isinstance(choices, list) or not 2 <= len(choices) <= len(_LETTERS) or not all(isinstance(each, str) and each for each in choices):
        raise RequestError(f"{where} needs choices, a list of 2 to {len(_LETTERS)} strings")
    return Question(text, tuple(choices), _answer(held.get("answer"), choices, where))


def _answer(value: Any, choices: list[str], where: str) -> int:
    if isinstance(value, int) and not isinstance(value, bool) and 0 <= value < len(choices):
        return value
    if isinstance(value, str) and value in choices:
        return choices.index(value)
    letter = value.strip().upper() if isinstance(value, str) else ""
    if len(letter) == 1 and letter in _LETTERS[: len(choices)]:
        return _LETTERS.index(letter)
    raise RequestError(f"{where} has an answer that is not one of its choices: give its index from 0, its letter or its text")
