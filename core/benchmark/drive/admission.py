"""What a load must be before anything is started or reached."""

from __future__ import annotations

from pathlib import Path

from core.benchmark.analysis.thresholds import needs, objectives_of, parse
from core.benchmark.documents import load_result
from core.benchmark.quality import choices
from core.benchmark.server.target import key_of
from core.benchmark.spec import BenchmarkSpec
from core.benchmark.workload.arrivals import times_of
from core.benchmark.workload.prompts import file_prompts
from core.engine import look_up
from core.errors import RequestError
from core.models.card import ModelCard
from core.models.resolve import resolve
from core.sanitize import clean


def check_load(spec: BenchmarkSpec, card: ModelCard | None) -> None:
    """What can be known without the server, but for whether the engine reads the model's format; `card` is None for an address.

    Raises:
        RequestError: an engine that does not exist or is only attached to, expressions that do not parse or whose figure is not measured, a
            file without a list of requests, a trace that goes back, a baseline that is none, lengths beyond the model's context, a key that
            is not there.
    """
    engine = look_up(spec.engine_name)
    if card is not None:
        if not engine.facts.starts:
            raise RequestError(f"{engine.facts.title} is not started by this program: give the address of its server instead of a model")
        if spec.context is not None and spec.context > card.context:
            raise RequestError(f"a context of {spec.context} tokens exceeds the {card.context} of {card.name}: lower it")
    objectives_of(spec.objectives)
    _check_thresholds(spec)
    check_baseline(spec.baseline)
    key_of(spec)
    _check_quality(spec)
    if spec.tokenizer is not None:
        resolve(spec.tokenizer)
    _check_texts(spec, card)


def check_baseline(reference: str | None) -> None:
    """Whether there is anything in a baseline to be held against.

    Raises:
        RequestError: it is not a result, or one of which no request was answered.
    """
    if reference is not None and not any(entry.requests.done for entry in load_result(reference).entries):
        raise RequestError(f"the baseline {clean(reference, limit=120)} has no answered request: give another")


def _check_texts(spec: BenchmarkSpec, card: ModelCard | None) -> None:
    file = spec.trace if spec.load == "trace" else None if spec.prompts == "builtin" else spec.prompts
    if file is not None:
        prompts = file_prompts(Path(file).expanduser(), None, spec.output_tokens)
        if spec.load == "trace":
            times_of(spec, prompts)
    elif card is not None and spec.input_tokens + spec.output_tokens > (spec.context or card.context):
        raise RequestError(
            f"prompts of {spec.input_tokens} tokens and answers of {spec.output_tokens} exceed the context of "
            f"{spec.context or card.context}: lower input-tokens or output-tokens"
        )


def _check_thresholds(spec: BenchmarkSpec) -> None:
    for text in spec.thresholds:
        needed = needs(parse(text))
        if needed and not getattr(spec, needed):
            shown = clean(text, limit=80)
            raise RequestError(f"the threshold {shown!r} needs a metric that is not measured: give {needed.replace('_', '-')} too")


def _check_quality(spec: BenchmarkSpec) -> None:
    if spec.choices is not None:
        choices.load(Path(spec.choices).expanduser())
    if spec.quality_reference is not None and not spec.quality_reference.startswith(("http://", "https://")):
        resolve(spec.quality_reference)
