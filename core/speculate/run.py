"""`llmopt speculate`: the same prompts with and without speculation, in turns, in the same process."""

from __future__ import annotations

import itertools
import time
from collections.abc import Iterator, Sequence

import torch

from core.context import RunContext
from core.formats.opening import tokenizer_of
from core.measure.peak_memory import peak_rss_bytes
from core.models.resolve import resolve
from core.runtime.sampling import Sampling
from core.speculate.bench.loop import Round
from core.speculate.bench.measure import Bench
from core.speculate.bench.prompts import Prompts, prompts_of
from core.speculate.bench.round_reporter import RoundReporter
from core.speculate.bench.shape import slots_needed
from core.speculate.bench.speculator import PLAIN_STEPS, TIMED_ROUNDS, Speculator, Target, open_speculator
from core.speculate.bench.target import open_target, threads
from core.speculate.check import check
from core.speculate.result import SpeculateResult, SpeculateRow
from core.speculate.spec import SpeculateSpec


def run(spec: SpeculateSpec, context: RunContext) -> SpeculateResult:
    """Measure every setting.

    Raises:
        RequestError: the request does not fit the models; found before any long work.
        RunFailed: a model answers with NaN.
        Cancelled: by the user.
    """
    began = time.monotonic()
    fit = check(spec, resolve(spec.model).card())
    for warning in fit.warnings:
        context.log(warning)
    with threads(spec.threads, resolve(spec.model).card(), context.device) as count:
        context.progress(0, 0, f"reading {resolve(spec.model).title}")
        prompts = _prompts(spec)
        batch, gamma = min(spec.batch, len(prompts.tokens)), max(spec.gamma)
        slots = max(slots_needed(prompts.tokens.shape[1], new, gamma, batch) for new in (spec.tokens, 2 * TIMED_ROUNDS + gamma, PLAIN_STEPS))
        target = open_target(spec, context.device, slots=slots, batch=batch, needed_bytes=fit.peak_memory_bytes)
        way = open_speculator(spec, target, context)
        rows = tuple(_measured(spec, context, target, way, prompts))
    return _result(spec, target, way, prompts, rows, (*fit.warnings, *slowdowns(rows)), count, time.monotonic() - began)


def _prompts(spec: SpeculateSpec) -> Prompts:
    return prompts_of(
        tokenizer_of(resolve(spec.model)),
        source=spec.text,
        own=spec.prompt,
        task=spec.task,
        count=spec.prompts,
        length=spec.prompt_tokens,
        spacing=spec.tokens,
    )


def _measured(spec: SpeculateSpec, context: RunContext, target: Target, way: Speculator, prompts: Prompts) -> Iterator[SpeculateRow]:
    batches = torch.split(prompts.tokens, spec.batch)
    bench = Bench(target, way, batches, spec.tokens, context.seed)
    reporter = RoundReporter(context, target.tokenizer, spec.drafter)
    settings = list(itertools.product(spec.gamma, spec.temperature))
    total = len(settings) * spec.repeats * len(batches)
    for number, (gamma, temperature) in enumerate(settings):
        label = f"gamma {gamma}, temperature {temperature:g}"
        sampling = Sampling(temperature, spec.top_k, spec.top_p, spec.min_p, spec.repetition_penalty)
        context.progress(number * spec.repeats * len(batches), total, label)
        bench.warm_up(gamma, sampling)

        def report(repeat: int, batch: int, rounds: Sequence[Round], over: bool, gamma: int = gamma, label: str = label, first: int = number) -> None:
            context.check_cancelled()
            if repeat == 0:
                reporter.report(batches[batch], batch * spec.batch, rounds, gamma, spec.temperature[first % len(spec.temperature)])
            if over:
                context.progress((first * spec.repeats + repeat) * len(batches) + batch + 1, total, label)

        row = bench.setting(gamma, sampling, spec.repeats, report)
        for name in ("speedup", "predicted_speedup", "alpha", "tokens_per_round", "tokens_per_second", "baseline_tokens_per_second"):
            value = getattr(row, name)
            if value is not None:
                context.metric(name, value, step=number, label=label)
        yield row


def slowdowns(rows: Sequence[SpeculateRow]) -> Iterator[str]:
    """A plain sentence for each setting that was slower than plain decoding, or whose text departs from it."""
    for row in rows:
        where = f"gamma {row.gamma} at temperature {row.temperature:g}"
        if row.speedup < 1:
            share = "nothing was drafted" if row.alpha is None else f"{row.alpha:.0%} of the judged drafts were accepted"
            yield (
                f"{where} was a slowdown: {row.speedup:.2f} times plain decoding; {share}, a drafted token costs {row.cost_ratio:.2f} and a "
                f"verification {row.verification_ratio:.2f} steps of the target"
            )
        if row.first_difference is not None:
            yield f"{where}: the greedy text diverges from plain decoding at {row.first_difference}"


def _result(
    spec: SpeculateSpec,
    target: Target,
    way: Speculator,
    prompts: Prompts,
    rows: tuple[SpeculateRow, ...],
    warnings: tuple[str, ...],
    used: int,
    seconds: float,
) -> SpeculateResult:
    best = max(rows, key=lambda row: row.speedup)
    greedy = [row.identical for row in rows if row.identical is not None]
    shared = ("speedup", "predicted_speedup", "alpha", "cost_ratio", "verification_ratio", "gamma", "temperature")
    rates = ("tokens_per_round", "tokens_per_second", "baseline_tokens_per_second")
    return SpeculateResult(
        model=resolve(spec.model).title,
        drafter=spec.drafter,
        draft=way.title,
        acceptance=spec.acceptance,
        lossless=spec.acceptance == "exact",
        **{name: getattr(best, name) for name in (*shared, *rates)},
        identical=all(greedy) if greedy else None,
        rows=rows,
        task=spec.task,
        corpus=prompts.corpus,
        sha256=prompts.sha256,
        prompts=len(prompts.tokens),
        prompt_tokens=prompts.tokens.shape[1],
        new_tokens=spec.tokens,
        batch=spec.batch,
        parameters=target.card.parameters,
        draft_parameters=way.parameters,
        dtype=str(target.dtype).removeprefix("torch."),
        device=target.device,
        threads=used,
        seconds=seconds,
        peak_rss_bytes=peak_rss_bytes(),
        warnings=warnings,
        notes=tuple(_notes(spec)),
    )


def _notes(spec: SpeculateSpec) -> Iterator[str]:
    yield (f"plain and speculative decoding alternated, {spec.repeats} times over all prompts, best of each; prefill is excluded from speeds")
    yield "predicted = E / (gamma c + v): E from the drafts that rounds accepted, c and v timed in other rounds than those whose speed-up is measured"
    if spec.batch > 1:
        yield f"a batch of {spec.batch} runs until its slowest row is done, which the prediction does not model"
