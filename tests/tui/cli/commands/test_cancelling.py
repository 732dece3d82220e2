"""Ctrl+C at every moment of the start of every experiment: the run is cancelled, exit code 130, and nothing blames the model."""

from __future__ import annotations

import random

import pytest

from tests.benchmarks.runs.random_cancels import ARGUMENTS, EXPERIMENTS, WAYS, cancelled_at

ENDS = {"cancelled", "unborn", "over"}
"""What was over before cannot be cancelled any more; what was not made yet leaves nothing."""


def test_every_experiment_is_here() -> None:
    assert ARGUMENTS.keys() == EXPERIMENTS - {"tick"}


@pytest.mark.parametrize(
    ("key", "way", "seconds"),
    [
        ("quantize", "ctrl+c", 1.2),
        ("benchmark", "ctrl+c twice", 1.6),
        ("evaluate", "ctrl+c twice", 0.8),
        ("verify", "ctrl+c", 0.0),
        ("kv-cache", "elsewhere", 0.5),
    ],
)
def test_a_request_to_stop_during_the_start_is_a_cancel(key: str, way: str, seconds: float) -> None:
    assert cancelled_at(key, way, seconds).verdict in ENDS


@pytest.mark.slow
@pytest.mark.parametrize("key", ARGUMENTS)
def test_ctrl_c_at_every_fifth_of_a_second_is_a_cancel(key: str) -> None:
    for fifth in range(16):
        assert cancelled_at(key, random.Random(fifth).choice(WAYS), fifth / 5).verdict in ENDS
