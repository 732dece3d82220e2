"""How many streams the load's client follows on this machine, as `llmopt benchmark --calibrate` found it, and what a report says of it."""

from __future__ import annotations

import platform
import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from core import __version__
from core.benchmark.calibrate.calibrate import LAG_SHARE, RATE, Calibration
from core.benchmark.client.outcome import Outcome
from core.measure.limits import cores
from core.result import Figures
from core.runs.state.files import read_object, write_json
from core.runs.state.home import home

SCHEMA = "llmopt.calibration/1"
UNCALIBRATED = 16
"""Streams up to which an uncalibrated client is not spoken of."""


@dataclass(frozen=True)
class Ceiling:
    """What was found on this machine."""

    streams: int
    """That the client follows; 0: it follows none."""
    measured: float
    """When, in seconds since 1970."""
    lags: tuple[tuple[int, float], ...]
    """Streams, rising, and the p99 of the client's own delay in milliseconds."""

    @property
    def tokens_per_second(self) -> float:
        """That came at the ceiling."""
        return self.streams * RATE

    def lag(self, streams: int) -> float | None:
        """p99 of the client's own delay at so many streams: that of the next number that was tried; None beyond the last."""
        return next((lag for count, lag in self.lags if count >= streams), None)


class _Host(Figures):
    host: str
    processor: str
    cores: int | None


class _Step(Figures):
    streams: int
    lag_p99_ms: float


class _Kept(Figures):
    """A calibration as it is kept."""

    machine: _Host
    measured: float
    ceiling_streams: int | None
    steps: tuple[_Step, ...]


def calibration_file() -> Path:
    """Where calibrations are kept, one a machine, as several machines may share a home."""
    return home() / "calibration.json"


def keep(calibration: Calibration) -> Path:
    """Keep what was found on this machine; returns the file. Raises OSError: it cannot be written."""
    path = calibration_file()
    path.parent.mkdir(parents=True, exist_ok=True)
    entry = {"measured": time.time(), "llmopt_version": __version__, "machine": _host().model_dump(), **calibration.to_json()}
    write_json(path, {"schema": SCHEMA, "machines": _machines(path) | {platform.node(): entry}})
    return path


def known() -> Ceiling | None:
    """What is known of this machine; None where it was not calibrated, or has other processors by now."""
    kept = _Kept.read(_machines(calibration_file()).get(platform.node()))
    if kept is None or kept.machine != _host():
        return None
    return Ceiling(kept.ceiling_streams or 0, kept.measured, tuple((step.streams, step.lag_p99_ms) for step in kept.steps))


def most_at_once(outcomes: Sequence[Outcome]) -> int:
    """Requests that were under way at the same time, at most."""
    edges = []
    for outcome in outcomes:
        last = outcome.ended or (outcome.pieces[-1].t if outcome.pieces else None)
        if outcome.sent is not None and last is not None:
            edges += [(outcome.sent, 1), (last, -1)]
    most = now = 0
    for _, change in sorted(edges):
        now += change
        most = max(most, now)
    return most


def ceiling_warnings(streams: int, tokens_per_second: float | None, found: Ceiling | None, itl_ms: float | None = None) -> tuple[str, ...]:
    """What must be said when the client may be what was measured.

    Args:
        streams: that were under way at once.
        tokens_per_second: that came.
        found: what is known of this machine.
        itl_ms: median gap between pieces of the server, of which the client's own delay may be a share.
    """
    if found is None:
        if streams <= UNCALIBRATED:
            return ()
        return (f"the client was not calibrated on this machine, and followed {streams} streams at once: run `llmopt benchmark --calibrate`",)
    when = datetime.fromtimestamp(found.measured, UTC).strftime("%Y-%m-%d")
    if streams > found.streams:
        return (f"{streams} streams at once exceed the {found.streams} that the client can follow on this machine ({when}): latencies are too high",)
    if tokens_per_second is not None and tokens_per_second > found.tokens_per_second:
        return (
            f"{tokens_per_second:.0f} tokens per second exceed the {found.tokens_per_second:.0f} at which the client was calibrated ({when}): "
            "latencies may be too high",
        )
    lag = found.lag(streams)
    if lag is not None and itl_ms is not None and lag > LAG_SHARE * itl_ms:
        return (
            f"the client's own delay at {streams} streams (p99 {lag:.2f} ms, {when}) is more than {LAG_SHARE:.0%} of the "
            f"{itl_ms:.3g} ms between chunks: inter-token latencies may be those of the client",
        )
    return ()


def _host() -> _Host:
    return _Host(host=platform.node(), processor=platform.processor() or platform.machine(), cores=cores())


def _machines(path: Path) -> dict[str, object]:
    machines = read_object(path).get("machines")
    return machines if isinstance(machines, dict) else {}
