"""What must be said alongside the figures."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final

from core.benchmark.analysis.sweep import fills, rate_reached
from core.benchmark.client.outcome import Outcome
from core.benchmark.metrics import SAMPLES
from core.benchmark.result import BenchmarkEntry
from core.benchmark.spec import PACED, BenchmarkSpec, LoadKind
from core.benchmark.workload.lengths import of_lengths
from core.benchmark.workload.prompts import Prompt
from core.measure.percentiles import LEVELS, samples_needed

ESTIMATED = "no tokenizer of the model is available: prompt lengths are estimates at four characters per token"
_QUEUE_SHARE = 0.05
_SHORTER = 0.9
_CLAIMED: Final = 99.0
_OF_REQUESTS: Final = "ttft_ms"
_DRAWN: Final[tuple[LoadKind, ...]] = ("ramp", "trace")
"""Loads without a single rate."""


def warnings_of(spec: BenchmarkSpec, entry: BenchmarkEntry, prompts: Sequence[Prompt], outcomes: Sequence[Outcome] = ()) -> tuple[str, ...]:
    """Sentences, the gravest first."""
    found = [*_of_requests(entry), *_of_rate(spec, entry), *_of_answers(prompts, outcomes), *_of_samples(entry)]
    if entry.token_counts == "tokenizer":
        found.append("the server reported no usage: tokens were counted with the model's tokenizer")
    elif entry.token_counts == "unknown" and entry.requests.done:
        found.append("the server reported no usage and no tokenizer is available: per-token figures are not known")
    found += of_lengths(prompts, outcomes)
    if prompts and prompts[0].input_tokens is None:
        found.append(ESTIMATED)
    return tuple(found)


def _of_requests(entry: BenchmarkEntry) -> Iterator[str]:
    bad = entry.requests.failed + entry.requests.timed_out
    if bad:
        yield f"{bad} of {entry.requests.scheduled} requests failed or timed out: latencies are those of the others"
    if entry.requests.unsent:
        cut = f"; {entry.requests.cancelled} of them were cut off in flight" if entry.requests.cancelled else ""
        yield f"{entry.requests.unsent} requests were not sent before the load ended, or not answered{cut}"
    if entry.retries:
        yield f"rejected requests were retried {entry.retries} times: the time until a response started is part of their latencies"


def _of_rate(spec: BenchmarkSpec, entry: BenchmarkEntry) -> Iterator[str]:
    level = entry.shown
    if spec.load in (*PACED, *_DRAWN) and level.scheduled_rate and not rate_reached(level):
        yield _not_reached(spec, level.scheduled_rate, level.achieved_rate or 0.0)
    if spec.load == "sweep" and spec.sweep == "rate":
        late = [each for each in entry.levels if each.achieved_rate is not None and not rate_reached(each)]
        if late:
            yield f"of the rates of the sweep {', '.join(f'{each.level:g} ({each.achieved_rate:.3g} sent)' for each in late)} were not reached"
    if spec.load == "sweep" and spec.sweep == "concurrency":
        yield from _not_filled(spec, [level.level for level in entry.levels if level.level])
    queue, latency = level.metrics["queue_ms"].p95, level.metrics["e2el_ms"].p50
    if queue is not None and latency and queue > max(_QUEUE_SHARE * latency, 5.0):
        yield f"requests waited in the client (p95 {queue:.0f} ms) for a free slot or for the client itself: that time is part of their latencies"


def _not_filled(spec: BenchmarkSpec, levels: Sequence[float]) -> Iterator[str]:
    """Levels of a sweep over the concurrency that have too few requests."""
    short = [level for level in levels if not fills(spec, level)]
    if short:
        yield f"{spec.requests} requests per level do not fill a concurrency of {', '.join(f'{level:g}' for level in short)}: give more requests"
    elif levels and not spec.levels and not fills(spec, 2 * max(levels)):
        yield f"the sweep ended at {max(levels):g} for lack of requests: give {spec.requests * 2} or more to see whether throughput still rises"


def _not_reached(spec: BenchmarkSpec, scheduled: float, achieved: float) -> str:
    if spec.load in _DRAWN:
        return f"the schedule of the {spec.load} was not kept: it has {_short(scheduled)} requests per second, {_short(achieved)} were sent"
    drawn = "" if spec.load == "constant" else f", of {_short(scheduled)} as they were drawn"
    return f"the rate of {_short(spec.rate)} requests per second was not reached: {_short(achieved)} were sent{drawn}"


def _short(rate: float) -> str:
    """Three digits, and those before the point."""
    return f"{rate:.3g}" if rate < 1000 else f"{rate:.0f}"


def _of_answers(prompts: Sequence[Prompt], outcomes: Sequence[Outcome]) -> Iterator[str]:
    """Answers that are not what was asked for: loads are only alike where answers are equally long."""
    done = [outcome for outcome in outcomes if outcome.status == "done"]
    empty = sum(not outcome.pieces for outcome in done)
    if empty:
        yield f"{empty} of {len(done)} responses were empty: they have no time to first token"
    counted = [outcome for outcome in done if outcome.index < len(prompts)]
    known = [(outcome.tokens, prompts[outcome.index].output_tokens) for outcome in counted if outcome.tokens is not None]
    given, requested = sum(tokens for tokens, _ in known), sum(wanted for _, wanted in known)
    if known and given < _SHORTER * requested:
        mean, wanted = given / len(known), requested / len(known)
        yield f"responses ended after {mean:.3g} of {wanted:.3g} tokens on average: compared with a load with longer responses, this one looks better"


def _of_samples(entry: BenchmarkEntry) -> Iterator[str]:
    """The sample-size rule, in one sentence for all metrics that have a value a request."""
    needed = samples_needed(_CLAIMED)
    figures = entry.shown.metrics
    requests = figures[_OF_REQUESTS].n
    if 0 < requests < needed:
        claimed = [level for level in LEVELS if requests >= samples_needed(level)]
        most = f"p{claimed[-1]:g} is the highest supported" if claimed else "no percentile is supported"
        yield f"latencies of {requests} requests are fewer than the {needed} needed for a p99 at 99 % confidence: {most}"
    few = [metric.title for metric in SAMPLES if requests >= needed and 0 < figures[metric.tag].n < needed]
    if few:
        yield f"fewer than {needed} samples of {', '.join(few)}, too few for a p99"
