"""`llmopt speculate-test`: that speculation changes nothing, over a toy whose law is known, over the model, and text by text when greedy."""

from __future__ import annotations

import time
from collections.abc import Sequence

from torch import Tensor

from core.context import RunContext
from core.measure.peak_memory import peak_rss_bytes
from core.models.resolve import resolve
from core.runtime.generate import generate
from core.runtime.sampling import Sampling
from core.speculate.bench.prompts import prompts_of
from core.speculate.bench.round_reporter import RoundReporter
from core.speculate.bench.shape import slots_needed
from core.speculate.bench.speculator import Speculator, Target, open_speculator
from core.speculate.bench.tally import Tally
from core.speculate.bench.target import open_target, threads
from core.speculate.lossless.check import BATCH, check
from core.speculate.lossless.distribution import model_comparison, tokens_of_a_text, toy_comparisons
from core.speculate.lossless.result import Comparison, GreedyComparison, SpeculateTestResult
from core.speculate.lossless.spec import SpeculateTestSpec


def run(spec: SpeculateTestSpec, context: RunContext) -> SpeculateTestResult:
    """Make every comparison.

    Raises:
        RequestError: the request does not fit the models; found before any long work.
        RunFailed: a model answers with NaN.
        Cancelled: by the user.
    """
    began = time.monotonic()
    fit = check(spec, resolve(spec.model).card())
    for warning in fit.warnings:
        context.log(warning)
    gamma, sampling = spec.gamma[0], Sampling(spec.temperature, spec.top_k, spec.top_p, spec.min_p)
    error = (1 - spec.confidence) / (2 if spec.model_draws else 1)
    with threads(spec.threads, resolve(spec.model).card(), context.device):
        steps = _Steps(context, 1 + spec.model_draws + spec.prompts)
        steps.say("sampling from the toy")
        comparisons = toy_comparisons(sampling, gamma, spec.draws, context.seed, error)
        _tell(context, comparisons)
        steps.add(1, f"reading {resolve(spec.model).title}")
        batch = 1 if spec.drafter == "medusa" else BATCH
        slots = max(fit.slots, slots_needed(spec.prompt_tokens, tokens_of_a_text(gamma), gamma, batch))
        target = open_target(spec, context.device, slots=slots, batch=batch, needed_bytes=fit.peak_memory_bytes)
        way = open_speculator(spec, target, context)
        prompts = prompts_of(
            target.tokenizer, source=spec.text, own=None, task="continue", count=max(spec.prompts, 8), length=spec.prompt_tokens, spacing=spec.tokens
        ).tokens
        tally = Tally()
        if spec.model_draws:
            found, tally = _from_model(spec, steps, target, way, prompts, batch, error)
            comparisons.append(found)
            _tell(context, [found])
        greedy = _greedy(spec, steps, target, way, prompts[: spec.prompts]) if spec.prompts else None
    return _result(spec, comparisons, greedy, way, tally, fit.warnings, time.monotonic() - began)


class _Steps:
    """Progress, and the chance to cancel."""

    def __init__(self, context: RunContext, total: int) -> None:
        self.context, self._total, self._done = context, total, 0

    def say(self, label: str) -> None:
        self.context.check_cancelled()
        self.context.progress(min(self._done, self._total), self._total, label)

    def add(self, count: int, label: str) -> None:
        self._done += count
        self.say(label)


def _from_model(
    spec: SpeculateTestSpec, steps: _Steps, target: Target, way: Speculator, prompts: Tensor, batch: int, error: float
) -> tuple[Comparison, Tally]:
    sampling = Sampling(spec.temperature, spec.top_k, spec.top_p, spec.min_p, spec.repetition_penalty)
    reached = 0

    def drawn(done: int) -> None:
        nonlocal reached
        steps.add(min(done, spec.model_draws) - reached, "sampling from the model")
        reached = min(done, spec.model_draws)

    gamma = spec.gamma[0]
    found, tally, shown = model_comparison(
        way,
        target.decoder,
        prompts,
        gamma=gamma,
        sampling=sampling,
        draws=spec.model_draws,
        seed=steps.context.seed,
        error=error,
        batch=batch,
        on_draws=drawn,
    )
    reporter = RoundReporter(steps.context, target.tokenizer, spec.drafter)
    for number, (prompt, every) in enumerate(shown):
        reporter.report(prompt, number, every, gamma, spec.temperature)
    return found, tally


