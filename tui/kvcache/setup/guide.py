"""What the fields of the forms mean together. Pure."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from core.kvcache.catalog.catalog import SCHEMES
from core.kvcache.spec import DEFAULT_SCHEMES
from core.result import Figures
from tui.widgets.form.fields.guide import Guidance

_QUANTIZED = ("int8", "int4", "kivi-4", "kivi-2")
_READERS: Mapping[str, Callable[[str], bool]] = {
    "group": lambda name: name in _QUANTIZED or name.startswith("fp8"),
    "residual": lambda name: name.startswith("kivi"),
    "budget": lambda name: name in SCHEMES and SCHEMES[name].evicts,
    "sinks": lambda name: name == "streaming",
    "block": lambda name: name == "paged",
}
"""Field -> whether a scheme reads it."""
_NEEDLE = ("needle_depths", "needle_trials")


class _Asked(Figures):
    """What decides which sizes count, as far as a form is filled in."""

    schemes: tuple[str, ...] = ()
    needle: bool = True


def guide(given: Mapping[str, object]) -> Guidance:
    """Sizes that none of the chosen schemes reads are hidden, and the needle's settings when it is not looked for."""
    asked = _Asked.of_values(given) or _Asked()
    names = tuple(SCHEMES) if "all" in asked.schemes else asked.schemes or DEFAULT_SCHEMES
    unread = {name for name, reads in _READERS.items() if not any(map(reads, names))}
    return Guidance(hidden=frozenset(unread | (set() if asked.needle else set(_NEEDLE))))
