"""From a key to its paint while two processes keep every core busy, as a run does."""

from __future__ import annotations

import os
import random
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.benchmarks.report import record
from tests.benchmarks.screens._terminal import Terminal, environment, percentile

KEYS = 120
SPIN = "while True:\n    sum(range(1000))"


@contextmanager
def busy() -> Iterator[int]:
    """One spinning process a core, two at least, at the priority of a worker."""
    count = max(2, len(os.sched_getaffinity(0)))
    spinning = [subprocess.Popen([sys.executable, "-c", SPIN]) for _ in range(count)]
    try:
        yield count
    finally:
        for each in spinning:
            each.kill()
            each.wait()


def latencies(terminal: Terminal, keys: list[str]) -> list[float]:
    """Milliseconds from each key to the first byte that answers it; keys come at uneven times, once the screen rests."""
    found = []
    pauses = random.Random(0)
    for key in keys:
        terminal.quiet(0.05)
        time.sleep(pauses.uniform(0.02, 0.12))
        since = len(terminal.chunks)
        sent = terminal.type(key)
        found.append(1000 * (terminal.wait_for(lambda seen: len(seen) >= 0, since, 10) - sent))
    return found


def main() -> bool:
    """Moving in the form of the Quantize tab, and typing into the filter of the Runs screen."""
    with tempfile.TemporaryDirectory() as folder, Terminal([sys.executable, "-m", "tui"], environment(Path(folder))) as terminal:
        terminal.wait_for_text("memory")
        terminal.type("2")
        terminal.wait_for_text("group size")
        terminal.quiet(1.5)
        with busy() as processes:
            moves = latencies(terminal, ["\x1b[B", "\x1b[A"] * (KEYS // 4))
            terminal.type("\x12")
            terminal.wait_for_text("No runs yet")
            terminal.type("/")
            terminal.quiet(0.5)
            typed = latencies(terminal, list("quantize and more ")[: KEYS // 2] * 3)
    every = moves + typed
    figures = {
        "key_to_paint_p95_ms": percentile(every, 0.95),
        "key_to_paint_p50_ms": percentile(every, 0.5),
        "move_p95_ms": percentile(moves, 0.95),
        "type_p95_ms": percentile(typed, 0.95),
        "keys": len(every),
        "busy_processes": processes,
    }
    return record("key_latency", figures, {"key_to_paint_p95_ms": ("<", 60.0)})


if __name__ == "__main__":
    sys.exit(not main())
