"""Refuse a load before anything is started or reached. No torch."""

from __future__ import annotations

from pathlib import Path

from core.benchmark import choices
from core.benchmark.documents import load_result
from core.benchmark.spec import BenchmarkSpec
from core.benchmark.target import key_of
from core.benchmark.thresholds import objectives_of, parse
from core.benchmark.workload import file_prompts
from core.engine import look_up
from core.errors import RequestError
from core.models.card import ModelCard
from core.models.resolve import resolve


def check(spec: BenchmarkSpec, card: ModelCard | None) -> None:
    """What can be known of a load without its server; `card` is None for an address.

    Raises:
        RequestError: an engine that does not exist or is only attached to, expressions that do not parse, a file that is no list of requests,
            a baseline that is none, lengths beyond the model's context, a key that is not there.
    """
    engine = look_up(spec.engine_name)
    if card is not None and not engine.facts.starts:
        raise RequestError(f"{engine.facts.title} is not started by this program: give the address of its server instead of a model")
    objectives_of(spec.objectives)
    for expression in spec.thresholds:
        parse(expression)
    if spec.baseline is not None:
        load_result(spec.baseline)
    key_of(spec)
    _check_quality(spec)
    file = spec.trace if spec.load == "trace" else None if spec.prompts == "builtin" else spec.prompts
    if file is not None:
        file_prompts(Path(file).expanduser(), None, spec.output_tokens)
    elif card is not None and spec.input_tokens + spec.output_tokens > (spec.context or card.context):
        raise RequestError(
            f"prompts of {spec.input_tokens} tokens and answers of {spec.output_tokens} are more than the context of "
            f"{spec.context or card.context}: lower input-tokens or output-tokens"
        )


def _check_quality(spec: BenchmarkSpec) -> None:
    if spec.choices is not None:
        choices.load(Path(spec.choices).expanduser())
    if spec.quality_reference is not None and not spec.quality_reference.startswith(("http://", "https://")):
        resolve(spec.quality_reference)
