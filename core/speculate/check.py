"""Whether a request to speculate fits its models and this machine."""

from __future__ import annotations

from core.models.card import ModelCard
from core.speculate.forecast import SpeculateFit, forecast
from core.speculate.spec import SpeculateSpec


def check(spec: SpeculateSpec, card: ModelCard, memory_available: int | None = None) -> SpeculateFit:
    """Judge a request against the card of its model. A prompt of the user's own is counted only when it is read.

    Args:
        spec: the request.
        card: the target's.
        memory_available: bytes of RAM that are free; asked of the machine when None.

    Raises:
        RequestError: the request cannot be carried out, in one sentence.
    """
    own = spec.prompt is not None
    return forecast(
        spec,
        card,
        prompt=1 if own else spec.prompt_tokens,
        new=spec.tokens,
        batch=min(spec.batch, 1 if own else spec.prompts),
        memory_available=memory_available,
    )
