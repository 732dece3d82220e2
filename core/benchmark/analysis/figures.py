"""From what became of the requests to the figures of one level of load."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence

from core.benchmark.analysis.timeline import measured_in, window_of
from core.benchmark.client.load import LoadResult, Pause
from core.benchmark.client.outcome import Outcome
from core.benchmark.metrics import OF_REQUEST, RATES, SAMPLES, Goodput, SampleMetric
from core.benchmark.metrics.base import Window
from core.benchmark.result import Counting, ErrorCount, Level, PauseFigure, RequestCounts, SampleFigure
from core.measure.percentiles import grouped_distribution

_REASONS = 8
_OVER = ("done", "failed", "timed_out")
_MEETING = 0.99
"""Share of the requests that must meet the objectives for a load to meet them."""


def level_of(carried: LoadResult, objectives: Mapping[SampleMetric, float], level: float | None = None) -> Level:
    """All figures of one load; latencies are those of the requests that began within the window, rates are taken over it."""
    window, words = window_of(carried)
    within = measured_in(carried, window)
    rates = {metric.tag: metric.of(carried.outcomes, window) for metric in RATES}
    goodput = Goodput(objectives) if objectives else None
    met = [goodput.meets(outcome) for outcome in within if outcome.status in _OVER] if goodput else []
    return Level(
        level=level,
        requests=counts_of(carried.outcomes),
        seconds=window.seconds,
        window=words,
        metrics={metric.tag: _figure(metric, within) for metric in SAMPLES},
        scheduled_rate=_rate([outcome.due for outcome in carried.outcomes if outcome.sent is not None], carried.pauses),
        achieved_rate=_rate([outcome.sent for outcome in carried.outcomes if outcome.sent is not None], carried.pauses),
        pauses=tuple(PauseFigure(at=(first - carried.begin) / 1e9, seconds=(end - first) / 1e9) for first, end in carried.pauses),
        goodput_requests_per_second=goodput.of(carried.outcomes, window) if goodput else None,
        meets_objectives=sum(met) >= _MEETING * len(met) if met else None,
        **rates,
    )


def _figure(metric: SampleMetric, outcomes: Sequence[Outcome]) -> SampleFigure:
    found = grouped_distribution([list(metric.of(outcome)) for outcome in outcomes if outcome.status == "done"])
    return SampleFigure.of(found, metric.title, metric.unit)


def counts_of(outcomes: Sequence[Outcome]) -> RequestCounts:
    """What became of the requests."""
    found = Counter(outcome.status for outcome in outcomes)
    return RequestCounts(
        scheduled=len(outcomes),
        done=found["done"],
        failed=found["failed"],
        timed_out=found["timed_out"],
        unsent=found["unsent"] + found["cancelled"],
        cancelled=found["cancelled"],
    )


def errors_of(outcomes: Sequence[Outcome]) -> tuple[ErrorCount, ...]:
    """Reasons of the requests that are not done, the most frequent first."""
    found = Counter((outcome.status, outcome.reason) for outcome in outcomes if outcome.status in ("failed", "timed_out"))
    return tuple(ErrorCount(status=status, reason=reason, count=count) for (status, reason), count in found.most_common(_REASONS))


def counting_of(outcomes: Sequence[Outcome]) -> Counting:
    """Who counted the tokens."""
    done = [outcome for outcome in outcomes if outcome.status == "done" and outcome.pieces]
    if done and all(outcome.usage.completion is not None for outcome in done):
        return "server"
    return "tokenizer" if done and all(outcome.tokens is not None for outcome in done) else "unknown"


def samples_of(outcomes: Sequence[Outcome]) -> dict[str, list[float]]:
    """Raw values by the tag of the metric."""
    return {metric.tag: metric.sample(outcomes) for metric in (*SAMPLES, *OF_REQUEST)}


def _rate(stamps: Sequence[int], pauses: Sequence[Pause]) -> float | None:
    """A second, between the first stamp and the last."""
    first, last = min(stamps, default=0), max(stamps, default=0)
    seconds = Window(first, last, tuple(pauses)).seconds if last > first else 0.0
    return (len(stamps) - 1) / seconds if seconds else None
