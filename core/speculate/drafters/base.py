"""What every drafter does, so that one loop serves them all."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from torch import Tensor


@dataclass(frozen=True, slots=True)
class Proposal:
    """Drafts of a round, one a row of the batch.

    tokens: int64 [B, k]; k may be less than was asked for, and 0. real: bool [B, k], False behind the end of a row's shorter draft, None when all
    rows have k. probabilities: [B, k, V], the *warped* distributions that the tokens were drawn from; None for a drafter that does not draw, whose
    distribution is one-hot.
    """

    tokens: Tensor
    real: Tensor | None = None
    probabilities: Tensor | None = None


class Drafter(Protocol):
    """Guesses what the target will say. It may guess anything: verification makes the text the target's own."""

    name: str
    calls: int
    """Forwards of a model since `begin`."""

    def begin(self, prompt: Tensor, real: Tensor | None = None) -> None:
        """Forget everything and take the prompts, int64 [B, n]; `real`, bool [B, n], is False where a row is padded on the left."""

    def propose(self, gamma: int) -> Proposal:
        """Draft at most `gamma` tokens behind everything that was taken so far."""

    def accept(self, emitted: Sequence[Sequence[int]]) -> None:
        """Take what was added to each row since the last `propose`, and roll back what was drafted otherwise.

        A row's emitted tokens are a beginning of its draft and then, unless the text ended, one token of the target. An empty row has ended; it
        stays in the batch and is drafted for no more.
        """
