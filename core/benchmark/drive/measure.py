"""One target from its start to its figures."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence

from core.benchmark.analysis.figures import counting_of, counts_of, errors_of, samples_of
from core.benchmark.analysis.sweep import highest_meeting, knee_of
from core.benchmark.analysis.thresholds import judge, objectives_of, parse
from core.benchmark.analysis.timeline import measured_in, prefix_found, timeline_of, totals_of, window_of
from core.benchmark.analysis.warnings import warnings_of
from core.benchmark.calibrate.ceiling import ceiling_warnings, known, most_at_once
from core.benchmark.client.load import LoadResult
from core.benchmark.client.outcome import Outcome
from core.benchmark.drive.bench import Bench
from core.benchmark.drive.interrupted import kept_words, pause_warnings, why_stopped
from core.benchmark.drive.trial import answered_nothing
from core.benchmark.quality import measure as quality
from core.benchmark.result import BenchmarkEntry, BenchmarkResult, Level, Quality
from core.benchmark.server.target import Target, opened, tokenizer_of
from core.benchmark.server.watch import Watch
from core.benchmark.spec import BenchmarkSpec
from core.benchmark.workload.prompts import Prompt, Tokenizer, prompts_of
from core.context import RunContext
from core.errors import Cancelled, EarlyEnd, RequestError, RunFailed
from core.hardware.live.surroundings import surroundings
from core.models.card import ModelCard


def measure_target(spec: BenchmarkSpec, context: RunContext) -> BenchmarkResult:
    """Reach or start the server, send the load, take the figures; `baseline` of the spec is not looked at.

    Raises:
        RequestError: the server, the model, the texts or an expression is not what it should be.
        RunFailed: the server does not start, answered nothing at all, or was started for this and ended in the middle; with what was measured
            by then as its result.
        Cancelled: by the user; with what was measured by then as its result, where a request was answered.
    """
    began = time.monotonic()
    objectives = objectives_of(spec.objectives)
    for expression in spec.thresholds:
        parse(expression)
    tokenizer, card = tokenizer_of(spec)
    prompts = prompts_of(spec, tokenizer)
    needed = _needed(prompts, card, quality.needs(spec, tokenizer, card))
    bench: Bench | None = None
    ended: EarlyEnd | None = None
    known_quality = Quality()
    try:
        with opened(spec, context, needed) as target:
            with Watch(target.engine, target.endpoint, target.pid) as watch:
                bench = Bench(spec, context, target, prompts, objectives, watch)
                bench.warm_up()
                watch.mark()
                levels = bench.levels()
            if nothing := answered_nothing(bench.outcomes):
                ended = RunFailed(nothing)
            else:
                known_quality = quality.measure(spec, bench.target, tokenizer, card, context)
    except (Cancelled, RunFailed) as error:
        if bench is None or not bench.answered:
            raise
        ended, levels = error, tuple(bench.measured)
    result = _result(spec, bench, levels, known_quality, tokenizer, card, ended)
    result = result.model_copy(update={"seconds": time.monotonic() - began})
    if ended is not None:
        raise type(ended)(kept_words(ended, levels), result=result)
    return result


def _result(
    spec: BenchmarkSpec,
    bench: Bench,
    levels: tuple[Level, ...],
    known_quality: Quality,
    tokenizer: Tokenizer | None,
    card: ModelCard | None,
    ended: EarlyEnd | None,
) -> BenchmarkResult:
    """The figures of all that was done, and what must be said of them."""
    outcomes = bench.outcomes
    entry = _entry(spec, bench.target, levels, outcomes, bench.watch, card, tokenizer).model_copy(update={"quality": known_quality})
    ceiling, streams = known(), _streams(spec, outcomes)
    stopped = "" if ended is None else why_stopped(ended, levels)
    carried = bench.by_level[_best(levels).level]
    warnings = (
        *filter(None, (stopped,)),
        *bench.notes,
        *pause_warnings(levels),
        *ceiling_warnings(streams, entry.throughput_tokens_per_second, ceiling, entry.itl_ms.p50),
        *warnings_of(spec, entry, bench.prompts, outcomes),
    )
    entry = entry.model_copy(update={"warnings": warnings, "client_lag_ms": ceiling.lag(streams) if ceiling is not None else None})
    return BenchmarkResult(
        entries=(entry,),
        thresholds=judge(spec.thresholds, entry),
        machine=surroundings(),
        load=spec.summary(),
        samples=_samples(entry.name, levels, bench.by_level),
        timelines={entry.name: timeline_of(carried, window_of(carried)[0])},
        stopped=stopped,
    )


def _needed(prompts: Sequence[Prompt], card: ModelCard | None, least: int) -> int:
    """Tokens that the longest prompt and answer need, with room for a chat template, `least` at least.

    Raises:
        RequestError: more than the model's context.
    """
    longest = max((prompt.input_tokens or len(prompt.text) // 3) + prompt.output_tokens for prompt in prompts)
    if card is None:
        return max(longest + 64, least)
    if longest > card.context:
        raise RequestError(
            f"prompts and answers of up to {longest} tokens exceed the context of {card.context} of {card.name}: lower input-tokens or output-tokens"
        )
    return min(max(longest + 64, least), card.context)


def _entry(
    spec: BenchmarkSpec,
    target: Target,
    levels: tuple[Level, ...],
    outcomes: Sequence[Outcome],
    watch: Watch,
    card: ModelCard | None,
    tokenizer: Tokenizer | None,
) -> BenchmarkEntry:
    if tokenizer is not None:
        for outcome in outcomes:
            if outcome.status == "done" and outcome.usage.completion is None:
                outcome.counted = len(tokenizer.encode(outcome.text))
    best = _best(levels)
    prompt_tokens, completion_tokens = totals_of(outcomes)
    server = watch.report(completion_tokens or 0)
    if server.prefix_hit_rate is None:
        server = server.model_copy(update={"prefix_hit_rate": prefix_found(outcomes)})
    speed = best.throughput_tokens_per_second
    return BenchmarkEntry(
        name=target.name,
        engine=target.engine.facts.title,
        engine_version=target.version,
        url=target.endpoint.url,
        model=spec.model,
        served_model=target.endpoint.model,
        command=target.command,
        requests=counts_of(outcomes),
        ttft_ms=best.metrics["ttft_ms"],
        tpot_ms=best.metrics["tpot_ms"],
        itl_ms=best.metrics["itl_ms"],
        e2el_ms=best.metrics["e2el_ms"],
        throughput_tokens_per_second=speed,
        throughput_requests_per_second=best.throughput_requests_per_second,
        goodput_requests_per_second=best.goodput_requests_per_second,
        levels=levels,
        knee=knee_of(levels),
        highest_meeting=highest_meeting(levels, spec) if spec.load == "sweep" else None,
        errors=errors_of(outcomes),
        token_counts=counting_of(outcomes),
        connections=sum(outcome.connected for outcome in outcomes),
        prompt_tokens=prompt_tokens,
        completion_tokens=completion_tokens,
        retries=sum(outcome.retries for outcome in outcomes),
        server=server,
        model_bytes=card.file_bytes if card is not None else None,
        cost_per_million_tokens=None if spec.price is None or not speed else spec.price / (speed * 3600) * 1e6,
    )


def _samples(name: str, levels: Sequence[Level], by_level: Mapping[float | None, LoadResult]) -> dict[str, dict[str, list[float]]]:
    """Raw values of the level that the entry's figures are of; of a sweep those of each level too, behind `@`."""
    found = {name: _raw(by_level[_best(levels).level])}
    if len(levels) > 1:
        found |= {f"{name} @ {level.level:g}": _raw(by_level[level.level]) for level in levels}
    return found


def _raw(carried: LoadResult) -> dict[str, list[float]]:
    return samples_of(measured_in(carried, window_of(carried)[0]))


def _streams(spec: BenchmarkSpec, outcomes: Sequence[Outcome]) -> int:
    """Streams at once: asked for, as far as there are requests, or more where a schedule without limit brought more."""
    wanted = max(spec.levels, default=1.0) if spec.load == "sweep" and spec.sweep == "concurrency" else spec.in_flight or 1
    return max(min(int(wanted), spec.requests), most_at_once(outcomes))


def _best(levels: Sequence[Level]) -> Level:
    """The level with the most throughput that meets the objectives, else the most of all."""
    meeting = [level for level in levels if level.meets_objectives]
    return max(meeting or levels, key=lambda level: level.throughput_tokens_per_second or level.throughput_requests_per_second or 0.0)
