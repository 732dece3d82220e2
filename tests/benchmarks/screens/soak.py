"""The Benchmark tab left open over a load of half an hour, 4 requests per second, 120x36: by how much the program grows.

After three minutes caches are warm. What counts is memory of its own (RssAnon): pages of files come and go as the machine needs them.
"""

from __future__ import annotations

import argparse
import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import mean

from core.benchmark.calibrate.calibrate import known_server
from tests.benchmarks.report import record
from tests.benchmarks.screens._terminal import ROOT, Terminal, environment

LLMOPT = (sys.executable, "-c", "from tui.cli import main; raise SystemExit(main())")
WARM = 180.0
EVERY = 5.0
AROUND = 12
"""Looks at either end that are averaged: each falls anywhere between two times at which memory is given back."""


def main() -> bool:
    """Watch for `--minutes` after the first three; print and record."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--minutes", type=float, default=30.0)
    minutes = parser.parse_args().minutes
    with tempfile.TemporaryDirectory() as folder, known_server(first_ms=20, rate=200) as server:
        environ = environment(Path(folder))
        lasting = int(60 * minutes + WARM + 60)
        load = ("--load", "poisson", "--rate", "4", "--duration", str(lasting), "--requests", str(8 * lasting), "--output-tokens", "8")
        command = [*LLMOPT, "benchmark", server.url, *load, "--detach"]
        run = subprocess.run(command, env=environ, cwd=ROOT, capture_output=True, text=True, check=True).stdout.strip()
        with Terminal([sys.executable, "-m", "tui"], environ) as terminal:
            terminal.wait_for_text("memory")
            terminal.type("7")
            terminal.wait_for_text("throughput")
            time.sleep(WARM)
            seen = watched(terminal, 60 * minutes)
        subprocess.run([*LLMOPT, "runs", "cancel", run], env=environ, cwd=ROOT, capture_output=True, check=True)
    first, last = mean(seen[:AROUND]), mean(seen[-AROUND:])
    figures = {
        "growth_mb": (last - first) / 1e6,
        "own_memory_mb_first": first / 1e6,
        "own_memory_mb_last": last / 1e6,
        "own_memory_mb_every_5_minutes": [round(value / 1e6, 1) for value in seen[:: int(300 / EVERY)]],
        "minutes": minutes,
    }
    return record("soak", figures, {"growth_mb": ("<", 5.0), "minutes": (">=", 30.0)})


def watched(terminal: Terminal, seconds: float) -> list[int]:
    """The program's own memory in bytes, every 5 seconds."""
    status = Path(f"/proc/{terminal.process.pid}/status")
    seen: list[int] = []
    began = time.monotonic()
    while time.monotonic() - began < seconds:
        time.sleep(EVERY)
        found = re.search(r"RssAnon:\s*(\d+) kB", status.read_text())
        assert found is not None
        seen.append(1024 * int(found[1]))
        del terminal.chunks[:-1]
    return seen


if __name__ == "__main__":
    sys.exit(not main())
