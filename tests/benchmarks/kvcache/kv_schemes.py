"""Every cache scheme on bundled:base, and its heads of keys and values regrouped: `llmopt kv-cache` at its defaults, against what must hold.

Memory is what the tensors hold and must be the formula's to the byte; perplexity is measured through the cache, against the full one's on the same
tokens; needles are found as `core.kvcache.measure.needle` defines it.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path

from core.kvcache.result import KvCacheResult, KvRow
from core.kvcache.run import run
from core.kvcache.spec import DEFAULT_SCHEMES, KvCacheSpec
from tests.benchmarks._silent import SilentContext
from tests.benchmarks.report import Bar, record

FIGURES = ("bytes_held", "bytes_formula", "bytes_per_token", "ppl", "ppl_ratio", "ln_ppl_ratio_se", "kl_mean", "top1_agreement", "needle_rate")
TIMES = ("ttft_ms", "tpot_ms", "tpot_ratio")
BARS: dict[str, Bar] = {
    "rows": (">=", len(DEFAULT_SCHEMES) + 2),
    "rows_whose_bytes_are_not_the_formulas": ("==", 0),
    "lossless_ppl_ratio_off_1": ("<=", 1e-5),
    "full_cache_needle_rate": (">=", 0.75),
    "multi_head_ppl_ratio_off_1": ("<=", 1e-5),
}


def main() -> bool:
    """Measure, print and record."""
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks kv_schemes", description=__doc__)
    parser.add_argument("--context", type=int, default=None)
    parser.add_argument("--windows", type=int, default=8)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--trials", type=int, default=16)
    parser.add_argument("--threads", type=int, default=None)
    given = parser.parse_args()
    spec = KvCacheSpec(
        model="bundled:base",
        heads=("all",),
        context=given.context,
        windows=given.windows,
        repeats=given.repeats,
        needle_trials=given.trials,
        threads=given.threads,
    )
    with tempfile.TemporaryDirectory() as artifacts:
        found = run(spec, SilentContext(Path(artifacts)))
    print(table(found))
    return record("kv_schemes", figures(found), BARS)


def figures(found: KvCacheResult) -> dict[str, object]:
    """What is held to bars, then every row."""
    rows = [row for row in found.rows if row.refused is None]
    lossless = [abs((row.ppl_ratio or 0) - 1) for row in rows if row.lossless]
    named = {row.name: row for row in rows}
    summary = {
        "rows": len(rows),
        "rows_whose_bytes_are_not_the_formulas": sum(row.bytes_held != row.bytes_formula for row in rows),
        "lossless_ppl_ratio_off_1": max(lossless),
        "full_cache_needle_rate": named["dynamic"].needle_rate,
        "multi_head_ppl_ratio_off_1": abs((named["mha"].ppl_ratio or 0) - 1),
        "needle_chance": found.needle.chance if found.needle else None,
        "context": found.context,
        "prompt": found.prompt,
        "tokens_scored": found.evaluation.tokens_scored,
        "corpus_sha256": found.evaluation.sha256,
        "threads": found.threads,
        "dtype": found.dtype,
        "seconds": found.seconds,
        "peak_rss_bytes": found.peak_rss_bytes,
    }
    return summary | {f"{row.name}.{name}": getattr(row, name) for row in rows for name in (*FIGURES, *TIMES)}


def table(found: KvCacheResult) -> str:
    """The rows for a person."""
    titles = ("TTFT ms", "TPOT ms", "ppl", "ratio")
    head = f"{'scheme':<10} {'bytes held':>12} {'B/token':>9} {' '.join(f'{title:>8}' for title in titles)} {'KL':>9} {'top-1':>7} {'needles':>7}"
    return "\n".join([head, *(_line(row) for row in found.rows)])


def _line(row: KvRow) -> str:
    if row.refused is not None:
        return f"{row.name:<10} {row.refused}"
    needles = "-" if row.needle_rate is None else f"{row.needle_rate:.2f}"
    return (
        f"{row.name:<10} {row.bytes_held:>12,} {row.bytes_per_token:>9.1f} {row.ttft_ms:>8.2f} {row.tpot_ms:>8.3f} {row.ppl:>8.4f} "
        f"{row.ppl_ratio:>8.5f} {row.kl_mean:>9.2e} {row.top1_agreement:>7.4f} {needles:>7}"
    )


if __name__ == "__main__":
    sys.exit(not main())
