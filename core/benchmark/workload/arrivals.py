"""When the requests of a spec are due."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final

from core.benchmark.spec import BenchmarkSpec, LoadKind
from core.benchmark.workload import schedule
from core.benchmark.workload.prompts import Prompt
from core.benchmark.workload.schedule import Times
from core.errors import RequestError


def is_closed(kind: LoadKind) -> bool:
    """Whether the next request waits for an answer, instead of for its time."""
    return kind in ("one", "concurrency")


def times_of(spec: BenchmarkSpec, prompts: Sequence[Prompt]) -> Times:
    """Seconds from the start at which each request is due, at most as many as there are prompts.

    Raises:
        RequestError: a rate, ramp or trace that cannot be.
    """
    return _TIMES[spec.load](spec, prompts)


def _trace(spec: BenchmarkSpec, prompts: Sequence[Prompt]) -> Times:
    times = [prompt.at for prompt in prompts]
    if any(at is None for at in times):
        raise RequestError("a trace needs a timestamp in every line: add one, in seconds")
    return schedule.trace([at for at in times if at is not None], spec.trace_speed)


def _ramp(spec: BenchmarkSpec, prompts: Sequence[Prompt]) -> Times:
    assert spec.duration is not None
    times = schedule.ramp(spec.rate, spec.ramp_to, spec.duration, spec.seed)
    if len(times) > len(prompts):
        raise RequestError(f"the ramp needs {len(times)} requests, but only {len(prompts)} were requested: raise requests, or lower rate or duration")
    return times


_TIMES: Final[dict[LoadKind, Callable[[BenchmarkSpec, Sequence[Prompt]], Times]]] = {
    "one": lambda _spec, prompts: schedule.at_once(len(prompts)),
    "concurrency": lambda _spec, prompts: schedule.at_once(len(prompts)),
    "sweep": lambda _spec, prompts: schedule.at_once(len(prompts)),
    "constant": lambda spec, prompts: schedule.constant(spec.rate, len(prompts)),
    "poisson": lambda spec, prompts: schedule.poisson(spec.rate, len(prompts), spec.seed),
    "gamma": lambda spec, prompts: schedule.gamma(spec.rate, len(prompts), spec.burstiness, spec.seed),
    "ramp": _ramp,
    "trace": _trace,
}
