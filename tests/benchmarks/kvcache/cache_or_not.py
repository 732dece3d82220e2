"""What a KV cache saves on bundled:base: the same tokens with it and without it, in turns, by the same decode loop.

Without a cache every step runs the whole text so far through the same fused blocks and predicts the last token only, so that nothing but the
cache differs. Keys and values are counted in the model's own projections.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path

from core.kvcache.why.result import KvCacheWhyResult
from core.kvcache.why.run import run
from core.kvcache.why.spec import KvCacheWhySpec
from tests.benchmarks._silent import SilentContext
from tests.benchmarks.report import Bar, record

BARS: dict[str, Bar] = {
    "total_speedup": (">=", 10.0),
    "speedup": (">=", 10.0),
    "exponent_with_token": ("<", 0.5),
    "projections_off_the_formula": ("==", 0),
}


def main() -> bool:
    """Measure, print and record."""
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks cache_or_not", description=__doc__)
    parser.add_argument("--longest", type=int, default=500)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--threads", type=int, default=None)
    given = parser.parse_args()
    lengths = tuple(length for length in (10, 25, 50, 100, 200, 350) if length < given.longest)
    spec = KvCacheWhySpec(model="bundled:base", lengths=(*lengths, given.longest), repeats=given.repeats, threads=given.threads)
    with tempfile.TemporaryDirectory() as artifacts:
        found = run(spec, SilentContext(Path(artifacts)))
    for row in found.rows:
        times = f"{row.with_ms:8.3f} ms with, {row.without_ms:8.3f} ms without: {row.speedup:6.1f} times; all {row.total_speedup:6.1f} times"
        print(f"{row.tokens:>5} tokens  {times}; keys and values {row.with_projections:,} and {row.without_projections:,}")
    for sentence in found.notes:
        print(sentence)
    return record("cache_or_not", figures(found), BARS)


def figures(found: KvCacheWhyResult) -> dict[str, object]:
    """At the longest length, the exponents with their intervals, and every length."""
    off = sum(
        row.with_projections != row.with_projections_formula or row.without_projections != row.without_projections_formula for row in found.rows
    )
    intervals = {f"{fit.name.replace(' ', '_')}_95_percent": [fit.low, fit.high] for fit in found.fits}
    tails = {f"{fit.name.replace(' ', '_')}_tail_exponent": fit.tail_exponent for fit in found.fits}
    lengths = {f"at_{row.tokens}": row.model_dump() for row in found.rows}
    parts = {f"{'with' if part.cached else 'without'}_parts": part.model_dump() for part in found.parts}
    machine = {"path": found.path, "threads": found.threads, "dtype": found.dtype, "repeats": found.repeats}
    return found.metrics | {"projections_off_the_formula": off} | intervals | tails | parts | machine | lengths  # type: ignore[operator]


if __name__ == "__main__":
    sys.exit(not main())
