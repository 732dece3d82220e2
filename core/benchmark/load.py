"""Put a load on a server: one schedule, several worker processes, every request accounted for."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from queue import Empty, SimpleQueue
from time import monotonic, monotonic_ns

from core.benchmark.asking import DIALECT_OF, Ask
from core.benchmark.client import Patience
from core.benchmark.job import Job, framed, read_frame
from core.benchmark.outcome import Outcome
from core.benchmark.raw import Raw
from core.benchmark.worker import READY, TICKET, USED
from core.engine import Endpoint
from core.errors import RequestError, RunFailed

OnOutcome = Callable[[Outcome], None]
_HEAD_START = 200_000_000
_START_WITHIN = 60.0
_LOOK = 0.1
_STOP_WITHIN = 5.0


@dataclass(frozen=True)
class Load:
    """What is sent.

    Args:
        target: where to.
        asks: ascending by their due time, numbered from 0.
        concurrency: requests that are under way at once, at most; None: as many as the schedule brings.
        closed: the next request is due when a slot is free, instead of at its time.
        workers: processes.
        patience: time limits of a request.
        dialect: how answers are read; default: by the target's style.
    """

    target: Endpoint
    asks: Sequence[Ask]
    concurrency: int | None = None
    closed: bool = False
    workers: int = 1
    patience: Patience = field(default_factory=Patience)
    dialect: str | None = None


@dataclass(frozen=True)
class Carried:
    """What became of a load."""

    begin: int
    """Nanoseconds of the monotonic clock at which it began."""
    end: int
    outcomes: list[Outcome]
    """One for every request, by its number."""
    cpu_seconds: float = 0.0
    """Processor time that the client's processes took."""


def carry(load: Load, on_outcome: OnOutcome | None = None, stopped: Callable[[], bool] = lambda: False) -> Carried:
    """Send a load and wait until every request is over.

    Args:
        load: what, where to and how fast.
        on_outcome: told of each request when it is over.
        stopped: asked ten times a second; True ends the load, and what was not sent stays unsent.

    Raises:
        RequestError: nothing to send, or a closed load without a concurrency.
        RunFailed: a worker process does not start.
    """
    _check(load)
    tickets = _tickets(len(load.asks)) if load.closed else os.open(os.devnull, os.O_RDONLY)
    heard: SimpleQueue[Raw | None] = SimpleQueue()
    workers: list[_Worker] = []
    try:
        workers += [_Worker(job, tickets) for job in _jobs(load)]
        for worker in workers:
            worker.wait_until_ready()
        begin = monotonic_ns() + _HEAD_START
        for worker in workers:
            worker.begin(begin, heard)
        outcomes = _gather(load, workers, heard, on_outcome, stopped)
    finally:
        for worker in workers:
            worker.close()
        os.close(tickets)
    return Carried(begin, monotonic_ns(), _complete(load, begin, outcomes), sum(worker.cpu_seconds for worker in workers))


def _check(load: Load) -> None:
    if not load.asks:
        raise RequestError("there is nothing to send: give at least one request")
    if load.closed and load.concurrency is None:
        raise RequestError("a load without times needs a concurrency: give how many requests are under way at once")
    if load.concurrency is not None and load.concurrency < 1:
        raise RequestError(f"concurrency = {load.concurrency} cannot be used: give at least 1")


def _jobs(load: Load) -> list[Job]:
    """The share of each worker."""
    limit = len(load.asks) if load.concurrency is None else min(load.concurrency, len(load.asks))
    count = max(1, min(load.workers, limit))
    jobs = []
    for number in range(count):
        slots = limit // count + (number < limit % count)
        asks = load.asks if load.closed else load.asks[number::count]
        jobs.append(Job(load.target, asks, slots, load.closed, load.patience))
    return jobs


def _tickets(count: int) -> int:
    """A pipe that holds the numbers 0 .. count - 1, and then ends; written by a thread, as a pipe does not hold many."""
    read, write = os.pipe()

    def fill() -> None:
        with contextlib.suppress(OSError):
            for number in range(count):
                os.write(write, number.to_bytes(TICKET, "little"))
        os.close(write)

    threading.Thread(target=fill, daemon=True).start()
    return read


class _Worker:
    """One process, the thread that reads what it reports, and when it was heard last."""

    def __init__(self, job: Job, tickets: int) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "core.benchmark.worker", str(tickets)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            pass_fds=(tickets,),
        )
        self._frame = job.packed()
        self.cpu_seconds = 0.0

    def wait_until_ready(self) -> None:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        timer = threading.Timer(_START_WITHIN, self._process.kill)
        timer.start()
        try:
            self._process.stdin.write(self._frame)
            self._process.stdin.flush()
            if read_frame(self._process.stdout) != READY:  # type: ignore[arg-type]
                raise RunFailed("a worker process of the load did not start: see whether memory or processes of this machine are exhausted")
        except BrokenPipeError:
            raise RunFailed("a worker process of the load ended before it began") from None
        finally:
            timer.cancel()

    def begin(self, moment: int, heard: SimpleQueue[Raw | None]) -> None:
        assert self._process.stdin is not None
        with contextlib.suppress(BrokenPipeError):
            self._process.stdin.write(framed(moment.to_bytes(8, "little")))
            self._process.stdin.flush()
        threading.Thread(target=self._read, args=(heard,), daemon=True).start()

    def _read(self, heard: SimpleQueue[Raw | None]) -> None:
        assert self._process.stdout is not None
        while (frame := read_frame(self._process.stdout)) is not None:  # type: ignore[arg-type]
            if frame.startswith(USED):
                self.cpu_seconds = float(frame.removeprefix(USED))
            else:
                heard.put(Raw.unpacked(frame))
        heard.put(None)

    def stop(self) -> None:
        with contextlib.suppress(OSError):
            self._process.terminate()

    def kill(self) -> None:
        with contextlib.suppress(OSError):
            self._process.kill()

    def close(self) -> None:
        self.kill()
        self._process.wait()
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe is not None:
                with contextlib.suppress(OSError):
                    pipe.close()


def _gather(
    load: Load, workers: Sequence[_Worker], heard: SimpleQueue[Raw | None], on_outcome: OnOutcome | None, stopped: Callable[[], bool]
) -> dict[int, Outcome]:
    dialect = load.dialect or DIALECT_OF[load.target.style]
    found: dict[int, Outcome] = {}
    open_workers, stop_at = len(workers), None
    while open_workers:
        try:
            raw = heard.get(timeout=_LOOK)
        except Empty:
            raw = None
        else:
            open_workers -= raw is None
        if raw is not None:
            found[raw.index] = outcome = raw.outcome(dialect)
            if on_outcome is not None:
                on_outcome(outcome)
        if stop_at is None and stopped():
            stop_at = monotonic() + _STOP_WITHIN
            for worker in workers:
                worker.stop()
        elif stop_at is not None and monotonic() > stop_at:
            for worker in workers:
                worker.kill()
    return found


def _complete(load: Load, begin: int, found: dict[int, Outcome]) -> list[Outcome]:
    """An outcome for every request: what no worker reported was not sent, or is not known to have been."""
    return [
        found.get(ask.index) or Outcome(ask.index, "unsent", begin + ask.due, reason="it was not sent before the load ended") for ask in load.asks
    ]
