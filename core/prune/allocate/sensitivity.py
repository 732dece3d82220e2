"""Sparsities by measurement: what it costs the pruned model to prune one of its blocks less or more, assigned exactly under the total."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from torch import Tensor

from core.measure.knapsack import cheapest
from core.models.stream.streaming import StreamedModel
from core.prune.allocate.blocks import block_linears, by_linear, weights_of
from core.prune.allocate.totals import LARGEST, shifted_to
from core.prune.allocate.trial import Change, Trial
from core.prune.spec import PruneSpec
from core.prune.weights.pattern import USUAL_SCOPE
from core.runs.steps import Steps

WINDOWS = 16
"""Calibration windows on which divergences are measured."""
_REACH = 0.12
"""Farthest departure of a block from the total."""
_LEVELS = 25
"""Sparsities per block that the assignment chooses from."""
_RETRIES = 2
_KEPT = "sparsities by sensitivity"


def steps_of(blocks: int) -> int:
    """Reported steps: two changes per block, then the trial of the assignment."""
    return 2 * blocks + 1


def shares(spec: PruneSpec, streamed: StreamedModel, windows: Tensor | None, steps: Steps) -> dict[str, float]:
    """The sparsity of every linear: that of its block.

    With all blocks at the total's sparsity each is tried alone at a lower and at a higher one. Between these three measured divergences a parabola
    is taken; the assignment of least sum that keeps the total is then tried as a whole, and drawn back towards uniform where that is not better.

    Args:
        spec: the request.
        streamed: the original model.
        windows: calibration tokens int64 [N, T].
        steps: two steps per block and one for the result.
    """
    assert windows is not None
    linears = block_linears(streamed)
    if (kept := steps.store.get(_KEPT)) is not None:
        steps.skip(steps_of(len(linears)))
        return by_linear([float(share) for share in kept], linears, USUAL_SCOPE[spec.method])
    weights, scope = weights_of(linears), USUAL_SCOPE[spec.method]
    trial = Trial(streamed, windows[:WINDOWS], steps.check_cancelled)
    uniform = [spec.sparsity] * len(linears)
    reach = min(_REACH, spec.sparsity / 2, (LARGEST - spec.sparsity) / 2)
    before, costs = _measured(trial, uniform, reach, steps)
    found = assigned(costs, before, spec.sparsity, reach, weights)
    for attempt in range(_RETRIES + 1):
        steps.say("trying the assignment")
        after = trial.divergences(found)[0]
        if after < before:
            break
        found = uniform if attempt == _RETRIES else [(each + spec.sparsity) / 2 for each in found]
    steps.log(
        f"sparsity {min(found):.3f} to {max(found):.3f} by block: KL divergence {min(after, before):.4f} nats per token in the quick trial, "
        f"{before:.4f} with one sparsity for all"
    )
    steps.step("assigned sparsities")
    steps.store.put(_KEPT, found)
    return by_linear(found, linears, scope)


def _measured(trial: Trial, uniform: Sequence[float], reach: float, steps: Steps) -> tuple[float, list[tuple[float, float]]]:
    """Divergence of the uniform model, and of each block at a lower and at a higher sparsity."""
    changes = [Change(index, share + sign * reach) for index, share in enumerate(uniform) for sign in (-1, 1)]
    before, found = 0.0, list[float]()
    for first in range(0, len(changes), trial.at_once):
        part = changes[first : first + trial.at_once]
        steps.say(f"measuring the sensitivity of block {part[0].block + 1} of {len(uniform)}")
        before, *measured = trial.divergences(uniform, part)
        for change, kl in zip(part, measured, strict=True):
            steps.measured("block_sensitivity", kl - before, change.block, f"sparsity {change.share:.3f}")
            steps.step(f"measured the sensitivity of block {change.block + 1}")
        found += measured
    return before, list(zip(found[::2], found[1::2], strict=True))


def assigned(costs: Sequence[tuple[float, float]], before: float, sparsity: float, reach: float, weights: Sequence[int]) -> list[float]:
    """Sparsity of each block: least sum of divergences with the total kept.

    Args:
        costs: of each block, the divergence of the model with this block at `sparsity` - `reach` and + `reach`.
        before: with all blocks at `sparsity`.
        sparsity: the total.
        reach: farthest departure.
        weights: of each block.
    """
    departures = np.linspace(-1.0, 1.0, _LEVELS)
    losses, kept = [], []
    for (lower, higher), weight in zip(costs, weights, strict=True):
        slope, bend = (higher - lower) / 2, (higher + lower) / 2 - before
        losses.append(slope * departures + bend * departures**2)
        kept.append((1 - sparsity - reach * departures) * weight)
    chosen, _ = cheapest(losses, kept, (1 - sparsity) * sum(weights))
    return shifted_to(sparsity, [sparsity + reach * float(departures[index]) for index in chosen], weights)
