"""What a live view is told while texts come, and that telling it is not counted as work."""

from __future__ import annotations

import itertools
import time
from pathlib import Path
from typing import Any

import pytest
import torch

from core.speculate.bench import measure
from core.speculate.bench.loop import Round
from core.speculate.bench.round_reporter import RoundReporter
from tests.core.conftest import RecordingContext


class Letters:
    """A tokenizer of letters."""

    def decode(self, tokens: Any) -> str:
        return "".join(chr(97 + int(token) % 26) for token in tokens)


PROMPTS = torch.tensor([[0, 1], [2, 3]])
ROUNDS = [
    Round([[], []], [0, 0], [[4], [5]], [None, None]),
    Round([[6, 7], [8, 9]], [2, 0], [[6, 7, 10], [11]], [None, None]),
    Round([[12], [13]], [0, 1], [[14], [13, 15]], [None, None]),
    Round([[16], [17]], [1, 1], [[16, 18], []], ["length", None]),
]


def told(context: RecordingContext, *lengths: int) -> list[tuple[str, dict[str, Any]]]:
    reporter = RoundReporter(context, Letters(), "model")  # type: ignore[arg-type]
    for length in lengths:
        reporter.report(PROMPTS, 4, ROUNDS[:length], 2, 0.0)
    return context.details


def by_row(details: list[tuple[str, dict[str, Any]]]) -> list[tuple[str, dict[str, Any]]]:
    return sorted(details, key=lambda detail: (detail[1]["row"], detail[1].get("n", -1)))


def test_a_text_that_is_told_piece_by_piece_is_the_one_that_is_told_whole(tmp_path: Path) -> None:
    whole = told(RecordingContext(tmp_path), 4)
    for lengths in ((1, 2, 3, 4), (1, 1, 3, 3, 4), (2, 4), (0, 4, 4)):
        assert by_row(told(RecordingContext(tmp_path), *lengths)) == by_row(whole)
    assert [kind for kind, _ in whole].count("prompt") == 2
    assert [kind for kind, _ in whole].count("round") == 5, "of a row that was over nothing is told"


def test_the_next_setting_is_told_from_its_beginning(tmp_path: Path) -> None:
    context = RecordingContext(tmp_path)
    reporter = RoundReporter(context, Letters(), "model")  # type: ignore[arg-type]
    reporter.report(PROMPTS, 0, ROUNDS, 2, 0.0)
    count = len(context.details)
    reporter.report(PROMPTS, 0, ROUNDS, 2, 0.8)
    assert len(context.details) == 2 * count


def test_looks_come_a_few_times_a_second_and_their_time_is_known(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = itertools.count(0.0, 0.1)
    monkeypatch.setattr(time, "perf_counter", lambda: next(clock))
    looks: list[int] = []
    pauses = measure._Pauses(lambda rounds, over: looks.append(len(rounds)))
    for length in range(30):
        pauses.take(ROUNDS[: length % 4])
    assert 8 <= len(looks) <= 15
    assert pauses.seconds == pytest.approx(0.1 * len(looks)), "one reading of the clock before each look and one behind it"
