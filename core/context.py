"""What a run is given: the only way a capability speaks to the outside."""

from __future__ import annotations

from pathlib import Path
from typing import Protocol

from core.event import DetailEvent


class RunContext(Protocol):
    """Progress, figures, words and files of a run, and whether it was cancelled."""

    device: str
    """Resolved device: cpu or cuda:N."""
    seed: int
    artifacts: Path
    """Existing folder for what the run makes; write under a temporary name and rename when whole."""
    kept: Path | None
    """Folder, perhaps not made yet, for what lets a stopped run go on; it outlives a failure and is removed when the run is done. None: no place."""

    def progress(self, done: int, total: int, label: str) -> None:
        """`done` of `total` steps are finished; `label` says what comes next. `total` is one number for the whole run."""

    def metric(self, name: str, value: float, step: int = 0, label: str = "") -> None:
        """A measured figure; `label` names what it belongs to, for example a linear."""

    def log(self, text: str) -> None:
        """A line for the user."""

    def detail(self, event: DetailEvent) -> None:
        """What a live view shows beyond figures: at most 16 KiB of JSON; a longer one is not kept."""

    def artifact(self, path: Path, kind: str) -> None:
        """A finished file or folder of the run, for example kind `checkpoint`."""

    def check_cancelled(self) -> None:
        """Raise `core.errors.Cancelled` when the user has cancelled the run. Call it at every step."""
