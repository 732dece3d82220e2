"""`llmopt benchmark --calibrate`, and what the tables of a benchmark hold."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import pytest

from core.benchmark.calibrate import ceiling
from core.benchmark.calibrate.calibrate import Calibration, Step
from tests.tui.cli.conftest import Llmopt

STEPS = (Step(8, 1, 8, 0.1, 0.3, 50.2, 20.0, 0.1, 40.0), Step(16, 1, 16, 2.0, 9.0, 55.2, 21.0, 0.1, 40.0))


@pytest.fixture
def _calibrated(monkeypatch: pytest.MonkeyPatch) -> None:
    def calibrate(workers_for: Callable[[int], int], streams: Sequence[int] = (), on_step: Callable[[Step], None] = print) -> Calibration:
        assert workers_for(8) >= 1
        for step in STEPS:
            on_step(step)
        return Calibration(STEPS)

    monkeypatch.setattr("core.benchmark.calibrate.calibrate.calibrate", calibrate)


@pytest.mark.usefixtures("_calibrated")
def test_calibration_prints_its_steps_and_is_kept(llmopt: Llmopt) -> None:
    answer = llmopt("benchmark", "--calibrate")
    assert answer.code == 0
    assert "8 streams, 400 tokens per second" in answer.out
    assert "16 streams: not followed" in answer.err
    found = ceiling.known()
    assert found is not None
    assert found.streams == 8


@pytest.mark.usefixtures("_calibrated")
def test_calibration_as_one_document(llmopt: Llmopt) -> None:
    document = llmopt("benchmark", "--calibrate", "--json").document
    assert document["schema"] == "llmopt.calibration/1"
    assert document["ceiling_streams"] == 8


def test_without_the_flag_a_model_is_needed(llmopt: Llmopt) -> None:
    answer = llmopt("benchmark")
    assert answer.code == 2
    assert "give a MODEL" in answer.err
