"""Whether every quantization of a comparison fits a model."""

from __future__ import annotations

from core.models.card import ModelCard
from core.quantize.check import FitCheck
from core.quantize.check import check as check_one
from core.quantize.compare.spec import QuantizeCompareSpec


def check(spec: QuantizeCompareSpec, card: ModelCard) -> tuple[FitCheck, ...]:
    """What each variant will take. Raises RequestError for the first that cannot be carried out on this model."""
    return tuple(check_one(spec.of(variant), card) for variant in spec.variants)
