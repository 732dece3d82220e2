"""How much of what rounding to nearest loses at 4 bits a channel comes back by training through the rounding, on held-out text."""

from __future__ import annotations

import sys
import tempfile
import time
from pathlib import Path

from core.quantize.result import QuantizeMetrics
from core.quantize.run import run
from core.quantize.spec import QuantizeSpec
from tests.benchmarks._silent import SilentContext
from tests.benchmarks.report import Bar, record

COMMON = {"model": "bundled:base", "bits": 4, "granularity": "channel", "eval_tokens": 32768, "train_steps": 80}


def measured(method: str) -> QuantizeMetrics:
    """Figures of one quantization, whose checkpoint is thrown away."""
    with tempfile.TemporaryDirectory() as artifacts:
        return run(QuantizeSpec.model_validate(COMMON | {"method": method}), SilentContext(Path(artifacts))).metrics


def main() -> bool:
    """Measure, print and record."""
    figures: dict[str, float | None] = {}
    ppl: dict[str, float] = {}
    for method in ("rtn", "gptq", "qat"):
        began = time.process_time()
        found = measured(method)
        assert found.ppl_before is not None
        assert found.ppl_after is not None
        ppl |= {"original": found.ppl_before, method: found.ppl_after}
        figures |= {f"ppl_{method}4": found.ppl_after, f"kl_{method}4": found.kl_mean, f"bits_{method}4": found.bits_per_quantized_weight}
        figures |= {f"seconds_{method}4": found.seconds_quantizing, f"cpu_seconds_{method}4_with_evaluation": time.process_time() - began}
    gap = ppl["rtn"] - ppl["original"]
    figures |= {"ppl_original": ppl["original"], "peak_rss_bytes": found.peak_rss_bytes}
    figures |= {f"gap_closed_by_{method}": (ppl["rtn"] - ppl[method]) / gap for method in ("gptq", "qat")}
    bars: dict[str, Bar] = {"gap_closed_by_qat": (">=", 0.5)}
    return record("qat_quality", figures, bars)


if __name__ == "__main__":
    sys.exit(not main())
