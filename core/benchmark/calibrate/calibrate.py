"""How many streams the load's own client can follow on this machine: it is held against a server of known times.

The server stamps each piece with the moment at which it wrote it; by what the client is later than that is its own doing, and the machine's.
"""

from __future__ import annotations

import json
import subprocess
import sys
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from statistics import median
from typing import Any

from core.benchmark.client.load import Load, run_load
from core.benchmark.client.outcome import Outcome
from core.benchmark.client.request import Request, body_of
from core.benchmark.metrics.itl import InterTokenLatency
from core.benchmark.metrics.ttft import TimeToFirstTokenSent
from core.engine import Endpoint
from core.errors import RunFailed
from core.measure.percentiles import distribution

FIRST_MS = 50.0
RATE = 50.0
"""Tokens a second of each stream."""
TOKENS = 100
LAG_SHARE = 0.05
"""Of the gap between tokens: from here on the client is the bottleneck."""
STREAMS = (8, 16, 32, 64, 128, 256, 512, 1024)
LATE_MS = 500 / RATE
"""Half a gap: a server that is later than that does not send what it is held to, and says nothing of the client."""
_TRIES = 2
"""Of a number of streams: another program may have had the processor for a moment."""
_SPREAD = 2_000_000
"""Nanoseconds between the starts of two streams."""


@dataclass(frozen=True)
class Step:
    """One number of streams."""

    streams: int
    workers: int
    done: int
    lag_p50_ms: float
    lag_p99_ms: float
    """Between the moment the server wrote a piece and the moment the client had it."""
    ttft_p50_ms: float
    """From sending; the server's is 50 ms."""
    itl_p50_ms: float
    """The server's is 20 ms."""
    server_late_p99_ms: float
    """How late the server was itself: a client is only judged where this is small."""
    cpu_us_per_token: float
    """Processor time of the client's processes."""

    @property
    def judged(self) -> bool:
        """Whether the server kept its times, without which the client cannot be judged."""
        return self.server_late_p99_ms <= LATE_MS

    @property
    def follows(self) -> bool:
        """Whether the client kept up with a server that did."""
        return self.judged and self.done == self.streams and self.lag_p99_ms <= LAG_SHARE * 1000 / RATE

    @property
    def verdict(self) -> str:
        """In words."""
        return "followed" if self.follows else "not followed" if self.judged else "not judged: the server itself was late"


@dataclass(frozen=True)
class Calibration:
    """What the client can do on this machine."""

    steps: tuple[Step, ...]

    @property
    def ceiling(self) -> int | None:
        """The most streams that it follows; None when it follows none."""
        found = None
        for step in self.steps:
            if not step.follows:
                break
            found = step.streams
        return found

    @property
    def limited_by(self) -> str:
        """What ended it: `client`, `server` (the machine has no processor left for what the client is held against), or nothing that was tried."""
        last = self.steps[-1] if self.steps else None
        return "" if last is None or last.follows else "client" if last.judged else "server"

    def to_json(self) -> dict[str, object]:
        """For a document."""
        return {
            "ceiling_streams": self.ceiling,
            "limited_by": self.limited_by,
            "tokens_per_second_a_stream": RATE,
            "lag_limit_ms": LAG_SHARE * 1000 / RATE,
            "server_late_limit_ms": LATE_MS,
            "steps": [asdict(step) | {"follows": step.follows} for step in self.steps],
        }


def calibrate(
    workers_for: Callable[[int], int], streams: Sequence[int] = STREAMS, on_step: Callable[[Step], None] = lambda _step: None
) -> Calibration:
    """Raise the number of streams until the client does not follow, or the server it is held against does not keep its times.

    Args:
        workers_for: client processes for a number of streams.
        streams: numbers to try, rising.
        on_step: called after each.

    Raises:
        RunFailed: the server of known times does not start.
    """
    steps: list[Step] = []
    for count in streams:
        steps.append(_best_of(count, workers_for(count)))
        on_step(steps[-1])
        if not steps[-1].follows:
            break
    return Calibration(tuple(steps))


def _best_of(streams: int, workers: int) -> Step:
    """The first try that the client follows, else the one with the least delay."""
    tries: list[Step] = []
    for _ in range(_TRIES):
        with calibrated_server() as url:
            tries.append(measured(url, streams, workers))
        if tries[-1].follows:
            return tries[-1]
    return min(tries, key=lambda step: (not step.judged, step.lag_p99_ms))


def measured(url: str, streams: int, workers: int, tokens: int = TOKENS) -> Step:
    """Follow so many streams at once."""
    target = Endpoint(url, "calibrated")
    body = body_of(target, "calibrate " * 32, tokens)
    requests = [Request(index, index * _SPREAD, body) for index in range(streams)]
    carried = run_load(Load(target, requests, workers=workers, dialect="calibrated"))
    done = [outcome for outcome in carried.outcomes if outcome.status == "done"]
    pieces = sum(len(outcome.pieces) for outcome in done)
    lag = distribution([each for outcome in done for each in lags(outcome)], (50.0, 99.0))
    return Step(
        streams,
        workers,
        len(done),
        lag.at(50.0) or 0.0,
        lag.at(99.0) or 0.0,
        _median(TimeToFirstTokenSent().sample(done)),
        _median(InterTokenLatency().sample(done)),
        distribution([1000 * late for late in lateness(url)], (99.0,)).at(99.0) or 0.0,
        1e6 * carried.cpu_seconds / max(pieces, 1),
    )


def lags(outcome: Outcome) -> list[float]:
    """Milliseconds that each piece came after the server had written it."""
    return [(piece.t - int(piece.text)) / 1e6 for piece in outcome.pieces]


@dataclass(frozen=True)
class KnownServer:
    """A server of known times."""

    url: str
    pid: int
    """Of its process."""


@contextmanager
def known_server(first_ms: float = FIRST_MS, rate: float = RATE) -> Iterator[KnownServer]:
    """A server of known times in a process of its own."""
    command = [sys.executable, "-m", "core.benchmark.calibrate.server", "0", str(first_ms), str(rate)]
    process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE)
    assert process.stdout is not None
    try:
        line = process.stdout.readline()
        if not line.strip().isdigit():
            raise RunFailed("the server with known timings did not start")
        yield KnownServer(f"http://127.0.0.1:{int(line)}", process.pid)
    finally:
        process.terminate()
        try:
            process.wait(5)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        process.stdout.close()


@contextmanager
def calibrated_server(first_ms: float = FIRST_MS, rate: float = RATE) -> Iterator[str]:
    """The address of a server of known times in a process of its own."""
    with known_server(first_ms, rate) as server:
        yield server.url


def lateness(url: str) -> list[float]:
    """Seconds that the server wrote each piece after it was due."""
    found: list[float] = query(url, "lateness")["late"]
    return found


def query(url: str, about: str) -> dict[str, Any]:
    """What the server of known times says of itself at `/lateness`, `/truth` or `/arrivals`."""
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with opener.open(f"{url}/{about}", timeout=30) as answer:
        found: dict[str, Any] = json.load(answer)
    return found


def _median(values: Sequence[float]) -> float:
    return median(values) if values else 0.0
