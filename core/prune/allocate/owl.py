"""OWL: blocks with more outliers in their scores are pruned less (Yin et al., arXiv 2310.05175)."""

from __future__ import annotations

import torch
from torch import Tensor

from core.calibration.blocks import calibrated_blocks
from core.models.stream.stored_dtypes import stored_dtypes
from core.models.stream.streaming import StreamedModel
from core.prune.allocate.blocks import block_linears, by_linear, weights_of
from core.prune.allocate.totals import shifted_to
from core.prune.spec import PruneSpec
from core.prune.weights.pattern import USUAL_SCOPE
from core.runs.steps import Steps

_KEPT = "outlier shares"


def shares(spec: PruneSpec, streamed: StreamedModel, windows: Tensor | None, steps: Steps) -> dict[str, float]:
    """The sparsity of every linear: that of its block, within `owl_range` of the total, lower the more outliers the dense block has.

    Args:
        spec: the request.
        streamed: the original model.
        windows: calibration tokens int64 [N, T].
        steps: one step per block.
    """
    assert windows is not None
    linears = block_linears(streamed)
    outliers = outlier_shares(spec.owl_threshold, streamed, windows, steps)
    return by_linear(
        shifted_to(spec.sparsity, wanted(outliers, spec.sparsity, spec.owl_range), weights_of(linears)), linears, USUAL_SCOPE[spec.method]
    )


def wanted(outliers: list[float], sparsity: float, reach: float) -> list[float]:
    """Sparsity of each block: outlier shares scaled to an interval of 2 x `reach`, and subtracted around their mean."""
    low, high = min(outliers), max(outliers)
    scaled = [2 * reach * (share - low) / (high - low) if high > low else 0.0 for share in outliers]
    mean = sum(scaled) / len(scaled)
    return [sparsity - (share - mean) for share in scaled]


@torch.no_grad()
def outlier_shares(threshold: float, streamed: StreamedModel, windows: Tensor, steps: Steps) -> list[float]:
    """Of each dense block the share of weights whose score |W| ‖x‖ is above `threshold` times the mean score of their linear."""
    if (kept := steps.store.get(_KEPT)) is not None:
        steps.skip(streamed.n_blocks)
        return [float(share) for share in kept]
    found: list[float] = []
    _, dtype = stored_dtypes(streamed)
    for block in calibrated_blocks(streamed, windows, steps.check_cancelled, dtype):
        statistics = block.ranges(block.linears)
        above = total = 0
        for name, linear in block.linears.items():
            scores = linear.weight.detach().float().abs() * statistics[name].mean_square.sqrt()
            above += int((scores > threshold * scores.mean()).sum())
            total += scores.numel()
        found.append(above / total)
        steps.step(f"counting outliers: block {block.index + 1} of {streamed.n_blocks}")
    steps.store.put(_KEPT, found)
    return found
