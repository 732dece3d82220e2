"""The simulated half of `llmopt kv-cache-pages`: continuous against static batching of a trace, at the size of a model. Nothing is run."""

from __future__ import annotations

import time
from statistics import fmean

from core.context import RunContext
from core.errors import RequestError
from core.kvcache.pages.result import PagesMetrics, PagesResult, PolicyRow, Series, StepEstimate
from core.kvcache.pages.schedule.events import ScheduleEvent
from core.kvcache.pages.schedule.roofline import Roofline, roofline_of, simulated
from core.kvcache.pages.schedule.simulate import Outcome, Server, continuous, percentile, static
from core.kvcache.pages.schedule.traces import Arrival, described, trace_of
from core.kvcache.pages.series import thinned
from core.kvcache.pages.spec import PagesSpec
from core.models.card import ModelCard
from core.sanitize import clean

_ENOUGH_FOR_P95 = 90
"""Requests for a 95th percentile at 99 % confidence (MLPerf LoadGen)."""
_EVERY = 0.1


def simulate(spec: PagesSpec, card: ModelCard, context: RunContext) -> PagesResult:
    """Carry both simulations of a request that was checked out.

    Raises:
        RequestError: a trace that cannot be used, a model that does not fit, no request that could be served.
    """
    card = simulated(spec, card)
    line, arrivals = roofline_of(spec, card), trace_of(spec, card.context)
    row = spec.context or min(max(arrival.prompt + arrival.output for arrival in arrivals), card.context)
    server = Server(line, card.context, row, spec.most_sequences, spec.batch_tokens)
    report = _Reporter(context, len(arrivals))
    outcomes = [continuous(arrivals, server, report), static(arrivals, server, report)]
    if not outcomes[0].latencies:
        raise RequestError(
            f"none of the {len(arrivals)} requests can be served: the longest a sequence can be is {card.context:,} tokens by the model's context, "
            f"{line.blocks * line.block_size:,} by the memory"
        )
    context.progress(2 * len(arrivals), 2 * len(arrivals), "")
    return _result(spec, card, server, arrivals, outcomes)


class _Reporter:
    """Passes events and progress on, and a request to stop back."""

    def __init__(self, context: RunContext, requests: int) -> None:
        self._context, self._requests = context, requests
        self._reported = 0.0

    def __call__(self, event: ScheduleEvent) -> None:
        self._context.check_cancelled()
        self._context.detail(event)
        if time.monotonic() - self._reported >= _EVERY:
            self._reported = time.monotonic()
            done = event.finished + (self._requests if event.policy == "static" else 0)
            self._context.progress(done, 2 * self._requests, f"simulating {event.policy} batching")


def _result(spec: PagesSpec, card: ModelCard, server: Server, arrivals: list[Arrival], outcomes: list[Outcome]) -> PagesResult:
    line = server.roofline
    rows = [_row(outcome) for outcome in outcomes]
    first, second = rows
    metrics = PagesMetrics(
        utilization_mean=first.utilization_mean,
        utilization_peak=max((used for _, used, _, _, _ in outcomes[0].track.points), default=None),
        waste_mean=1 - first.filled_mean,
        waste_contiguous_mean=1 - second.filled_mean if second.finished else None,
        tokens=outcomes[0].tokens,
        tokens_per_second=first.throughput_tokens_per_second,
        latency_mean_s=first.latency_mean_s,
        latency_p95_s=first.latency_p95_s,
        preemptions=first.preemptions,
        speedup=first.throughput_tokens_per_second / second.throughput_tokens_per_second if second.throughput_tokens_per_second else None,
    )
    return PagesResult(
        model=clean(card.name),
        mode="simulate",
        label="simulation",
        block_size=line.block_size,
        blocks=line.blocks,
        context=server.row,
        metrics=metrics,
        rows=tuple(rows),
        series=tuple(_series(outcome) for outcome in outcomes),
        step=_estimate(line),
        notes=_notes(spec, server, arrivals, rows),
    )


def _row(outcome: Outcome) -> PolicyRow:
    track, span = outcome.track, outcome.makespan
    latencies, waits = outcome.latencies or [0.0], outcome.first_tokens or [0.0]
    return PolicyRow(
        policy=outcome.policy,
        throughput_tokens_per_second=outcome.tokens / span if span else 0.0,
        requests_per_second=len(outcome.latencies) / span if span else 0.0,
        latency_mean_s=fmean(latencies),
        latency_p95_s=percentile(latencies, 0.95),
        ttft_mean_s=fmean(waits),
        ttft_p95_s=percentile(waits, 0.95),
        utilization_mean=track.used / span if span else 0.0,
        filled_mean=track.filled / track.busy if track.busy else 0.0,
        batch_mean=track.batch / track.steps if track.steps else 0.0,
        preemptions=outcome.preemptions,
        finished=len(outcome.latencies),
        refused=outcome.refused,
        steps=track.steps,
        makespan_s=span,
    )


def _series(outcome: Outcome) -> Series:
    points = outcome.track.points
    return thinned(
        Series(
            title=outcome.policy,
            x=tuple(now - outcome.began for now, *_ in points),
            utilization=tuple(used for _, used, *_ in points),
            filled=tuple(filled for _, _, filled, _, _ in points),
            running=tuple(float(running) for *_, running, _ in points),
            waiting=tuple(float(waiting) for *_, waiting in points),
        )
    )


def _estimate(line: Roofline) -> StepEstimate:
    return StepEstimate(
        device=line.device,
        tensor_parallel=line.tensor_parallel,
        bandwidth_bytes_per_second=line.bandwidth,
        flops_per_second=line.flops,
        weight_bytes=line.weight_bytes,
        kv_bytes_per_token=line.kv_bytes_per_token,
        block_bytes=line.block_bytes,
        blocks=line.blocks,
        how=line.how,
    )


def _notes(spec: PagesSpec, server: Server, arrivals: list[Arrival], rows: list[PolicyRow]) -> tuple[str, ...]:
    notes = [
        f"simulation: {described(spec)}; step times are estimates for {server.roofline.device}, not measurements",
        f"static batching reserves {server.row:,} tokens per sequence and returns a batch when its longest output is complete",
    ]
    notes += [f"{row.policy} batching refused {row.refused} of {len(arrivals)} requests, which cannot fit" for row in rows if row.refused]
    if rows[0].finished < _ENOUGH_FOR_P95:
        notes.append(f"a 95th percentile of {rows[0].finished} requests is uncertain: at least {_ENOUGH_FOR_P95} are needed")
    return (*notes, *server.roofline.warnings)
