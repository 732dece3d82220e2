"""Which processes are workers of our runs, for the hardware sampler's thread."""

from __future__ import annotations


class OurWorkers:
    """{worker pid: run id} of what runs here. A run that is over is read once and never again."""

    def __init__(self) -> None:
        self._over: set[str] = set()

    def __call__(self) -> dict[int, str]:
        """Look now, at the disk."""
        from core.runs import store

        workers = {}
        for run in store.list_runs():
            if run.id in self._over:
                continue
            state = run.state
            if state.is_over:
                self._over.add(run.id)
            elif state.status == "running" and state.pid is not None and state.place.is_here():
                workers[state.pid] = run.id
        return workers
