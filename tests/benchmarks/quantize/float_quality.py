"""What 8-bit floats, NF4 and LLM.int8() cost `bundled:base` on held-out text, beside integers of 8 and 4 bits."""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path
from typing import Any

from core.quantize.compare.run import run as compare
from core.quantize.compare.spec import QuantizeCompareSpec
from core.quantize.run import run as quantize
from core.quantize.spec import QuantizeSpec
from tests.benchmarks._silent import SilentContext
from tests.benchmarks.report import Bar, record

EVAL_TOKENS = 16384
CHECKPOINTS: dict[str, dict[str, Any]] = {
    "fp8_channel_static": {"method": "fp8", "activation_scales": "static"},
    "fp8_block": {"method": "fp8", "granularity": "block"},
    "fp8_block_dynamic": {"method": "fp8", "granularity": "block", "activation_bits": 8},
    "llm_int8": {"method": "int8"},
}
"""Schemes that the comparison has not, written as checkpoints and measured from their files."""
FP8_BAR = 1.002
OF_WEIGHTS = ("ppl_ratio_fp8_e4m3_tensor", "ppl_ratio_fp8_e4m3_channel", "ppl_ratio_fp8_block", "ppl_ratio_llm_int8")
"""Where inputs are rounded to E4M3 too, their rounding alone costs as much as that of the weights: these are printed without a bar."""


def main() -> bool:
    """Measure, print and record."""
    figures: dict[str, float] = {}
    with tempfile.TemporaryDirectory() as artifacts:
        context = SilentContext(Path(artifacts))
        compared = compare(QuantizeCompareSpec(model="bundled:base", set="floats", eval_tokens=EVAL_TOKENS), context)
        figures |= {"ppl_original": compared.ppl_before, "tokens_scored": compared.evaluation.tokens_scored}
        for row in compared.rows:
            name = row.name.replace("-", "_")
            figures |= {f"ppl_ratio_{name}": row.ppl_ratio, f"kl_{name}": row.kl_mean, f"relative_error_{name}": row.relative_error}
            figures |= {f"mean_error_{name}": row.mean_error, f"max_error_{name}": row.max_error or 0.0}
        for name, values in CHECKPOINTS.items():
            metrics = quantize(QuantizeSpec(model="bundled:base", eval_tokens=EVAL_TOKENS, **values), context).metrics
            figures |= {
                f"ppl_ratio_{name}": metrics.ppl_ratio or 0.0,
                f"kl_{name}": metrics.kl_mean or 0.0,
                f"bits_per_quantized_weight_{name}": metrics.bits_per_quantized_weight,
            }
    bars: dict[str, Bar] = dict.fromkeys(OF_WEIGHTS, ("<=", FP8_BAR))
    return record("float_quality", figures, bars)


if __name__ == "__main__":
    sys.exit(not main())
