"""Mixed precision against one width for all, at equal size: GPTQ on `bundled:base`, measured on held-out text."""

from __future__ import annotations

import sys
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path

import torch

from core.evaluate.compared import Evaluation
from core.models.resolve import resolve
from core.models.stream.streaming import StreamedModel
from core.quantize.pipeline.checkpoint import check_weights, write_checkpoint
from core.quantize.pipeline.inputs import calibration_windows_of
from core.quantize.pipeline.written import Written
from core.quantize.spec import QuantizeSpec
from core.quantize.whole.mixed import PLAN, measure, plan_for
from core.runs.resume_store import ResumeStore
from core.runs.steps import Steps
from tests.benchmarks._silent import SilentContext
from tests.benchmarks.report import Bar, record

EVAL_TOKENS = 65536
UNIFORM = (3, 4, 5, 6)
"""Widths that are set against a mixture of the same size; at the smallest and the largest width nothing can be mixed."""
WIDTHS = (2, 3, 4, 5, 6, 8)


def main() -> bool:
    """Measure, print and record."""
    source = resolve("bundled:base")
    mixed = QuantizeSpec(model="bundled:base", method="mixed", widths=WIDTHS, eval_tokens=EVAL_TOKENS)
    windows, _ = calibration_windows_of(mixed, source)
    evaluation = Evaluation.prepare(source, mixed.text, EVAL_TOKENS, mixed.context)
    with tempfile.TemporaryDirectory() as artifacts, StreamedModel.open(source, torch.float32) as original, ExitStack() as stack:
        steps = Steps(SilentContext(Path(artifacts)), 0)
        check_weights(original, steps)
        began = time.monotonic()
        found = measure(original, mixed, windows, steps)
        figures: dict[str, float] = {"measurements": len(found), "seconds_measuring": time.monotonic() - began}
        made: dict[str, Written] = {}
        for bits in UNIFORM:
            uniform = mixed.model_copy(update={"method": "gptq", "bits": bits})
            made[f"uniform_{bits}"] = write_checkpoint(uniform, original, windows, Path(artifacts) / f"u{bits}", steps, whole=False)
            spec = mixed.model_copy(update={"budget": _bits(made[f"uniform_{bits}"])})
            plan, store = plan_for(spec, found), ResumeStore()
            store.put(PLAN, plan.to_json())
            planned = Steps(SilentContext(Path(artifacts)), 0, store)
            made[f"mixed_{bits}"] = write_checkpoint(spec, original, windows, Path(artifacts) / f"m{bits}", planned, whole=False)
            figures |= {f"predicted_kl_mixed_{bits}": plan.predicted_kl, f"proven_least_{bits}": plan.exact}
        models = {name: stack.enter_context(written.open(original)) for name, written in made.items()}
        measured = evaluation.measure(original, models, steps.step)
    figures |= {"ppl_original": measured.original.ppl, "tokens_scored": measured.convention.tokens_scored}
    for name, one in measured.others.items():
        figures |= {f"bits_{name}": _bits(made[name]), f"ppl_ratio_{name}": one.ppl_ratio, f"kl_{name}": one.kl_mean, f"kl_se_{name}": one.kl_se}
    bars: dict[str, Bar] = {}
    for bits in UNIFORM:
        figures[f"bits_above_uniform_{bits}"] = max(figures[f"bits_mixed_{bits}"] - figures[f"bits_uniform_{bits}"], 0.0)
        figures[f"kl_over_uniform_{bits}"] = figures[f"kl_mixed_{bits}"] / figures[f"kl_uniform_{bits}"]
        bars |= {f"bits_above_uniform_{bits}": ("==", 0), f"kl_over_uniform_{bits}": ("<", 1.0)}
    return record("mixed_quality", figures, bars)


def _bits(written: Written) -> float:
    """Bits of a quantized weight on average, scales counted."""
    return 8 * sum(layer.bytes for layer in written.layers) / sum(layer.rows * layer.columns for layer in written.layers)


if __name__ == "__main__":
    sys.exit(not main())
