"""A run's context that keeps what it is told."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from core.errors import Cancelled
from core.event import DetailEvent


class RecordingContext:
    """`core.context.RunContext` in memory."""

    def __init__(self, artifacts: Path) -> None:
        self.device, self.seed, self.artifacts = "cpu", 0, artifacts
        self.kept: Path | None = None
        self.steps: list[tuple[int, int, str]] = []
        self.metrics: list[tuple[str, float, int, str]] = []
        self.lines: list[str] = []
        self.details: list[tuple[str, dict[str, Any]]] = []
        self.made: list[tuple[Path, str]] = []
        self.cancel_when: Callable[[RecordingContext], bool] = lambda context: False

    def progress(self, done: int, total: int, label: str) -> None:
        self.steps.append((done, total, label))

    def metric(self, name: str, value: float, step: int = 0, label: str = "") -> None:
        self.metrics.append((name, value, step, label))

    def log(self, text: str) -> None:
        self.lines.append(text)

    def detail(self, event: DetailEvent) -> None:
        self.details.append((event.kind, event.data()))

    def artifact(self, path: Path, kind: str) -> None:
        self.made.append((path, kind))

    def check_cancelled(self) -> None:
        if self.cancel_when(self):
            raise Cancelled("cancelled")


@pytest.fixture
def context(tmp_path: Path) -> RecordingContext:
    artifacts = tmp_path / "artifacts"
    artifacts.mkdir()
    return RecordingContext(artifacts)
