"""Additive codebooks at 2 bits against GPTQ at 2 bits in groups of 128, on held-out text and counting every stored byte."""

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

COMMON = {"model": "bundled:base", "eval_tokens": 32768, "calibration_samples": 64}
GPTQ = {
    "gptq2": {},
    "gptq2_clipped": {"clipping": "mse"},
    "gptq2_clipped_asymmetric": {"clipping": "mse", "symmetric": False},
}
"""The bar is the first; the others are the best that GPTQ does here, the last with more bits."""


def measured(**values: object) -> QuantizeMetrics:
    """Figures of one quantization, whose checkpoint is thrown away."""
    with tempfile.TemporaryDirectory() as artifacts:
        return run(QuantizeSpec.model_validate(COMMON | values), SilentContext(Path(artifacts))).metrics


def main() -> bool:
    """Measure, print and record."""
    began = time.process_time()
    additive = measured(method="additive")
    figures: dict[str, float | None] = {
        "ppl_original": additive.ppl_before,
        "ppl_additive2": additive.ppl_after,
        "kl_additive2": additive.kl_mean,
        "bits_additive2": additive.bits_per_quantized_weight,
        "seconds_additive2": additive.seconds_quantizing,
        "cpu_seconds_additive2_with_evaluation": time.process_time() - began,
        "peak_rss_bytes": additive.peak_rss_bytes,
    }
    bars: dict[str, Bar] = {}
    for name, values in GPTQ.items():
        found = measured(method="gptq", bits=2, **values)  # type: ignore[arg-type]
        assert additive.ppl_after is not None
        assert additive.ppl_before is not None
        assert found.ppl_after is not None
        figures |= {f"ppl_{name}": found.ppl_after, f"kl_{name}": found.kl_mean, f"bits_{name}": found.bits_per_quantized_weight}
        figures[f"increase_over_{name}"] = (additive.ppl_after - additive.ppl_before) / (found.ppl_after - additive.ppl_before)
        figures[f"bits_more_than_{name}"] = additive.bits_per_quantized_weight - found.bits_per_quantized_weight
        bars |= {f"increase_over_{name}": ("<", 1.0), f"bits_more_than_{name}": ("<=", 0.0)}
    return record("additive_quality", figures, bars)


if __name__ == "__main__":
    sys.exit(not main())
