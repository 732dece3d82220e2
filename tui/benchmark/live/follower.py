"""Follows a load: its state and events, whether it shall wait, and whether it left a result. Touches the disk: call it off the event loop."""

from __future__ import annotations

from core.runs.launch.pause import is_paused
from tui.benchmark.live.progress import BenchmarkProgress
from tui.experiment.follower import Follower
from tui.services.services import Runs


class LoadFollower(Follower[BenchmarkProgress]):
    """A load, what was read of it, and what lies in its folder."""

    wished = False
    """Whether the user wants it to wait; it does as soon as its events say so."""
    has_result = False

    def look(self, runs: Runs) -> None:
        super().look(runs)
        self.wished = is_paused(self.run, self.state)
        self.has_result = self.over and (self.run.path / "result.json").exists()
