"""Two small Markov chains, a target and its draft, whose distributions are known in closed form: the bench that verification is tested on."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from core.runtime.sampling import Sampling, draw, warp
from core.speculate.verify import verify_rows

Verify = Callable[[Tensor, Tensor | None, Tensor, torch.Generator], tuple[Tensor, Tensor]]
"""As `verify_rows`: drafts [N, k], their distributions [N, k, V] or None, the target's [N, k + 1, V], to accepted [N] and last token [N]."""

VOCABULARY = 50
_CHUNK = 20_000


@dataclass(frozen=True)
class Toy:
    """Logits of the next token by the token before it, [V, V] each."""

    target: Tensor
    draft: Tensor

    @classmethod
    def make(cls, vocabulary: int = VOCABULARY, seed: int = 0, likeness: float = 1.0) -> Toy:
        """Random chains; the draft is the target with noise, the less of it the greater `likeness`."""
        generator = torch.Generator().manual_seed(seed)
        shape = (vocabulary, vocabulary)
        target = 1.5 * torch.randn(shape, generator=generator, dtype=torch.float64)
        return cls(target, target + torch.randn(shape, generator=generator, dtype=torch.float64) / likeness)

    def marginals(self, start: int, sampling: Sampling, length: int) -> Tensor:
        """Exact distribution of each of the next `length` tokens behind `start` under the target, float64 [length, V]."""
        steps = warp(self.target, sampling)
        rows = [steps[start]]
        for _ in range(length - 1):
            rows.append(rows[-1] @ steps)
        return torch.stack(rows)


def speculative_counts(
    target: Tensor,
    drawn: Tensor,
    claimed: Tensor | None,
    *,
    gamma: int,
    length: int,
    draws: int,
    generator: torch.Generator,
    start: int = 0,
    verify: Verify = verify_rows,
) -> Tensor:
    """Draw texts by speculation and count each of their tokens.

    Args:
        target: [V, V], the target's warped distribution behind each token.
        drawn: [V, V], what drafts are drawn from.
        claimed: the distribution that the rule is given for them: `drawn`, or None for a one-hot draft.
        gamma: drafts a round.
        length: tokens of a text; rounds go on until each text has as many.
        draws: texts.
        generator: source of all draws.
        start: token before the texts.
        verify: the rule under test.

    Returns:
        Int64 [length, V].
    """
    counts = torch.zeros(length, drawn.shape[-1], dtype=torch.int64)
    for first in range(0, draws, _CHUNK):
        bench = _Bench(target, drawn, claimed, gamma, generator, verify)
        texts = bench.texts(min(_CHUNK, draws - first), length, start)
        for position in range(length):
            counts[position] += torch.bincount(texts[:, position], minlength=counts.shape[1])
    return counts


@dataclass(frozen=True)
class _Bench:
    target: Tensor
    drawn: Tensor
    claimed: Tensor | None
    gamma: int
    generator: torch.Generator
    verify: Verify

    def texts(self, rows: int, length: int, start: int) -> Tensor:
        """Int64 [rows, length]."""
        texts = torch.zeros(rows, length + self.gamma + 1, dtype=torch.int64)
        done = torch.zeros(rows, dtype=torch.int64)
        last = torch.full((rows,), start)
        steps = torch.arange(self.gamma + 1)
        while bool((done < length).any()):
            accepted, new = self.round(last)
            going = done < length
            row, column = (going[:, None] & (steps <= accepted[:, None])).nonzero(as_tuple=True)
            texts[row, done[row] + column] = new[row, column]
            last = torch.where(going, new.gather(1, accepted[:, None])[:, 0], last)
            done = done + torch.where(going, accepted + 1, 0)
        return texts[:, :length]

    def round(self, last: Tensor) -> tuple[Tensor, Tensor]:
        """Accepted drafts [N] behind each last token [N], and the tokens [N, gamma + 1] of which the first accepted + 1 count."""
        tokens = [last]
        for _ in range(self.gamma):
            tokens.append(draw(self.drawn[tokens[-1]], self.generator))
        before, drafted = torch.stack(tokens, 1), torch.stack(tokens[1:], 1)
        claimed = None if self.claimed is None else self.claimed[before[:, :-1]]
        accepted, final = self.verify(drafted, claimed, self.target[before], self.generator)
        return accepted, torch.cat((drafted, final[:, None]), 1).scatter(1, accepted[:, None], final[:, None])
