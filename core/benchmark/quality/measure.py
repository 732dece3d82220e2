"""What a server's model knows, as opposed to how fast it is: perplexity, divergence from a reference, questions answered.

Everything goes through the server as it is measured, its quantization and cache included. What a server does not tell is not known, and the
result says why.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from statistics import mean

from core import text
from core.benchmark.quality import choices
from core.benchmark.quality.opening import opened
from core.benchmark.quality.passages import Passage, passages_of
from core.benchmark.quality.truncated import DEFINITION, divergences
from core.benchmark.result import Quality
from core.benchmark.server.target import FastTokenizer, Target, reference_of
from core.benchmark.spec import BenchmarkSpec
from core.benchmark.workload.prompts import Tokenizer
from core.context import RunContext
from core.engine import Endpoint, Engine, ScoringEngine, TokenScore, look_up
from core.engine_access import listed
from core.errors import RequestError
from core.measure.neighbours import mean_error
from core.models.card import ModelCard
from core.models.resolve import resolve
from core.runs.launch.pause import wait_while_paused

WINDOW = 512
"""Tokens of a window, as far as the model's context allows: the same whatever the load, so that perplexities can be compared."""
_TOPS = (20, 5)
"""Likeliest tokens that are asked for; the second where a server allows no more, as OpenAI's."""
_ROOM = 16
_PROBE = 4000
Scores = tuple[TokenScore, ...]


def measure(spec: BenchmarkSpec, target: Target, tokenizer: Tokenizer | None, card: ModelCard | None, context: RunContext) -> Quality:
    """All that was asked for of a server that runs; parts that it does not tell have a sentence instead. Raises Cancelled: by the user."""
    found = Quality()
    if tokenizer is None and (spec.quality_tokens or spec.choices is not None):
        tokenizer = _of_gguf(spec)
    if spec.quality_tokens:
        context.log("measuring quality")
        found = _of_text(spec, target, tokenizer, card, context)
    if spec.choices is not None:
        context.log("asking the questions")
        found = _of_choices(spec, target, tokenizer, context, found)
    return found


def needs(spec: BenchmarkSpec, tokenizer: Tokenizer | None, card: ModelCard | None) -> int:
    """Tokens of context that the quality of a started server takes."""
    needed = window_of(spec, card) + 1 if spec.quality_tokens else 0
    if spec.choices is not None:
        for question in choices.load(Path(spec.choices).expanduser()):
            shown = question.lettered()
            needed = max(needed, (len(tokenizer.encode(shown)) if tokenizer is not None else len(shown)) + choices.LETTER_TOKENS + _ROOM)
    return needed


def window_of(spec: BenchmarkSpec, card: ModelCard | None) -> int:
    """Tokens of a window: less than the context, so that a server which must answer with a token has room for it."""
    limits = [limit for limit in (spec.context, None if card is None else card.context) if limit is not None]
    return max(2, min(WINDOW, spec.quality_tokens, *(limit - 1 for limit in limits)))


def perplexity(scores: Sequence[Scores]) -> tuple[float, float]:
    """exp of the mean negative log-likelihood of all scored tokens, and its standard error (of the mean, times the perplexity)."""
    losses = [-score.logprob for part in scores for score in part]
    if not all(map(math.isfinite, losses)):
        return math.inf, math.nan
    try:
        ppl = math.exp(mean(losses))
    except OverflowError:
        return math.inf, math.nan
    return ppl, ppl * mean_error(losses)


def scores_of(engine: Engine, endpoint: Endpoint, passages: Sequence[Passage], look: Callable[[], None]) -> list[Scores]:
    """The scores of every passage; `look` is called between them. Raises RequestError: the server does not tell them."""
    if not isinstance(engine, ScoringEngine):
        raise RequestError(f"the package of {engine.facts.title} does not support log-probabilities of a given text")
    first, top = _first(engine, endpoint, passages[0])
    found = [first]
    for passage in passages[1:]:
        look()
        found.append(engine.score(endpoint, passage.text, passage.tokens, top))
    return found


def _first(engine: ScoringEngine, endpoint: Endpoint, passage: Passage) -> tuple[Scores, int]:
    """The scores of the first passage, and with how many likeliest tokens they could be had."""
    problem: RequestError | None = None
    for top in _TOPS:
        try:
            return engine.score(endpoint, passage.text, passage.tokens, top), top
        except RequestError as error:
            problem = problem or error
    raise problem or RequestError("nothing was asked")


def _of_gguf(spec: BenchmarkSpec) -> Tokenizer | None:
    """The tokenizer that a GGUF file describes, so that its windows are those of the model it was made of; None where there is none to be had."""
    if spec.is_url or (source := resolve(spec.model)).kind != "gguf":
        return None
    from core.formats.gguf.read.opening import companion_folder

    try:
        file = companion_folder(source.path) / "tokenizer.json"
        return FastTokenizer(file) if file.is_file() else None
    except RequestError:
        return None


