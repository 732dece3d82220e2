"""Whether one schedule stays one when several worker processes send it: `python -m tests.benchmarks poisson_workers [--seconds N]`.

Poisson arrivals are sent by 1, 4 and 10 workers to a server that stamps when each request came. Counts of a Poisson process in equal spans have
variance/mean 1; workers that each followed the same draws would send in clumps, with as much variance/mean as there are workers.

Then the server is stopped for 3 s (SIGSTOP) under an even load with few connections: only as many requests as connections are under way and feel
the stall when they are timed from their sending, while everybody who was due meanwhile waited. The p99 from the scheduled time has to show it.
"""

from __future__ import annotations

import argparse
import os
import signal
import sys
import threading
from collections.abc import Sequence
from typing import Any

import numpy as np

from core.benchmark.calibrate.calibrate import known_server, query
from core.benchmark.client.load import Load, LoadResult, run_load
from core.benchmark.client.request import Request, body_of
from core.benchmark.metrics.ttft import TimeToFirstToken, TimeToFirstTokenSent
from core.benchmark.workload import schedule
from core.engine import Endpoint
from core.measure.percentiles import distribution
from tests.benchmarks.report import Bar, record

WORKERS = (1, 4, 10)
RATE = 200.0
SPAN = 0.02
"""Seconds in which arrivals are counted."""
OFF_ONE = 0.15
STALL = 3.0
STALLED_SECONDS = 15.0
STALLED_RATE = 100.0
CONNECTIONS = 8
_ALIKE = 10
SHOWS = 0.9
"""Share of the stall that the p99 has to be."""


def main(arguments: list[str] | None = None) -> bool:
    """Measure, print, record."""
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks poisson_workers", description=__doc__)
    parser.add_argument("--seconds", type=float, default=30.0, help="length of each Poisson load")
    seconds = parser.parse_args(arguments).seconds
    figures: dict[str, Any] = {"requests_per_second": RATE, "span_seconds": SPAN}
    bars: dict[str, Bar] = {}
    times = schedule.poisson(RATE, round(RATE * seconds), seed=1)
    figures["dispersion_of_the_schedule"] = dispersion(times.tolist())
    alike = schedule.poisson(RATE / _ALIKE, round(RATE * seconds / _ALIKE), seed=1)
    figures["dispersion_if_10_workers_drew_alike"] = dispersion(np.repeat(alike, _ALIKE).tolist())
    bars["dispersion_if_10_workers_drew_alike"] = (">=", _ALIKE / 2)
    for workers in WORKERS:
        found, held = poisson(times.tolist(), workers)
        figures, bars = figures | found, bars | held
    found, held = stalled()
    return record("poisson_workers", figures | found, bars | held)


def poisson(times: Sequence[float], workers: int) -> tuple[dict[str, Any], dict[str, Bar]]:
    """Arrivals as the server counts them."""
    with known_server(first_ms=1.0, rate=1000.0) as server:
        carried = _carried(server.url, times, workers, None)
        arrivals = query(server.url, "arrivals")["arrivals"]
    late = distribution([(outcome.sent - outcome.due) / 1e6 for outcome in carried.outcomes if outcome.sent is not None])
    found = dispersion([(at - carried.begin) / 1e9 for at in arrivals])
    figures = {
        f"{workers}_workers_arrived": len(arrivals),
        f"{workers}_workers_dispersion": found,
        f"{workers}_workers_off_one": abs(found - 1),
        f"{workers}_workers_sent_late_p50_ms": late.at(50.0),
        f"{workers}_workers_sent_late_p99_ms": late.at(99.0),
    }
    return figures, {f"{workers}_workers_arrived": ("==", len(times)), f"{workers}_workers_off_one": ("<=", OFF_ONE)}


def dispersion(times: Sequence[float]) -> float:
    """Variance/mean of the counts in spans of equal length, from the first arrival's to the last's."""
    spans = np.floor(np.asarray(times) / SPAN).astype(int)
    counts = np.bincount(spans - spans.min())[:-1]
    return float(np.var(counts, ddof=1) / np.mean(counts))


def stalled() -> tuple[dict[str, Any], dict[str, Bar]]:
    """A server that stands still for a while."""
    times = schedule.constant(STALLED_RATE, round(STALLED_RATE * STALLED_SECONDS)).tolist()
    with known_server(first_ms=1.0, rate=1000.0) as server:
        stop, go_on = (lambda number=number: os.kill(server.pid, number) for number in (signal.SIGSTOP, signal.SIGCONT))
        timers = [threading.Timer(STALLED_SECONDS / 3, stop), threading.Timer(STALLED_SECONDS / 3 + STALL, go_on)]
        for timer in timers:
            timer.start()
        carried = _carried(server.url, times, 4, CONNECTIONS)
        for timer in timers:
            timer.join()
        truth = query(server.url, "truth")
    due, sent = (distribution(metric.sample(carried.outcomes)) for metric in (TimeToFirstToken(), TimeToFirstTokenSent()))
    figures = {
        "stall_seconds": STALL,
        "stall_requests_done": sum(outcome.status == "done" for outcome in carried.outcomes),
        "stall_ttft_p99_from_schedule_ms": due.at(99.0),
        "stall_ttft_p99_from_sending_ms": sent.at(99.0),
        "stall_connections_allowed": CONNECTIONS,
        "stall_connections_opened": truth["connections"],
    }
    bars: dict[str, Bar] = {
        "stall_requests_done": ("==", len(times)),
        "stall_ttft_p99_from_schedule_ms": (">=", 1000 * SHOWS * STALL),
        "stall_connections_opened": ("<=", CONNECTIONS),
    }
    return figures, bars


def _carried(url: str, times: Sequence[float], workers: int, concurrency: int | None) -> LoadResult:
    target = Endpoint(url, "calibrated")
    body = body_of(target, "tick", 2)
    requests = [Request(index, round(at * 1e9), body) for index, at in enumerate(times)]
    return run_load(Load(target, requests, concurrency=concurrency, workers=workers))


if __name__ == "__main__":
    sys.exit(not main())
