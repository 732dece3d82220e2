"""Which prunings of a comparison fit a model."""

from __future__ import annotations

from core.errors import RequestError
from core.models.card import ModelCard
from core.prune.check import FitCheck
from core.prune.check import check as check_one
from core.prune.compare.spec import PruneCompareSpec, Variant


def check(spec: PruneCompareSpec, card: ModelCard) -> tuple[FitCheck, ...]:
    """What each variant that fits will take. Raises RequestError: none fits, with what is wrong with the first."""
    return tuple(fit for fit in judge(spec, card).values() if isinstance(fit, FitCheck))


def judge(spec: PruneCompareSpec, card: ModelCard) -> dict[Variant, FitCheck | str]:
    """What each variant will take, or why it cannot be carried out on this model. Raises RequestError: none can be carried out."""
    found: dict[Variant, FitCheck | str] = {}
    for variant in spec.variants:
        try:
            found[variant] = check_one(spec.of(variant), card)
        except RequestError as error:
            found[variant] = str(error)
    refusals = [answer for answer in found.values() if isinstance(answer, str)]
    if len(refusals) == len(found):
        raise RequestError(refusals[0])
    return found
