"""Refuse a server before a worker is started. No torch."""

from __future__ import annotations

from core.engine import Missing, ServeSpec, look_up
from core.errors import RequestError
from core.models.card import ModelCard


def check(spec: ServeSpec, card: ModelCard | None) -> None:
    """What can be known without starting it.

    Raises:
        RequestError: an engine that does not exist, is not installed or only attached to, a context beyond the model's.
    """
    engine = look_up(spec.engine)
    if not engine.facts.starts:
        raise RequestError(f"{engine.facts.title} is not started by this program: start it yourself, and measure it by its address")
    found = engine.find()
    if isinstance(found, Missing):
        raise RequestError(found.reason)
    if card is not None and spec.context is not None and spec.context > card.context:
        raise RequestError(f"a context of {spec.context} tokens is more than the {card.context} of {card.name}: lower it")
