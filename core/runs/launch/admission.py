"""Refuse a request before a worker is started; nothing is written."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from core import text
from core.formats.writing.output import check_output
from core.runs.registry import capability, load
from core.spec import Spec

_MODELS = ("reference", "draft")
_TEXTS = ("text", "calibration")


def admit(spec: Spec) -> Any:
    """Look at everything that a run would stumble over: models, texts, and the capability's own check of spec and model card.

    Returns:
        What the capability's check answers, for example a fit check; None where it has none.

    Raises:
        RequestError: with one sentence for the first thing that is wrong.
        RunFailed: the output may not be written where it is asked for.
    """
    from core.models.resolve import require_folder, require_unquantized, resolve

    entry = capability(spec.capability)
    for name in _TEXTS:
        value = getattr(spec, name, None)
        if isinstance(value, str) and value != text.BUILTIN:
            text.user(Path(value))
    address = entry.takes_addresses and spec.model.startswith(("http://", "https://"))
    if address or (entry.elsewhere and load(entry.elsewhere)(spec)):
        return load(entry.check)(spec, None) if entry.check else None
    others = [other for name in _MODELS if isinstance(other := getattr(spec, name, None), str)]
    for source in (resolve(spec.model), *map(resolve, others)):
        if entry.needs_folder:
            require_folder(source)
    if isinstance(out := getattr(spec, "out", None), str):
        check_output(Path(out))
    card = resolve(spec.model).card()
    if entry.needs_unquantized:
        require_unquantized(card)
    return load(entry.check)(spec, card) if entry.check else None
