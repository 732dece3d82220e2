"""What is measured of single blocks, summed over shares of the calibration text, and which blocks go by it."""

from __future__ import annotations

from collections.abc import Sequence
from math import acos, exp, pi

import torch
from pydantic import BaseModel
from torch import Tensor

from core.prune.result import BlockScore, ScoreAgreement


class Sums(BaseModel):
    """Sums over the tokens that were read so far; one item per block of the model that was measured, in its order."""

    shares: int = 0
    """Shares of the windows that were read."""
    targets: int = 0
    """Tokens that were predicted."""
    kl: list[float] = []
    """Divergence from the original without the block, nat."""
    nll: list[float] = []
    """Negative log-likelihood without the block, nat."""
    nll_original: float = 0.0
    tokens: int = 0
    cosine: list[float] = []
    """Of a token's hidden states before and after the block."""
    windows: int = 0
    angle: list[float] = []
    """(1/π) arccos of the last token's hidden states before the block and after the run that begins at it, summed over windows."""

    def mean_kl(self) -> list[float]:
        """Divergence per token, nat."""
        return [value / self.targets for value in self.kl]


class Search(BaseModel):
    """All that was measured: kept while a run works, and enough to continue it."""

    first: Sums = Sums()
    """Of the original model without each of its blocks."""
    removed: list[int] = []
    """Blocks by their number in the original, in the order in which a greedy search removed them."""
    kl_at_removal: list[float] = []
    current: Sums = Sums()
    """Of the round under way, unless it is the first."""


def add_(total: list[float], values: Sequence[float]) -> None:
    """Add item by item; an empty list counts as zeros."""
    total[:] = values if not total else [one + other for one, other in zip(total, values, strict=True)]


def cosines(before: Tensor, after: Tensor) -> Tensor:
    """float32 [...]: cosine of hidden states [..., H]."""
    return torch.nn.functional.cosine_similarity(before.float(), after.float(), dim=-1)


def angles(last: Sequence[Tensor], run: int) -> list[float]:
    """Sums over windows of (1/π) arccos of the cosine of the states before block l and `run` blocks later (arXiv 2403.17887).

    Args:
        last: states of the last token of each window, [N, H], before each block and after the last one.
        run: blocks of a run.

    Returns:
        One sum for each block at which a run can begin.
    """
    starts = len(last) - run
    return [sum(acos(min(1.0, max(-1.0, value))) / pi for value in cosines(last[start], last[start + run]).tolist()) for start in range(starts)]


def chosen_at_once(criterion: str, sums: Sums, remove: int) -> list[int]:
    """Blocks that go, ascending, by a criterion that looks at the original model only."""
    if criterion == "angular":
        start = min(range(len(sums.angle)), key=lambda block: (sums.angle[block], block))
        return list(range(start, start + remove))
    scores = sums.nll if criterion == "perplexity" else [-value for value in sums.cosine]
    return sorted(sorted(range(len(scores)), key=lambda block: (scores[block], block))[:remove])


def block_scores(search: Search, removed: Sequence[int]) -> list[BlockScore]:
    """Every block of the original by every measure."""
    first = search.first
    kl = first.mean_kl()
    scores = []
    for block in range(len(kl)):
        step = search.removed.index(block) if block in search.removed else None
        scores.append(
            BlockScore(
                block=block,
                kl=kl[block],
                ppl_ratio=exp((first.nll[block] - first.nll_original) / first.targets),
                influence=1 - first.cosine[block] / first.tokens,
                angular=first.angle[block] / first.windows if block < len(first.angle) else None,
                removed=block in removed,
                step=None if step is None else step + 1,
                kl_at_removal=None if step is None else search.kl_at_removal[step],
            )
        )
    return scores


def agreements(scores: Sequence[BlockScore]) -> list[ScoreAgreement]:
    """How far each cheap measure ranks the blocks as the divergence does."""
    found = []
    for name, attribute in (("perplexity ratio", "ppl_ratio"), ("block influence", "influence"), ("angular distance", "angular")):
        pairs = [(score.kl, value) for score in scores if (value := getattr(score, attribute)) is not None and score.kl is not None]
        if len(pairs) > 2:
            found.append(ScoreAgreement(measure=name, spearman=spearman([one for one, _ in pairs], [other for _, other in pairs])))
    return found


def spearman(one: Sequence[float], other: Sequence[float]) -> float:
    """Rank correlation, equal values sharing their mean rank; 0 where one side does not vary."""
    first, second = (torch.tensor(_ranks(values), dtype=torch.float64) for values in (one, other))
    first, second = first - first.mean(), second - second.mean()
    scale = float(first.norm() * second.norm())
    return float(first @ second) / scale if scale > 0 else 0.0


def _ranks(values: Sequence[float]) -> list[float]:
    order = sorted(values)
    return [order.index(value) + (order.count(value) - 1) / 2 for value in values]
