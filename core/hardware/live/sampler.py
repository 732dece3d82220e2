"""One daemon thread that takes a snapshot a second; readers only pick up the latest."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Protocol

from core.hardware.live.history import History
from core.hardware.live.probe import MachineProbe, OurRuns
from core.hardware.snapshot import Snapshot
from core.sanitize import clean


class Probe(Protocol):
    """What takes snapshots."""

    def snapshot(self, t: float) -> Snapshot:
        """The machine now."""

    def close(self) -> None:
        """Let go of the driver."""


class Sampler:
    """Takes a snapshot every `interval` seconds.

    Args:
        interval: seconds from one snapshot's start to the next; may be changed while it runs.
        probe: what takes the snapshots; default: this machine.
        clock: the time written into a snapshot.
        length: how many values each series of the history keeps.
        ours: running runs as {worker pid: run id}; their processes are marked.
        folders: {label: folder} whose disks are shown.
    """

    def __init__(
        self,
        interval: float = 1.0,
        probe: Probe | None = None,
        clock: Callable[[], float] = time.time,
        *,
        length: int = 600,
        ours: OurRuns | None = None,
        folders: Mapping[str, Path] | None = None,
    ) -> None:
        self.interval = interval
        self.history = History(length)
        self.problem: str | None = None
        """Why the last attempt brought no snapshot; None when it did."""
        self._probe: Probe = probe or MachineProbe(ours=ours, folders=folders)
        self._clock = clock
        self._latest: Snapshot | None = None
        self._stop = threading.Event()
        self._taking = threading.Lock()
        self._thread: threading.Thread | None = None

    @property
    def latest(self) -> Snapshot | None:
        """The newest snapshot; None before the first."""
        return self._latest

    @property
    def running(self) -> bool:
        """Whether the thread lives."""
        return self._thread is not None and self._thread.is_alive()

    def start(self) -> None:
        """Begin sampling; the first snapshot is taken at once, on the thread."""
        if self.running:
            return
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._loop, args=(self._stop,), name="llmopt-sampler", daemon=True)
        self._thread.start()

    def stop(self, patience: float = 1.0) -> None:
        """End the thread, waiting at most `patience` seconds for a call into the driver that hangs."""
        self._stop.set()
        if self._thread is not None:
            self._thread.join(patience)
            if not self._thread.is_alive():
                self._probe.close()
        self._thread = None

    def sample(self) -> Snapshot:
        """Take one snapshot now, on the caller's thread."""
        with self._taking:
            snapshot = self._probe.snapshot(self._clock())
            self._latest = snapshot
            self.history.add(snapshot)
            return snapshot

    def _loop(self, stop: threading.Event) -> None:
        while not stop.is_set():
            begun = time.monotonic()
            try:
                self.sample()
                self.problem = None
            except Exception as error:
                self.problem = clean(f"the machine could not be sampled: {type(error).__name__}: {error}", limit=300)
            stop.wait(max(self.interval - (time.monotonic() - begun), 0.05))
