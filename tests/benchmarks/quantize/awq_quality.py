"""What AWQ and SmoothQuant cost `bundled:base` on held-out text, beside rounding to nearest and GPTQ on the same grids.

Every checkpoint is written to disk, read back, and measured on the same windows as the original.
"""

from __future__ import annotations

import sys
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import torch

from core.evaluate.compared import Evaluation
from core.formats.opening import open_streamed
from core.models.resolve import resolve
from core.models.stream.streaming import StreamedModel
from core.quantize.run import run
from core.quantize.spec import QuantizeSpec
from tests.benchmarks._silent import SilentContext
from tests.benchmarks.quantize.gptq_quality import EVAL_TOKENS
from tests.benchmarks.report import Bar, record

MODEL = "bundled:base"
CONTEXT = 512
W8A8: dict[str, Any] = {"bits": 8, "granularity": "channel", "activation_bits": 8}
GRIDS: dict[str, dict[str, Any]] = {
    f"{bits}{suffix}": {"bits": bits, "group_size": 128, "symmetric": symmetric}
    for bits in (4, 3)
    for suffix, symmetric in (("", True), ("_asym", False))
}
VARIANTS: dict[str, dict[str, Any]] = {
    **{f"{method}{grid}": {"method": method, **settings} for grid, settings in GRIDS.items() for method in ("rtn", "gptq", "awq")},
    "rtn_w8a8": {"method": "rtn", **W8A8},
    "smoothquant": {"method": "smoothquant"},
    "smoothquant_alpha_half": {"method": "smoothquant", "alpha": 0.5},
    "smoothquant_static": {"method": "smoothquant", "activation_scales": "static"},
    "rtn_w8a8_static": {"method": "rtn", **W8A8, "activation_scales": "static"},
}


def main() -> bool:
    """Measure, print and record."""
    source, figures = resolve(MODEL), dict[str, Any]()
    evaluation = Evaluation.prepare(source, "builtin", EVAL_TOKENS, CONTEXT)
    with tempfile.TemporaryDirectory() as scratch, ExitStack() as stack:
        opened: dict[str, StreamedModel] = {}
        for name, settings in VARIANTS.items():
            folder = Path(scratch) / name
            began = time.process_time()
            spec = QuantizeSpec.model_validate({"model": MODEL, "eval_tokens": 0, "format": "compressed-tensors", "out": str(folder), **settings})
            run(spec, SilentContext(Path(scratch)))
            figures[f"cpu_seconds_{name}"] = time.process_time() - began
            opened[name] = stack.enter_context(open_streamed(folder, torch.float32, "cpu"))
        original = stack.enter_context(StreamedModel.open(source, torch.float32))
        measured = evaluation.measure(original, opened, lambda _label: None)
    plain = measured.original.ppl
    figures |= {"ppl_original": plain, "tokens_scored": measured.convention.tokens_scored}
    for name, found in measured.others.items():
        figures |= {f"ppl_ratio_{name}": found.ppl / plain, f"kl_{name}": found.kl_mean}
    bars: dict[str, Bar] = {}
    for grid in GRIDS:
        figures[f"increase_awq{grid}_over_rtn{grid}"] = (measured.others[f"awq{grid}"].ppl - plain) / (measured.others[f"rtn{grid}"].ppl - plain)
        bars[f"increase_awq{grid}_over_rtn{grid}"] = ("<", 1.0)
    bars |= {"ppl_ratio_smoothquant": ("<=", 1.01), "ppl_ratio_smoothquant_static": ("<=", 1.01)}
    return record("awq_quality", figures, bars)


if __name__ == "__main__":
    sys.exit(not main())