def _greedy(spec: SpeculateTestSpec, steps: _Steps, target: Target, way: Speculator, prompts: Tensor) -> GreedyComparison:
    """Every prompt by itself, with the penalty that was asked for."""
    sampling = Sampling(repetition_penalty=spec.repetition_penalty)
    identical, tokens, difference = 0, 0, None
    reporter = RoundReporter(steps.context, target.tokenizer, spec.drafter)
    for number, prompt in enumerate(prompts):
        named = {"max_new_tokens": spec.tokens, "sampling": sampling, "stop_tokens": target.stops}
        plain = generate(target.decoder, prompt[None], **named).tokens[0]  # type: ignore[arg-type]
        every = list(way.rounds(prompt[None], gamma=spec.gamma[0], **named))  # type: ignore[arg-type]
        fast = [token for done in every for token in done.emitted[0]]
        reporter.report(prompt[None], number, every, spec.gamma[0], 0.0)
        tokens += len(fast)
        identical += plain == fast
        if plain != fast and difference is None:
            place = next((place for place, (one, other) in enumerate(zip(plain, fast, strict=False)) if one != other), min(len(plain), len(fast)))
            difference = f"prompt {number}, token {place}"
        steps.add(1, f"greedy text {number + 1} of {len(prompts)}")
    return GreedyComparison(prompts=len(prompts), identical=identical, tokens=tokens, first_difference=difference)


def _tell(context: RunContext, comparisons: Sequence[Comparison]) -> None:
    for number, found in enumerate(comparisons):
        context.metric("total_variation", found.total_variation, step=number, label=found.name)
        context.metric("total_variation_bound", found.bound, step=number, label=found.name)
        if not found.passed:
            context.log(
                f"{found.title}: total variation {found.total_variation:.4f}, bound {found.bound:.4f}, p-value "
                f"{found.p_value:.2g}: not the target's distribution"
            )


def _result(
    spec: SpeculateTestSpec,
    comparisons: Sequence[Comparison],
    greedy: GreedyComparison | None,
    way: Speculator,
    tally: Tally,
    warnings: tuple[str, ...],
    seconds: float,
) -> SpeculateTestResult:
    worst = max((found for found in comparisons if found.name.startswith("toy")), key=lambda found: found.total_variation / found.bound)
    same = greedy is None or greedy.identical == greedy.prompts
    toy = "the toy tests the rule of exact acceptance; typical acceptance shows in the model's own tokens and texts"
    return SpeculateTestResult(
        model=resolve(spec.model).title,
        drafter=spec.drafter,
        draft=way.title,
        acceptance=spec.acceptance,
        lossless=same and all(found.passed for found in comparisons),
        confidence=spec.confidence,
        temperature=spec.temperature,
        top_p=spec.top_p,
        top_k=spec.top_k,
        gamma=spec.gamma[0],
        total_variation=worst.total_variation,
        total_variation_bound=worst.bound,
        comparisons=tuple(comparisons),
        greedy=greedy,
        alpha=tally.alpha,
        seconds=seconds,
        peak_rss_bytes=peak_rss_bytes(),
        warnings=warnings,
        notes=(
            f"an exact implementation passes with a probability of at least {spec.confidence:.0%}: the probability "
            f"of a false alarm is split over {len(comparisons)} comparisons, and in each halved between total "
            "variation (a bound that holds for any number of draws) and chi-square "
            "(whose p-value is that of many)",
            *((toy,) if spec.acceptance == "typical" else ()),
        ),
    )
