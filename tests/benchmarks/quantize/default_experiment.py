"""The default experiment from the command line: `llmopt quantize bundled:base`, process start and evaluation before and after included."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time

from tests.benchmarks.report import Bar, record

BARS: dict[str, Bar] = {"seconds_wall": ("<=", 60), "ppl_ratio": ("<=", 1.03)}


def main() -> bool:
    """Run it in a fresh home, print and record."""
    command = [sys.executable, "-c", "from tui.cli import main; raise SystemExit(main())", "quantize", "bundled:base", "--json"]
    with tempfile.TemporaryDirectory() as home:
        began = time.monotonic()
        answer = subprocess.run(command, env=os.environ | {"LLMOPT_HOME": home}, check=True, stdout=subprocess.PIPE, text=True).stdout
        seconds = time.monotonic() - began
    metrics = json.loads(answer)["metrics"]
    names = ("seconds", "seconds_quantizing", "seconds_evaluating", "ppl_before", "ppl_after", "ppl_ratio", "kl_mean", "peak_rss_bytes")
    return record("default_experiment", {"seconds_wall": seconds} | {name: metrics[name] for name in names}, BARS)


if __name__ == "__main__":
    sys.exit(not main())
