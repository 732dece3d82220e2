"""Load-test a server: one schedule, several worker processes, every request accounted for."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from queue import Empty, SimpleQueue
from time import monotonic, monotonic_ns, sleep
from typing import Final

from core.benchmark.client.client import Patience
from core.benchmark.client.held import Kept
from core.benchmark.client.job import GO_ON, PAUSE, Job, framed, read_frame
from core.benchmark.client.outcome import Outcome, Status
from core.benchmark.client.raw import Raw
from core.benchmark.client.request import DIALECT_OF, Request
from core.benchmark.client.worker import READY, TICKET, UNDER_WAY, USED
from core.engine import Endpoint
from core.errors import RequestError, RunFailed

OnOutcome = Callable[[Outcome], None]
OnLook = Callable[[int, bool], None]
Pause = tuple[int, int]
"""From when to when nothing new was sent, nanoseconds of the monotonic clock."""
_HEAD_START = 200_000_000
_START_WITHIN = 60.0
_LOOK = 0.1
_STOP_WITHIN = 5.0
_UNSENT: Final[tuple[Status, str]] = ("unsent", "it was not sent before the load ended")
_LOST: Final[tuple[Status, str]] = ("failed", "the client process ended before the response: check whether this machine ran out of memory")
_STANDS_BACK = 10
"""Added to the niceness of a thread that is in no hurry."""


@dataclass(frozen=True)
class Load:
    """What is sent.

    Args:
        target: where to.
        requests: ascending by their due time, numbered from 0.
        concurrency: requests that are under way at once, at most; None: as many as the schedule brings.
        closed: the next request is due when a slot is free, instead of at its time.
        workers: processes.
        patience: time limits of a request.
        dialect: how answers are read; default: by the target's style.
        tokens: most tokens that a request asks for, by which the size of its answer is limited.
    """

    target: Endpoint
    requests: Sequence[Request]
    concurrency: int | None = None
    closed: bool = False
    workers: int = 1
    patience: Patience = field(default_factory=Patience)
    dialect: str | None = None
    tokens: int = 4096


@dataclass(frozen=True)
class LoadResult:
    """What became of a load."""

    begin: int
    """Nanoseconds of the monotonic clock at which it began."""
    end: int
    outcomes: list[Outcome]
    """One for every request, by its number."""
    cpu_seconds: float = 0.0
    """Processor time that the client's processes took."""
    pauses: tuple[Pause, ...] = ()
    """One after the other."""
    paced: bool = False
    """Whether requests came at times of their own, instead of when a slot was free."""


def run_load(
    load: Load,
    on_outcome: OnOutcome | None = None,
    stopped: Callable[[], bool] = lambda: False,
    paused: Callable[[], bool] = lambda: False,
    on_look: OnLook = lambda _under_way, _paused: None,
) -> LoadResult:
    """Send a load and wait until every request is over.

    Args:
        load: what, where to and how fast.
        on_outcome: called with each request when it is over.
        stopped: asked ten times per second; True ends the load, and what was not sent stays unsent.
        paused: asked ten times per second; while it says True nothing new is sent, what is under way is answered, and the schedule stops: what
            was not sent is due later by as long as the pause took.
        on_look: called ten times per second with how many requests are under way, and whether the load is paused.

    Raises:
        RequestError: nothing to send, or a closed load without a concurrency.
        RunFailed: a worker process does not start.
    """
    _check(load)
    tickets = _tickets(len(load.requests)) if load.closed else os.open(os.devnull, os.O_RDONLY)
    reported: SimpleQueue[Outcome | None] = SimpleQueue()
    dialect = load.dialect or DIALECT_OF[load.target.style]
    workers: list[_Worker] = []
    try:
        workers += [_Worker(job, tickets) for job in _jobs(load)]
        for worker in workers:
            worker.wait_until_ready()
        while paused() and not stopped():
            on_look(0, True)
            sleep(_LOOK)
        begin = monotonic_ns() + _HEAD_START
        for worker in workers:
            worker.begin(begin, reported, dialect)
        kept = Kept(len(load.requests), load.tokens)
        gathering = _Gathering(len(load.requests), workers, reported, kept, on_outcome, on_look)
        outcomes = gathering.until_over(stopped, paused)
    finally:
        for worker in workers:
            worker.close()
        os.close(tickets)
    cpu_seconds = sum(worker.cpu_seconds for worker in workers)
    return LoadResult(
        begin, monotonic_ns(), _complete(load, begin, outcomes, lost=gathering.lost), cpu_seconds, gathering.held_back(), not load.closed
    )


def _check(load: Load) -> None:
    if not load.requests:
        raise RequestError("nothing to send: give at least one request")
    if load.closed and load.concurrency is None:
        raise RequestError("a load without a schedule needs a concurrency: give the number of requests in flight")
    if load.concurrency is not None and load.concurrency < 1:
        raise RequestError(f"concurrency = {load.concurrency} is invalid: give at least 1")


