"""What quantization costs `bundled:base` on held-out text, and that the order of the methods is the one that theory gives."""

from __future__ import annotations

import sys
import tempfile
from itertools import pairwise
from pathlib import Path

from core.quantize.compare.result import CompareRow
from core.quantize.compare.run import run
from core.quantize.compare.spec import QuantizeCompareSpec
from tests.benchmarks._silent import SilentContext
from tests.benchmarks.report import Bar, record

EVAL_TOKENS = 65536
ORDER = ("rtn-w8-channel", "rtn-w4-group", "rtn-w4-channel", "rtn-w3-group")
"""Perplexity rises along this row."""


def main() -> bool:
    """Measure, print and record."""
    with tempfile.TemporaryDirectory() as artifacts:
        spec = QuantizeCompareSpec(model="bundled:base", eval_tokens=EVAL_TOKENS, calibration_samples=64)
        result = run(spec, SilentContext(Path(artifacts)))
    rows: dict[str, CompareRow] = {row.name: row for row in result.rows}
    original = result.ppl_before
    figures: dict[str, float] = {"ppl_original": original, "tokens_scored": result.evaluation.tokens_scored}
    for name, row in rows.items():
        figures |= {f"ppl_{name}": row.ppl, f"kl_{name}": row.kl_mean}
    figures["ppl_ratio_gptq4"] = rows["gptq-w4-group"].ppl_ratio
    figures["increase_gptq3_over_rtn3"] = (rows["gptq-w3-group"].ppl - original) / (rows["rtn-w3-group"].ppl - original)
    figures["increase_gptq4_over_rtn4"] = (rows["gptq-w4-group"].ppl - original) / (rows["rtn-w4-group"].ppl - original)
    ladder = [original, *(rows[name].ppl for name in ORDER)]
    figures["steps_out_of_order"] = sum(later < earlier * (1 - 1e-3) for earlier, later in pairwise(ladder))
    bars: dict[str, Bar] = {
        "ppl_ratio_gptq4": ("<=", 1.03),
        "increase_gptq3_over_rtn3": ("<=", 0.75),
        "increase_gptq4_over_rtn4": ("<=", 1.0),
        "steps_out_of_order": ("==", 0),
    }
    return record("gptq_quality", figures, bars)


if __name__ == "__main__":
    sys.exit(not main())
