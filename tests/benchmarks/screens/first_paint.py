"""How long until llmopt-tui shows its tabs, against an empty Textual app with the same tabs, alternating in one run."""

from __future__ import annotations

import statistics
import sys
import tempfile
from pathlib import Path

from tests.benchmarks.report import record
from tests.benchmarks.screens._terminal import Terminal, environment
from tui.shell.panes import PANES

ROUNDS = 9
TITLES = tuple(pane.title for pane in PANES)
EMPTY = f"""
from textual.app import App
from textual.widgets import Static, TabbedContent, TabPane

class Empty(App):
    def compose(self):
        with TabbedContent():
            for title in {TITLES!r}:
                with TabPane(title):
                    yield Static()

Empty().run()
"""


def main() -> bool:
    """Median seconds from the start of the process to the titles of all tabs on the terminal."""
    ours: list[float] = []
    empty: list[float] = []
    content: list[float] = []
    with tempfile.TemporaryDirectory() as folder:
        environ = environment(Path(folder))
        for _ in range(ROUNDS):
            with Terminal([sys.executable, "-c", EMPTY], environ) as terminal:
                empty.append(terminal.wait_for_text(*TITLES) - terminal.began)
            with Terminal([sys.executable, "-m", "tui"], environ) as terminal:
                ours.append(terminal.wait_for_text(*TITLES) - terminal.began)
                content.append(terminal.wait_for_text("memory") - terminal.began)
    figures = {
        "empty_app_s": statistics.median(empty),
        "llmopt_tui_s": statistics.median(ours),
        "first_tab_filled_s": statistics.median(content),
        "ratio": statistics.median(ours) / statistics.median(empty),
        "rounds": ROUNDS,
    }
    return record("first_paint", figures, {"ratio": ("<=", 2.0)})


if __name__ == "__main__":
    sys.exit(not main())