def _jobs(load: Load) -> list[Job]:
    """The share of each worker."""
    limit = len(load.requests) if load.concurrency is None else min(load.concurrency, len(load.requests))
    count = max(1, min(load.workers, limit))
    jobs = []
    for number in range(count):
        slots = limit // count + (number < limit % count)
        requests = load.requests if load.closed else load.requests[number::count]
        jobs.append(Job(load.target, requests, slots, load.closed, load.patience, load.tokens))
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
    """One process, the thread that reads what it reports, and when it was last heard from."""

    def __init__(self, job: Job, tickets: int) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "core.benchmark.client.worker", str(tickets)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            pass_fds=(tickets,),
        )
        self._frame = job.packed()
        self.cpu_seconds = 0.0
        self.under_way = 0
        self.finished = False
        """Whether it ended its work, instead of being ended."""

    def wait_until_ready(self) -> None:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        timer = threading.Timer(_START_WITHIN, self._process.kill)
        timer.start()
        try:
            self._process.stdin.write(self._frame)
            self._process.stdin.flush()
            if read_frame(self._process.stdout) != READY:  # type: ignore[arg-type]
                raise RunFailed("a worker process of the load did not start: check whether this machine is out of memory or processes")
        except BrokenPipeError:
            raise RunFailed("a worker process of the load ended before it began") from None
        finally:
            timer.cancel()

    def begin(self, moment: int, outcomes: SimpleQueue[Outcome | None], dialect: str) -> None:
        self.send(moment.to_bytes(8, "little"))
        threading.Thread(target=self._read, args=(outcomes, dialect), daemon=True).start()

    def send(self, order: bytes) -> None:
        assert self._process.stdin is not None
        with contextlib.suppress(BrokenPipeError):
            self._process.stdin.write(framed(order))
            self._process.stdin.flush()

    def _read(self, outcomes: SimpleQueue[Outcome | None], dialect: str) -> None:
        assert self._process.stdout is not None
        _give_way()
        try:
            while (frame := read_frame(self._process.stdout)) is not None:  # type: ignore[arg-type]
                if frame.startswith(USED):
                    self.cpu_seconds, self.finished = float(frame.removeprefix(USED)), True
                elif frame.startswith(UNDER_WAY):
                    self.under_way = int(frame.removeprefix(UNDER_WAY))
                else:
                    outcomes.put(Raw.unpacked(frame).outcome(dialect))
        finally:
            self.under_way = 0
            outcomes.put(None)

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


def _give_way() -> None:
    """Let this thread stand back: answers that end together are taken apart while those that follow are sent, stamped and computed."""
    if sys.platform == "linux":
        with contextlib.suppress(OSError):
            os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), os.getpriority(os.PRIO_PROCESS, 0) + _STANDS_BACK)


class _Gathering:
    """Takes in what the workers report until all of them are done, and passes on the wish to pause and to stop."""

    def __init__(
        self,
        total: int,
        workers: Sequence[_Worker],
        outcomes: SimpleQueue[Outcome | None],
        kept: Kept,
        on_outcome: OnOutcome | None,
        on_look: OnLook,
    ) -> None:
        self._total, self._kept = total, kept
        self._workers, self._outcomes, self._on_outcome, self._on_look = workers, outcomes, on_outcome, on_look
        self._found: dict[int, Outcome] = {}
        self._paused_at: int | None = None
        self._stop_at: float | None = None
        self.pauses: list[Pause] = []

    def until_over(self, stopped: Callable[[], bool], paused: Callable[[], bool]) -> dict[int, Outcome]:
        """Outcomes by their number."""
        open_workers, look_at = len(self._workers), 0.0
        while open_workers:
            try:
                outcome = self._outcomes.get(timeout=_LOOK)
            except Empty:
                pass
            else:
                if outcome is None:
                    open_workers -= 1
                else:
                    self._take(outcome)
            now = monotonic()
            if now < look_at:
                continue
            look_at = now + _LOOK
            self._steer(now, stopped, paused)
        self._end_pause()
        return self._found

    @property
    def lost(self) -> bool:
        """Whether a worker ended in the middle that nobody had stopped."""
        return self._stop_at is None and not all(worker.finished for worker in self._workers)

    def _take(self, outcome: Outcome) -> None:
        self._kept.add(outcome)
        self._found[outcome.index] = outcome
        if self._on_outcome is not None:
            self._on_outcome(outcome)

    def _steer(self, now: float, stopped: Callable[[], bool], paused: Callable[[], bool]) -> None:
        if self._stop_at is not None:
            if now > self._stop_at:
                for worker in self._workers:
                    worker.kill()
            return
        if stopped():
            self._stop_at = now + _STOP_WITHIN
            for worker in self._workers:
                worker.stop()
            return
        # A load of which nothing is left to be sent does not wait.
        wished = len(self._found) < self._total and paused()
        if wished != (self._paused_at is not None):
            self._turn()
        self._on_look(sum(worker.under_way for worker in self._workers), self._paused_at is not None)

    def _turn(self) -> None:
        """Pause, or go on."""
        if self._paused_at is None:
            self._paused_at, order = monotonic_ns(), PAUSE
        else:
            self._end_pause()
            first, last = self.pauses[-1]
            order = GO_ON + str(last - first).encode()
        for worker in self._workers:
            worker.send(order)

    def _end_pause(self) -> None:
        if self._paused_at is not None:
            self.pauses.append((self._paused_at, monotonic_ns()))
            self._paused_at = None

    def held_back(self) -> tuple[Pause, ...]:
        """The pauses without one that began when everything had been sent already: it changed nothing."""
        last = max((outcome.sent for outcome in self._found.values() if outcome.sent is not None), default=0)
        return tuple(pause for pause in self.pauses if len(self._found) < self._total or pause[0] < last)


def _complete(load: Load, begin: int, found: dict[int, Outcome], *, lost: bool) -> list[Outcome]:
    """An outcome for every request: what no worker reported was not sent, or is not known to have been."""
    status, reason = _LOST if lost else _UNSENT
    return [found.get(request.index) or Outcome(request.index, status, begin + request.due, reason=reason) for request in load.requests]
