"""The step of ATP when none is given: the one of a few whose pruned model stays nearest to the original."""

from __future__ import annotations

from torch import Tensor

from core.models.stream.streaming import StreamedModel
from core.prune.allocate import atp
from core.prune.allocate.sensitivity import WINDOWS
from core.prune.allocate.trial import Trial
from core.prune.spec import PruneSpec
from core.prune.weights.pattern import USUAL_SCOPE
from core.runs.steps import Steps

_PARTS = (0.0, 0.1, 0.2, 0.3, 0.45)
"""Steps that are tried, as shares of the largest."""
TRIALS = len(_PARTS)
_KEPT = "step of the sparsity"


def shares(spec: PruneSpec, streamed: StreamedModel, windows: Tensor | None, steps: Steps) -> dict[str, float]:
    """The sparsity of every linear under the best step; one reported step per trial. `windows`: calibration tokens int64 [N, T]."""
    if spec.atp_step is not None:
        steps.skip(TRIALS)
        return atp.rising(spec.atp_step, spec.sparsity, streamed, USUAL_SCOPE[spec.method])
    best = steps.store.get(_KEPT)
    if best is None:
        best = _searched(spec, streamed, windows, steps)
        steps.store.put(_KEPT, best)
    else:
        steps.skip(TRIALS)
    return atp.rising(float(best), spec.sparsity, streamed, USUAL_SCOPE[spec.method])


def _searched(spec: PruneSpec, streamed: StreamedModel, windows: Tensor | None, steps: Steps) -> float:
    assert windows is not None
    trial = Trial(streamed, windows[:WINDOWS], steps.check_cancelled)
    tried: list[tuple[float, float]] = []
    for part in _PARTS:
        step = part * atp.largest_step(spec.sparsity, streamed.n_blocks)
        steps.say(f"trying a step of {step:.4f} from block to block")
        divergence = trial.divergences(atp.of_blocks(step, spec.sparsity, streamed))[0]
        tried.append((divergence, step))
        steps.step(f"tried a step of {step:.4f}")
    divergence, step = min(tried)
    steps.log(
        f"sparsity rises by {step:.4f} from block to block: KL divergence {divergence:.4f} nats per token in the quick trial, "
        f"{tried[0][0]:.4f} with one sparsity for all"
    )
    return step
