"""Which processes are workers of our runs, for the hardware sampler's thread."""

from __future__ import annotations

from tui.services.over import Over


class OurWorkers:
    """{worker pid: run id} of what runs here. A run that is over is read once, and again only when it continues."""

    def __init__(self) -> None:
        self._over = Over()

    def __call__(self) -> dict[int, str]:
        """Look now, at the disk."""
        from core.runs.state import store

        workers = {}
        for run in store.list_runs():
            if self._over.knows(run):
                continue
            state = run.state
            self._over.note(run, state)
            if state.status == "running" and state.pid is not None and state.place.is_here():
                workers[state.pid] = run.id
        return workers
