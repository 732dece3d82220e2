"""Speculation changes nothing: total variation from the target on a toy of 50 tokens, and greedy texts one by one for every drafter.

The toy's laws are known in closed form. The right rule, with a draft that draws and with one that does not, must stay within the bound that holds
with 99 % over all its comparisons together; each of five wrong rules must leave it. Figures are the largest ratio of total variation to bound over
the tokens of a text. Greedy: every prompt decoded plainly and with each drafter, token for token.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path
from typing import Any

import torch

from core.runtime.sampling import Sampling
from core.speculate.lossless.run import run
from core.speculate.lossless.spec import SpeculateTestSpec
from core.speculate.lossless.statistics import compare
from core.speculate.lossless.toy import Toy, speculative_counts
from core.speculate.spec import DrafterName
from tests.benchmarks.report import Bar, record
from tests.core.conftest import RecordingContext
from tests.core.speculate.wrong import Variant, right, variants

SAMPLING = Sampling(temperature=0.8, top_p=0.9)
GAMMA, LENGTH = 3, 5
ERROR = 0.01
DRAFTERS: tuple[DrafterName, ...] = ("model", "lookup", "layers", "medusa")


def judged(toy: Toy, variant: Variant, draws: int, error: float) -> tuple[float, float, bool]:
    """Largest total variation, its largest ratio to the bound, and whether every token passed both tests."""
    generator = torch.Generator().manual_seed(1)
    counts = speculative_counts(
        variant.target, variant.drawn, variant.claimed, gamma=GAMMA, length=LENGTH, draws=draws, generator=generator, verify=variant.verify
    )
    exact = toy.marginals(0, SAMPLING, LENGTH)
    fits = [compare(counts[place], exact[place], error / LENGTH) for place in range(LENGTH)]
    return max(fit.total_variation for fit in fits), max(fit.total_variation / fit.bound for fit in fits), all(fit.passed for fit in fits)


def greedy(drafter: DrafterName, prompts: int, tokens: int) -> dict[str, Any]:
    """Prompts whose greedy text is plain decoding's, and the samples of the model itself."""
    spec = SpeculateTestSpec.model_validate(
        {"model": "bundled:base", "drafter": drafter, "prompts": prompts, "tokens": tokens, "draws": 1000, "model_draws": 4000, "threads": 2}
    )
    with tempfile.TemporaryDirectory() as folder:
        context = RecordingContext(Path(folder))
        context.kept = Path(folder) / "kept"
        result = run(spec, context)
    assert result.greedy is not None
    found = {f"identical_{drafter}": result.greedy.identical, f"first_difference_{drafter}": result.greedy.first_difference}
    model = result.comparisons[-1]
    return found | {
        f"model_quantiles_{drafter}_total_variation": model.total_variation,
        f"model_quantiles_{drafter}_of_bound": model.total_variation / model.bound,
    }


def main() -> bool:
    """Measure, print and record."""
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks losslessness", description=__doc__)
    parser.add_argument("--draws", type=int, default=200_000)
    parser.add_argument("--prompts", type=int, default=100)
    parser.add_argument("--tokens", type=int, default=64)
    arguments = parser.parse_args()
    toy = Toy.make()
    figures: dict[str, Any] = {"draws": arguments.draws, "confidence": 1 - ERROR}
    bars: dict[str, Bar] = {"draws": (">=", 100_000)}
    rights = right(toy, SAMPLING)
    for name, variant in rights.items():
        key = f"right_{name.replace(' ', '_')}"
        variation, ratio, passed = judged(toy, variant, arguments.draws, ERROR / len(rights))
        figures |= {f"{key}_total_variation": variation, f"{key}_of_bound": ratio, f"{key}_passed": passed}
        bars |= {f"{key}_of_bound": ("<=", 1.0), f"{key}_passed": ("==", True)}
    for name, make in variants(toy, SAMPLING).items():
        key = f"wrong_{name.replace(',', '').replace(' ', '_')}"
        variation, ratio, _ = judged(toy, make(), arguments.draws, ERROR / len(rights))
        figures |= {f"{key}_total_variation": variation, f"{key}_of_bound": ratio}
        bars[f"{key}_of_bound"] = (">", 1.0)
    for drafter in DRAFTERS:
        figures |= greedy(drafter, arguments.prompts, arguments.tokens)
        bars |= {f"identical_{drafter}": ("==", arguments.prompts), f"model_quantiles_{drafter}_of_bound": ("<=", 1.0)}
    return record("losslessness", figures, bars)


if __name__ == "__main__":
    sys.exit(not main())
