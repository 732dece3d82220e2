"""The figures of results: how they are called, what unit they have, which way is better."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import cache
from typing import Any

from core.errors import RequestError
from core.measure.units import duration, number, percent, size
from core.result import Figure, FigureUnit
from core.runs import registry

SHOW: dict[FigureUnit, Callable[[float], str]] = {"byte": size, "second": duration, "share": percent}
_ENDINGS: tuple[tuple[str, FigureUnit], ...] = (("_bytes", "byte"), ("_seconds", "second"), ("_ms", "ms"))


def figure(name: str, capability: str = "") -> Figure:
    """What a figure is, as the result of its capability declares it.

    One that no result declares is called by its own name, its unit follows from its ending. A dotted name, such as `kivi-4.ppl`, is the last
    part's figure of what comes before it.

    Args:
        name: of the figure, as `metrics` of a result or a metric event has it.
        capability: whose run it belongs to; where it is not given or does not declare the name, all are looked through.
    """
    if found := _declared(name, capability):
        return found
    owner, _, last = name.rpartition(".")
    if owner and (of_last := _declared(last, capability)):
        return replace(of_last, quantity=f"{owner}: {of_last.quantity}", error="")
    for ending, unit in _ENDINGS:
        if name.endswith(ending):
            return Figure(name.removesuffix(ending).replace("_", " "), unit)
    return Figure(name.replace("_", " "))


def _declared(name: str, capability: str) -> Figure | None:
    keys = dict.fromkeys((capability, *registry.CAPABILITIES))
    return next((found for key in keys if key and (found := _table(key).get(name))), None)


@cache
def _table(capability: str) -> dict[str, Figure]:
    try:
        return dict(registry.result_class(capability).figure_table())
    except RequestError:
        return {}


def writer(entry: Figure) -> Callable[[float], str]:
    """How a figure's values are written."""
    return SHOW.get(entry.unit, number)


def show(name: str, value: Any, capability: str = "") -> str:
    """A figure as a user reads it."""
    if value is None:
        return "—"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int | float):
        return writer(figure(name, capability))(value)
    return str(value)


def numbers(document: Any, prefix: str = "") -> Iterator[tuple[str, float]]:
    """Every number of a nested mapping with its dotted name, lists left out."""
    if isinstance(document, dict):
        for key, value in document.items():
            yield from numbers(value, f"{prefix}.{key}" if prefix else str(key))
    elif isinstance(document, int | float) and not isinstance(document, bool):
        yield prefix, document
