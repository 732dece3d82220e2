"""ATP: sparsity rises by the same step from block to block (arXiv 2502.14770)."""

from __future__ import annotations

from core.models.stream.streaming import StreamedModel
from core.prune.allocate.blocks import block_linears, by_linear, weights_of
from core.prune.allocate.totals import LARGEST, shifted_to
from core.prune.weights.pattern import Scope


def largest_step(sparsity: float, blocks: int) -> float:
    """The largest rise at which no block leaves [0, `LARGEST`] without clipping."""
    return 2 * min(sparsity, LARGEST - sparsity) / max(blocks - 1, 1)


def wanted(step: float, sparsity: float, blocks: int) -> list[float]:
    """s - β (L - 1) / 2 + β l for l = 0 to L - 1."""
    return [sparsity - step * (blocks - 1) / 2 + step * index for index in range(blocks)]


def of_blocks(step: float, sparsity: float, streamed: StreamedModel) -> list[float]:
    """The sparsity of every block under a step from one to the next, the total kept."""
    weights = weights_of(block_linears(streamed))
    return shifted_to(sparsity, wanted(step, sparsity, len(weights)), weights)


def rising(step: float, sparsity: float, streamed: StreamedModel, scope: Scope) -> dict[str, float]:
    """The sparsity of every linear under a step from block to block, the total kept."""
    return by_linear(of_blocks(step, sparsity, streamed), block_linears(streamed), scope)
