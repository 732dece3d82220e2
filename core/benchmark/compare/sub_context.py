"""A part of a run, which speaks as if it were a run of its own."""

from __future__ import annotations

from pathlib import Path

from core.context import RunContext
from core.event import DetailEvent
from core.runs.launch.pause import pause_asked
from core.sanitize import clean

_STEPS = 1000


class SubContext:
    """`core.context.RunContext` of one of `count` parts that follow each other.

    Args:
        whole: context of the run.
        number: of the part, from 0.
        count: parts.
        label: put before words and after figures.
    """

    def __init__(self, whole: RunContext, number: int, count: int, label: str) -> None:
        self._whole, self._number, self._count, self._label = whole, number, count, clean(label, limit=80)
        self.device, self.seed = whole.device, whole.seed
        self.kept: Path | None = None
        self.artifacts = whole.artifacts / f"target-{number + 1}"
        self.artifacts.mkdir(parents=True, exist_ok=True)

    def progress(self, done: int, total: int, label: str) -> None:
        """As a share of the run."""
        share = min(done / total, 1.0) if total > 0 else 0.0
        self._whole.progress(round((self._number + share) * _STEPS), self._count * _STEPS, f"{self._label}: {label}" if label else self._label)

    def metric(self, name: str, value: float, step: int = 0, label: str = "") -> None:
        """With the part's label."""
        self._whole.metric(name, value, step, f"{self._label} {label}".strip())

    def log(self, text: str) -> None:
        """With the part's label."""
        self._whole.log(f"{self._label}: {text}")

    def detail(self, event: DetailEvent) -> None:
        """As it is."""
        self._whole.detail(event)

    def artifact(self, path: Path, kind: str) -> None:
        """As it is."""
        self._whole.artifact(path, kind)

    def check_cancelled(self) -> None:
        """As the run."""
        self._whole.check_cancelled()

    def pause_asked(self) -> bool:
        """As the run."""
        return pause_asked(self._whole)
