"""What the open Hardware tab costs at 1 Hz, 120x36, 256 colours: processor, memory, bytes to the terminal."""

from __future__ import annotations

import sys
import tempfile
import time
from pathlib import Path

from tests.benchmarks.report import record
from tests.benchmarks.screens._terminal import Terminal, environment

SETTLE = 6.0
SECONDS = 30.0


def main() -> bool:
    """Means over 30 s after the first 6; the largest memory seen."""
    with tempfile.TemporaryDirectory() as folder, Terminal([sys.executable, "-m", "tui"], environment(Path(folder))) as terminal:
        terminal.wait_for_text("memory")
        time.sleep(SETTLE)
        began, cpu = time.monotonic(), terminal.cpu_seconds()
        memory = []
        while time.monotonic() - began < SECONDS:
            time.sleep(1)
            memory.append(terminal.rss_bytes())
        seconds = time.monotonic() - began
        figures = {
            "cpu_percent": 100 * (terminal.cpu_seconds() - cpu) / seconds,
            "rss_mb": max(memory) / 1e6,
            "terminal_bytes_per_s": terminal.written(began) / seconds,
            "seconds": seconds,
        }
    return record("idle", figures, {"cpu_percent": ("<=", 3.0), "rss_mb": ("<=", 90.0), "terminal_bytes_per_s": ("<=", 4000.0)})


if __name__ == "__main__":
    sys.exit(not main())
