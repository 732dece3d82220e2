"""Refuse a request before a run is made of it; nothing is written."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from core import text
from core.formats.writing.output import check_output
from core.models.card import ModelCard
from core.models.find.hub_cache import must_be_fetched
from core.models.resolve import resolve
from core.models.source import ModelSource, require_folder, require_unquantized
from core.runs.registry import capability, load
from core.spec import Spec

Find = Callable[[str], ModelSource]
"""Looks a model up by its name, without fetching it; RequestError when there is none."""

_MODELS = ("reference", "draft", "student")
_TEXTS = ("text", "calibration", "train_text")


@dataclass(frozen=True)
class Admission:
    """What was found out about a request that may be started."""

    answer: Any = None
    """What the capability's check answers, for example an estimate of memory; None where it has no check."""
    card: ModelCard | None = None
    """The model's; None for an address, and for a model that this program cannot look up."""
    unseen: bool = False
    """A model has to be fetched by the run first, and nothing that depends on it was looked at."""

    def require_card(self) -> ModelCard:
        """The model's card, for requests that always have one; LookupError where there is none."""
        if self.card is None:
            raise LookupError("the request names no model that was looked at")
        return self.card


def admit(spec: Spec, find: Find | None = None) -> Admission:
    """Look at everything that a run would stumble over: texts, models, the output, and the capability's own check of spec and model card.

    Reads files: off the event loop.

    Args:
        spec: the request.
        find: looks models up where fetching them is left to the run; by default they are fetched now.

    Raises:
        RequestError: with one sentence for the first thing that is wrong.
        RunFailed: the output may not be written where it is asked for.
    """
    entry = capability(spec.capability)
    for name in _TEXTS:
        value = getattr(spec, name, None)
        if isinstance(value, str) and value != text.BUILTIN:
            text.user(Path(value))
    check = load(entry.check) if entry.check else lambda _spec, _card: None
    address = entry.takes_addresses and spec.model.startswith(("http://", "https://"))
    if address or (entry.elsewhere and load(entry.elsewhere)(spec)):
        return Admission(check(spec, None))
    if isinstance(out := getattr(spec, "out", None), str):
        check_output(Path(out).expanduser())
    names = [spec.model, *(other for name in _MODELS if isinstance(other := getattr(spec, name, None), str))]
    if find is not None and any(map(must_be_fetched, names)):
        return Admission(unseen=True)
    sources = list(map(find or resolve, names))
    if entry.needs_folder:
        for source in sources:
            require_folder(source)
    card = sources[0].card()
    if entry.needs_unquantized:
        require_unquantized(card)
    return Admission(check(spec, card), card)
