"""A run's context for benchmarks that call a run in their own process."""

from __future__ import annotations

import sys
from pathlib import Path


class SilentContext:
    """A run's context that keeps nothing but a word on progress."""

    device: str = "cpu"
    seed: int = 0
    kept: Path | None = None

    def __init__(self, artifacts: Path) -> None:
        self.artifacts = artifacts

    def progress(self, done: int, total: int, label: str) -> None:
        """Overwrite one line on a terminal."""
        if sys.stderr.isatty():
            print(f"\r{done}/{total} {label[:60]:<60}", end="", file=sys.stderr, flush=True)

    def metric(self, name: str, value: float, step: int = 0, label: str = "") -> None:
        """Not kept."""

    def log(self, text: str) -> None:
        """Not kept."""

    def detail(self, event: object) -> None:
        """Not kept."""

    def artifact(self, path: Path, kind: str) -> None:
        """Not kept."""

    def check_cancelled(self) -> None:
        """Never."""
