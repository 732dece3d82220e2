"""Learning-rate schedules: pure functions of the step."""

from __future__ import annotations

from collections.abc import Callable
from math import cos, pi

Schedule = Callable[[int, int, int], float]
"""From the step about to be taken (from 0), all steps and the steps of the linear warm-up to the factor of the learning rate, in (0, 1]."""


def warmup_stable_decay(step: int, steps: int, warmup: int, decay_from: float = 0.65) -> float:
    """A linear warm-up, a plateau, then a linear decay to zero at `steps`.

    Args:
        step: the step about to be taken, from 0.
        steps: all steps of the training.
        warmup: steps of the linear warm-up.
        decay_from: share of `steps` at which the decay begins, in [0, 1].

    The plateau lets a training be prolonged: the same state continues under a larger `steps` as long as
    the decay has not begun (MiniCPM, arXiv 2404.06395).
    """
    if step < warmup:
        return (step + 1) / warmup
    begin = max(int(steps * decay_from), warmup)
    if step < begin:
        return 1.0
    return max((steps - step) / max(steps - begin, 1), 1e-3)


def constant(step: int, steps: int, warmup: int) -> float:
    """A linear warm-up, then 1."""
    return _after_warmup(step, steps, warmup, 0.0, lambda _done: 1.0)


def linear(step: int, steps: int, warmup: int, floor: float = 0.0) -> float:
    """A linear warm-up, then a line from 1 to `floor` at `steps`."""
    return _after_warmup(step, steps, warmup, floor, lambda done: 1 - done)


def cosine(step: int, steps: int, warmup: int, floor: float = 0.0) -> float:
    """A linear warm-up, then half a cosine from 1 to `floor` at `steps` (SGDR, arXiv 1608.03983, without restarts)."""
    return _after_warmup(step, steps, warmup, floor, lambda done: 0.5 * (1 + cos(pi * done)))


SCHEDULES: dict[str, Schedule] = {"cosine": cosine, "linear": linear, "constant": constant}


def _after_warmup(step: int, steps: int, warmup: int, floor: float, shape: Callable[[float], float]) -> float:
    if step < warmup:
        return (step + 1) / warmup
    return floor + (1 - floor) * shape((step - warmup) / max(steps - warmup, 1))
