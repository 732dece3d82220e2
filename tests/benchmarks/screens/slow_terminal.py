"""A terminal that takes 30 kB/s while a whole screen changes every second: how long the event loop stands still.

The same screen is shown twice, with textual's own driver and with ours. A heartbeat every 10 ms inside the app
notes its longest delay; the app writes it down when it leaves.
"""

from __future__ import annotations

import json
import sys
import tempfile
import time
from pathlib import Path

from tests.benchmarks.report import record
from tests.benchmarks.screens._terminal import Terminal, environment

RATE = 30_000
SECONDS = 20.0
BAR_MS = 250.0
APP = """
import asyncio, json, random, sys, time
from pathlib import Path
from rich.text import Text
from textual.app import App
from textual.widgets import Static
from tui.terminal.driver import PatientDriver
from tui.shell.resilient import ResilientApp

class Busy(ResilientApp):
    CSS = "Static { width: 100%; height: 100%; }"
    gaps, keys, frames = [], [], 0

    def compose(self):
        yield Static()

    def on_mount(self):
        self.set_interval(1.0, self.paint)
        self.beat = asyncio.get_running_loop().create_task(self.heart())

    async def heart(self):
        await asyncio.sleep(1)
        while True:
            before = time.perf_counter()
            await asyncio.sleep(0.01)
            self.gaps.append(time.perf_counter() - before - 0.01)

    def paint(self):
        self.frames += 1
        draw = random.Random(self.frames)
        text = Text(no_wrap=True)
        for _ in range(self.size.height):
            for _ in range(self.size.width):
                text.append(chr(0x2800 + draw.randrange(256)), f"color({draw.randrange(16, 232)})")
            text.append(chr(10))
        self.query_one(Static).update(text)

    def on_key(self, event):
        if event.key == "q":
            figures = {"worst": max(self.gaps), "frames": self.frames, "keys": len(self.keys)}
            Path(sys.argv[2]).write_text(json.dumps(figures))
            self.exit()
        self.keys.append(event.key)

app = Busy(driver_class=PatientDriver if sys.argv[1] == "ours" else None)
app.run()
"""


def measure(driver: str, folder: Path) -> dict[str, float]:
    """Worst delay in seconds, frames asked for, keys heard, with one of the two drivers."""
    out = folder / f"{driver}.json"
    command = [sys.executable, "-c", APP, driver, str(out)]
    with Terminal(command, environment(folder), bytes_per_second=RATE) as terminal:
        began = time.monotonic()
        while time.monotonic() - began < SECONDS:
            time.sleep(0.5)
            terminal.type("x")
        written = terminal.written(began) / (time.monotonic() - began)
        terminal.type("q")
        terminal.wait_for_file(out)
    return {**json.loads(out.read_text()), "bytes_per_s": written}


def main() -> bool:
    """The bar is for our driver; textual's own stands beside it."""
    with tempfile.TemporaryDirectory() as name:
        theirs, ours = measure("textual", Path(name)), measure("ours", Path(name))
    figures = {
        "worst_stall_ms": 1000 * ours["worst"],
        "worst_stall_textual_ms": 1000 * theirs["worst"],
        "keys_heard": ours["keys"],
        "keys_heard_textual": theirs["keys"],
        "bytes_per_s": ours["bytes_per_s"],
    }
    return record("slow_terminal", figures, {"worst_stall_ms": ("<=", BAR_MS)})


if __name__ == "__main__":
    sys.exit(not main())
