"""The servers of this home, and what each says of itself. Touches the disk: call it off the event loop."""

from __future__ import annotations

from dataclasses import dataclass
from threading import Lock

from core.runs.state.state import State
from core.runs.state.store import Run
from tui.benchmark.names import SERVE, engine
from tui.benchmark.servers.progress import MEMORY, RUNNING, WAITING, ServerProgress
from tui.experiment.follower import Follower
from tui.services.services import Runs

_MOST = 30


@dataclass(frozen=True)
class ServerRow:
    """One server."""

    run: Run
    state: State
    url: str
    """Empty until it answers."""
    model: str
    engine: str
    running: float | None
    waiting: float | None
    memory: float | None

    @property
    def going(self) -> bool:
        return not self.state.is_over

    @property
    def answers(self) -> bool:
        """Whether it can be measured."""
        return self.going and bool(self.url)


class ServerList:
    """Remembers how far it has read each server's events."""

    def __init__(self) -> None:
        self._followers: dict[str, Follower[ServerProgress]] = {}
        self._read: set[str] = set()
        """Those that were over when they were last read: they say nothing any more."""
        self._reading = Lock()

    def read(self, runs: Runs, *, anew: bool) -> list[ServerRow] | None:
        """Those that go on, then those that are over, newest first.

        Args:
            runs: of this home.
            anew: look for servers that are not known yet, too.

        Returns:
            None without `anew` while another thread reads.
        """
        if not self._reading.acquire(timeout=10 if anew else 0):
            return None
        try:
            if anew:
                found = [run for run in runs.list_runs() if run.capability == SERVE][:_MOST]
                self._followers = {run.id: self._followers.get(run.id) or Follower(run, ServerProgress()) for run in found}
            for follower in self._followers.values():
                if follower.run.id not in self._read:
                    follower.look(runs)
                if follower.over:
                    self._read.add(follower.run.id)
            rows = [_row(follower) for follower in self._followers.values()]
        finally:
            self._reading.release()
        return sorted(rows, key=lambda row: not row.going)


def _row(follower: Follower[ServerProgress]) -> ServerRow:
    progress = follower.progress
    ready = progress.ready
    return ServerRow(
        run=follower.run,
        state=follower.state,
        url=ready.url if ready is not None else "",
        model=(ready.model if ready is not None else "") or follower.run.model,
        engine=engine(follower.run.values),
        running=progress.metrics.get(RUNNING),
        waiting=progress.metrics.get(WAITING),
        memory=progress.metrics.get(MEMORY),
    )
