"""One target under load: warm-up, the load or the levels of a sweep, and what ends them early."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from core.benchmark.analysis.figures import level_of
from core.benchmark.analysis.sweep import swept
from core.benchmark.client.client import Patience
from core.benchmark.client.load import Load, LoadResult, run_load
from core.benchmark.client.outcome import Outcome
from core.benchmark.client.request import Request, body_of
from core.benchmark.drive.adapting import adapt
from core.benchmark.drive.reporter import LoadReporter
from core.benchmark.drive.trial import refuse
from core.benchmark.metrics import SampleMetric
from core.benchmark.result import Level
from core.benchmark.server.serving import tail
from core.benchmark.server.target import Target
from core.benchmark.server.watch import Watch
from core.benchmark.spec import BenchmarkSpec
from core.benchmark.workload.arrivals import is_closed, times_of
from core.benchmark.workload.prompts import Prompt
from core.benchmark.workload.schedule import poisson
from core.context import RunContext
from core.engine import Endpoint
from core.errors import Cancelled, RunFailed
from core.measure.limits import cores
from core.runs.launch.pause import pause_asked
from core.runs.state.process import started

_STREAMS_A_WORKER = 64
_SHOWN = 3


@dataclass
class Bench:
    """A target and what is sent to it; `measured` and `by_level` hold what was done so far, whatever ends it."""

    spec: BenchmarkSpec
    context: RunContext
    target: Target
    prompts: Sequence[Prompt]
    objectives: Mapping[SampleMetric, float]
    watch: Watch

    def __post_init__(self) -> None:
        self.by_level: dict[float | None, LoadResult] = {}
        self.measured: list[Level] = []
        self.notes: tuple[str, ...] = ()
        """In what form the server wants its requests, where not in the usual one."""

    @property
    def outcomes(self) -> list[Outcome]:
        """Of all levels."""
        return [outcome for part in self.by_level.values() for outcome in part.outcomes]

    @property
    def answered(self) -> bool:
        """Whether there is anything to take figures of."""
        return any(level.requests.done for level in self.measured)

    def warm_up(self) -> None:
        """Requests that are not measured, in the form that the server takes.

        Raises:
            RequestError: the server refuses all of them, as it would the load.
        """
        if not self.spec.warmup:
            return
        self.context.progress(0, self._total, "warming up")
        first = [self.prompts[index % len(self.prompts)] for index in range(self.spec.warmup)]

        def send(endpoint: Endpoint) -> Sequence[Outcome]:
            self.target = replace(self.target, endpoint=endpoint)
            return self._carry(first, None, reporter=None).outcomes

        taken, outcomes = adapt(self.spec, self.target.endpoint, send(self.target.endpoint), send)
        self.target, self.notes = replace(self.target, endpoint=taken.endpoint), taken.notes
        refuse(self.spec, self.target, outcomes)
        for note in self.notes:
            self.context.log(note)

    def levels(self) -> tuple[Level, ...]:
        """The load, or each level of a sweep.

        Raises:
            Cancelled: by the user; what was done of the load is in `measured`.
            RunFailed: the server that was started for the load has ended; as above.
        """
        return swept(self.spec, self._measured) if self.spec.load == "sweep" else (self._measured(None),)

    @property
    def _total(self) -> int:
        return len(self.prompts) * (max(len(self.spec.levels), 1) if self.spec.load == "sweep" else 1)

    def _measured(self, level: float | None) -> Level:
        reporter = LoadReporter(self.context, len(self.prompts), self._total, len(self.outcomes), level, lambda: self.watch.latest)
        carried = self._carry(self.prompts, level, reporter)
        reporter.close()
        found = level_of(carried, self.objectives, level)
        if any(outcome.status != "unsent" for outcome in carried.outcomes):
            self.by_level[level] = carried
            self.measured.append(found)
        self.context.check_cancelled()
        if self.server_ended() and any(outcome.status != "done" for outcome in carried.outcomes):
            raise RunFailed(self._last_words())
        return found

    def _carry(self, prompts: Sequence[Prompt], level: float | None, reporter: LoadReporter | None) -> LoadResult:
        spec = self.spec
        closed: bool
        limit: int | None
        if reporter is None:
            closed, limit, due = True, spec.in_flight or 2, [0.0] * len(prompts)
        elif level is not None:
            closed, limit, due = _of_level(spec, level, len(prompts))
        else:
            closed, limit, due = is_closed(spec.load), spec.in_flight, times_of(spec, prompts).tolist()
        requests = [Request(index, round(at * 1e9), self._body(prompt)) for index, (prompt, at) in enumerate(zip(prompts, due, strict=False))]
        load = Load(
            self.target.endpoint,
            requests,
            concurrency=limit,
            closed=closed,
            workers=spec.workers or workers_for(limit or len(requests)),
            patience=Patience(spec.timeout, spec.silence, min(10.0, spec.timeout), spec.retries),
            tokens=max((prompt.output_tokens for prompt in prompts), default=0),
        )
        ending = _Ending(self, spec.duration)
        if reporter is None:
            return run_load(load, None, ending, ending.paused)
        return run_load(load, reporter.on_outcome, ending, ending.paused, reporter.on_look)

    def _body(self, prompt: Prompt) -> bytes:
        return body_of(self.target.endpoint, prompt.text, prompt.output_tokens, temperature=self.spec.temperature)

    def server_ended(self) -> bool:
        """Whether the process of a server that was started for the load is gone."""
        return self.target.pid is not None and started(self.target.pid) is None

    def _last_words(self) -> str:
        log = self.context.artifacts / "server.log"
        lines = tail(log)
        how, code = _ended(self.target.pid)
        what = f"the server {how} during the load"
        if known := self.target.engine.explain(lines):
            return f"{what}: {known}"
        if code == -signal.SIGKILL:
            return f"{what}: by kill -9, or out of memory; its output is in {log}"
        said = " | ".join([line.strip() for line in lines if line.strip()][-_SHOWN:])
        return f"{what}; its last output: {said or 'none'} (all of it in {log})"


class _Ending:
    """Whether a load ends before its requests, and whether it waits.

    It ends when its time is over, which begins with the first question and does not run in pauses, when the user has cancelled, or when the
    server that was started for it is gone.
    """

    def __init__(self, bench: Bench, duration: float | None) -> None:
        self._bench, self._duration = bench, duration
        self._gone = 0.0
        self._last: float | None = None

    def __call__(self) -> bool:
        try:
            self._bench.context.check_cancelled()
        except Cancelled:
            return True
        now = time.monotonic()
        if self._last is not None and not self.paused():
            self._gone += now - self._last
        self._last = now
        return (self._duration is not None and self._gone > self._duration) or self._bench.server_ended()

    def paused(self) -> bool:
        """Whether the user lets it wait."""
        return pause_asked(self._bench.context)


def _ended(pid: int | None) -> tuple[str, int | None]:
    """How a child that is not reaped yet ended, in words, and its exit code, minus the signal; None where that cannot be found out."""
    try:
        found = os.waitid(os.P_PID, pid or 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
    except (OSError, AttributeError):
        found = None
    if found is None:
        return "ended by itself", None
    if found.si_code == os.CLD_EXITED:
        return f"ended with exit code {found.si_status}", found.si_status
    return f"was ended by {signal.Signals(found.si_status).name}", -found.si_status


def _of_level(spec: BenchmarkSpec, level: float, count: int) -> tuple[bool, int | None, list[float]]:
    if spec.sweep == "concurrency":
        return True, int(level), [0.0] * count
    return False, spec.concurrency, poisson(level, count, spec.seed).tolist()


def workers_for(streams: int) -> int:
    """Client processes for so many requests at once: one for every 64, never more than half of the cores, the other half being the server's."""
    return max(1, min(-(-streams // _STREAMS_A_WORKER), cores() // 2))
