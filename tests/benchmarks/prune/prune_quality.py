"""What pruning half and more of the weights costs `bundled:base` on held-out text, and that the order of methods is the one that theory gives."""

from __future__ import annotations

import itertools
import math
import sys
import tempfile
from pathlib import Path
from statistics import fmean

from core.prune.result import PruneResult
from core.prune.run import run
from core.prune.spec import PruneSpec
from tests.benchmarks._silent import SilentContext
from tests.benchmarks.report import Bar, record

EVAL_TOKENS = 65536
_BARS: dict[str, Bar] = {
    "steps_out_of_order": ("==", 0),
    "wanda_gap_over_magnitude_gap": ("<=", 0.5),
    "layers_not_lowered_by_swaps": ("==", 0),
    "mean_error_after_swaps": ("<=", 0.85),
    "kl_sensitivity_over_uniform_60": ("<=", 1.0),
    "kl_sensitivity_over_owl_60": ("<=", 1.0),
    "kl_sensitivity_over_uniform_70": ("<=", 1.0),
    "kl_sensitivity_over_owl_70": ("<=", 1.0),
}


def pruned(**values: object) -> PruneResult:
    """One pruning of the bundled model."""
    with tempfile.TemporaryDirectory() as artifacts:
        spec = PruneSpec.model_validate({"model": "bundled:base", "eval_tokens": EVAL_TOKENS, "speed_tokens": 0, **values})
        return run(spec, SilentContext(Path(artifacts)))


def ppl(result: PruneResult) -> float:
    """After pruning."""
    assert result.metrics.ppl_after is not None
    return result.metrics.ppl_after


def methods() -> dict[str, float]:
    """Half of the weights by each method, and swaps on Wanda's choice."""
    found = {method: pruned(method=method, sparsity=0.5) for method in ("magnitude", "wanda", "sparsegpt", "alps")}
    swapped = pruned(method="wanda", sparsity=0.5, swaps=100)
    refitted = pruned(method="wanda", sparsity=0.5, swaps=100, refit=True)
    dense = found["wanda"].metrics.ppl_before
    assert dense is not None
    ladder = [dense, ppl(found["sparsegpt"]), ppl(found["wanda"]), ppl(found["magnitude"])]
    lowered = [linear.error / linear.error_before for linear in swapped.linears if linear.error_before]
    gaps = {method: math.log(ppl(result) / dense) for method, result in found.items()}
    return {
        "ppl_original": dense,
        **{f"ppl_{method}": ppl(result) for method, result in found.items()},
        "ppl_wanda_swaps": ppl(swapped),
        "ppl_wanda_swaps_refit": ppl(refitted),
        "steps_out_of_order": sum(later < earlier for earlier, later in itertools.pairwise(ladder)),
        "wanda_gap_over_magnitude_gap": gaps["wanda"] / gaps["magnitude"],
        "layers_not_lowered_by_swaps": sum(ratio >= 1 for ratio in lowered) + len(swapped.linears) - len(lowered),
        "mean_error_after_swaps": fmean(ratio**2 for ratio in lowered),
    }


def allocations(percent: int) -> dict[str, float]:
    """Wanda at a high sparsity, distributed by each rule."""
    kl: dict[str, float] = {}
    for rule in ("uniform", "owl", "atp", "sensitivity"):
        found = pruned(method="wanda", sparsity=percent / 100, allocation=rule).metrics.kl_mean
        assert found is not None
        kl[rule] = found
    return {f"kl_{rule}_{percent}": value for rule, value in kl.items()} | {
        f"kl_sensitivity_over_{rule}_{percent}": kl["sensitivity"] / kl[rule] for rule in ("uniform", "owl", "atp")
    }


def main() -> bool:
    """Measure, print and record."""
    return record("prune_quality", methods() | allocations(60) | allocations(70), _BARS)


if __name__ == "__main__":
    sys.exit(not main())
