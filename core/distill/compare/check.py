"""Whether a comparison of distillations fits its models and this machine."""

from __future__ import annotations

from core.distill.check import DistillFit
from core.distill.check import check as check_one
from core.distill.compare.spec import PROGRAMS, DistillCompareSpec
from core.models.card import ModelCard


def check(spec: DistillCompareSpec, card: ModelCard) -> DistillFit:
    """What the largest of them will take. Raises RequestError: it cannot be carried out, in one sentence."""
    return max((check_one(spec.of(variant), card) for variant in PROGRAMS), key=lambda fit: fit.peak_memory_bytes)
