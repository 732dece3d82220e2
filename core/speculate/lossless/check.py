"""Whether a test of losslessness fits its models and this machine."""

from __future__ import annotations

from core.models.card import ModelCard
from core.speculate.forecast import SpeculateFit, forecast
from core.speculate.lossless.spec import SpeculateTestSpec

BATCH = 32
"""Texts that are drawn from the model at once; trees are verified one by one."""


def check(spec: SpeculateTestSpec, card: ModelCard, memory_available: int | None = None) -> SpeculateFit:
    """Judge a test against the card of its model; arguments and errors as of `core.speculate.forecast.forecast`."""
    return forecast(spec, card, prompt=spec.prompt_tokens, new=spec.tokens, batch=BATCH, apart=True, memory_available=memory_available)
