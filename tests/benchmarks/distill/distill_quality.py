"""How much of the gap between a cut or pruned `bundled:base` and the whole one 300 steps of distillation close, and what the teacher adds to text."""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

from core.distill.compare.run import run as compare
from core.distill.compare.spec import TEXT_ALONE, DistillCompareSpec
from core.distill.run import run as distill
from core.distill.spec import DistillSpec
from core.prune.run import run as prune
from core.prune.spec import PruneSpec
from tests.benchmarks._silent import SilentContext
from tests.benchmarks.report import Bar, record

STEPS = 300
EVAL_TOKENS = 32768
CUTS: dict[str, dict[str, object]] = {
    "channels": {"method": "channels", "remove": 256},
    "wanda": {"method": "wanda", "sparsity": 0.5},
}
_BARS: dict[str, Bar] = {
    "gap_closed_blocks": (">=", 0.70),
    "gap_closed_channels": (">=", 0.60),
    "gap_closed_wanda": (">=", 0.50),
    "errors_above_text_alone": (">=", 2.0),
}


def blocks() -> dict[str, float]:
    """Ten blocks to seven, trained in every way that the comparison knows."""
    with tempfile.TemporaryDirectory() as artifacts:
        found = compare(DistillCompareSpec(model="bundled:base", layers=7, steps=STEPS, eval_tokens=EVAL_TOKENS), SilentContext(Path(artifacts)))
    figures = {"ppl_teacher": found.ppl_teacher, "ppl_untrained_blocks": found.ppl_untrained}
    for row in found.rows:
        name = row.title.replace(",", "").replace(" ", "_").lower()
        assert row.gap_closed is not None
        assert row.gap_closed_se is not None
        figures |= {
            f"ppl_{name}": row.ppl,
            f"kl_{name}": row.kl_mean,
            f"gap_closed_{name}": row.gap_closed,
            f"gap_closed_se_{name}": row.gap_closed_se,
        }
        if row.title != TEXT_ALONE:
            assert row.over_text is not None
            assert row.over_text_se is not None
            figures |= {f"below_text_{name}": row.over_text, f"below_text_se_{name}": row.over_text_se}
    figures["gap_closed_blocks"] = figures["gap_closed_predictions"]
    figures["errors_above_text_alone"] = figures["below_text_predictions"] / figures["below_text_se_predictions"]
    return figures


def pruned(name: str) -> dict[str, float]:
    """A pruned model as the student."""
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / name
        prune(
            PruneSpec.model_validate({"model": "bundled:base", "eval_tokens": 0, "speed_tokens": 0, "out": str(out), **CUTS[name]}),
            SilentContext(Path(folder)),
        )
        spec = DistillSpec(model="bundled:base", student=str(out), steps=STEPS, eval_tokens=EVAL_TOKENS)
        metrics = distill(spec, SilentContext(Path(folder))).metrics
    assert metrics.gap_closed is not None
    assert metrics.gap_closed_se is not None
    assert metrics.ppl_untrained is not None
    assert metrics.ppl_after is not None
    return {
        f"ppl_untrained_{name}": metrics.ppl_untrained,
        f"ppl_{name}": metrics.ppl_after,
        f"gap_closed_{name}": metrics.gap_closed,
        f"gap_closed_se_{name}": metrics.gap_closed_se,
    }


def main() -> bool:
    """Measure, print and record."""
    return record("distill_quality", {"steps": STEPS, **pruned("wanda"), **pruned("channels"), **blocks()}, _BARS)


if __name__ == "__main__":
    sys.exit(not main())
