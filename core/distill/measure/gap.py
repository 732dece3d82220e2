"""How much of the distance between an untrained student and its teacher a training has closed."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from core.measure.neighbours import mean_error


@dataclass(frozen=True)
class Gap:
    """A share and its standard error: 1 is as good as the teacher, 0 as before, above 1 better than the teacher, below 0 worse than before."""

    closed: float
    error: float


def gap_closed(teacher: Tensor, untrained: Tensor, trained: Tensor) -> Gap | None:
    """(untrained - trained) / (untrained - teacher), of mean negative log-likelihoods: the difference in ln perplexity.

    The standard error is that of a ratio of means of the same tokens (delta method), tokens in their order, neighbours dependent.

    Args:
        teacher: negative log-likelihood of each token, float64 [n] in nats.
        untrained: of the student before.
        trained: of the student after.

    Returns:
        None where the untrained student is no worse than its teacher.
    """
    gained, distance = untrained - trained, untrained - teacher
    whole = float(distance.mean())
    if not whole > 0:
        return None
    closed = float(gained.mean()) / whole
    return Gap(closed, mean_error(((gained - closed * distance) / whole).numpy()))