def _of_text(spec: BenchmarkSpec, target: Target, tokenizer: Tokenizer | None, card: ModelCard | None, context: RunContext) -> Quality:
    try:
        corpus = text.load(spec.text or text.BUILTIN)
        window = window_of(spec, card)
        passages = passages_of(corpus, tokenizer, spec.quality_tokens, window)
        scores = scores_of(target.engine, target.endpoint, passages, lambda: wait_while_paused(context))
    except RequestError as error:
        return Quality(words=f"perplexity is not known: {error}")
    ppl, spread = perplexity(scores)
    cut = f"windows of {window} tokens, no special ones," if tokenizer is not None else "pieces cut by characters"
    words = f"{len(passages)} {cut} of {corpus.name} (SHA-256 {corpus.sha256[:12]}), all but the first token of each"
    if not math.isfinite(ppl):
        return Quality(words=f"perplexity is not known: the server gives a token of the text probability 0; {words}")
    losses = tuple(round(-score.logprob, 6) for part in scores for score in part)
    quality = Quality(ppl=ppl, ppl_se=spread, tokens=len(losses), words=words, losses=losses)
    if spec.quality_reference is None:
        return quality
    probe = corpus.text[:_PROBE]
    return _beside(spec, spec.quality_reference, quality, passages, scores, context, None if tokenizer is None else (probe, tokenizer.encode(probe)))


def _beside(
    spec: BenchmarkSpec,
    reference: str,
    quality: Quality,
    passages: Sequence[Passage],
    scores: Sequence[Scores],
    context: RunContext,
    probe: tuple[str, Sequence[int]] | None,
) -> Quality:
    """The quality with the divergence from a reference: a server by its address, or a model in memory."""
    context.log("asking the reference")
    try:
        if reference.startswith(("http://", "https://")):
            engine, endpoint = look_up("openai"), reference_of(spec, reference)
            endpoint, names = listed(engine, endpoint)
            endpoint = replace(endpoint, model=next(iter(names), ""))
            held = scores_of(engine, endpoint, passages, lambda: wait_while_paused(context))
        else:
            from core.benchmark.quality.reference import model_scores

            if probe is None:
                raise RequestError("the tokenizer of the server's model is not available, so the reference cannot be given the same tokens")
            held = model_scores(reference, passages, probe, _TOPS[0], context.device, lambda: wait_while_paused(context))
        found = [value for one, two in zip(held, scores, strict=True) for value in divergences(one, two)]
    except RequestError as error:
        return quality.model_copy(update={"words": f"{quality.words}; the divergence is not known: {error}"})
    if len(found) != quality.tokens or not all(map(math.isfinite, found)):
        why = "the reference tokenizes the text differently, or one of the two returns no top log-probabilities or invalid ones"
        return quality.model_copy(update={"words": f"{quality.words}; the divergence is not known: {why}"})
    spread = mean_error(found)
    return quality.model_copy(update={"kl_mean": mean(found), "kl_se": spread, "words": f"{quality.words}; {DEFINITION}"})


def _of_choices(spec: BenchmarkSpec, target: Target, tokenizer: Tokenizer | None, context: RunContext, quality: Quality) -> Quality:
    engine, endpoint = target.engine, target.endpoint

    def total(passage: Passage, last: int | None) -> float:
        wait_while_paused(context)
        assert isinstance(engine, ScoringEngine)
        return sum(score.logprob for score in engine.score(endpoint, passage.text, passage.tokens, 1)[-last if last else None :])

    def loglikelihood(before: str, behind: str) -> float:
        if tokenizer is None:
            return total(Passage(before + behind, None), None) - total(Passage(before, None), None)
        first, second = opened(tokenizer, before), tokenizer.encode(behind)
        return total(Passage(before + behind, (*first, *second)), len(second))

    def say(prompt: str) -> str:
        wait_while_paused(context)
        return "".join(piece.text for piece in engine.generate(endpoint, prompt, choices.LETTER_TOKENS))

    assert spec.choices is not None
    try:
        questions = choices.load(Path(spec.choices).expanduser())
        try:
            if not isinstance(engine, ScoringEngine):
                raise RequestError("it does not support log-probabilities")
            correct, words = choices.by_probability(questions, loglikelihood), choices.BY_PROBABILITY
        except RequestError as error:
            correct, mute = choices.by_letter(questions, say)
            words = choices.BY_LETTER + (f", {mute} of {len(questions)} without one" if mute else "") + f" ({error})"
    except RequestError as error:
        return quality.model_copy(update={"words": _joined(quality.words, f"the questions were not answered: {error}")})
    words = _joined(quality.words, f"questions: {words}")
    return quality.model_copy(update={"correct": correct, "questions": len(questions), "words": words})


def _joined(*words: str) -> str:
    return "; ".join(word for word in words if word)
