"""Whether evaluations may be compared with each other: the one place that decides it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from core.evaluate.result import Convention

Evaluation = Convention | Mapping[str, Any]
"""A convention, or one as a result of any version states it."""

_PARTS = ("corpus", "sha256", "context", "stride", "tokens_scored", "scoring", "bos")


def convention_key(evaluation: Evaluation) -> tuple[str, ...]:
    """What must be equal for perplexities and divergences to be comparable."""
    stated = evaluation.model_dump() if isinstance(evaluation, Convention) else evaluation
    return tuple(str(stated.get(name)) for name in _PARTS)


def incomparable_reasons(evaluations: Iterable[Evaluation]) -> tuple[str, ...]:
    """A sentence for each part of the convention in which evaluations differ, in their order; none when their figures may be compared."""
    parts = zip(_PARTS, zip(*map(convention_key, evaluations), strict=True), strict=False)
    return tuple(
        f"the evaluations differ in {name.replace('_', ' ')} ({' and '.join(dict.fromkeys(values))}): their perplexities are not comparable"
        for name, values in parts
        if len(set(values)) > 1
    )
