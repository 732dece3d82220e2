"""Learning-rate schedules: pure functions of the step."""

from __future__ import annotations


def warmup_stable_decay(step: int, steps: int, warmup: int, decay_from: float = 0.65) -> float:
    """Factor in (0, 1]: a linear warm-up, a plateau, then a linear decay to zero at `steps`.

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
