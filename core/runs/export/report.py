"""What a capability itself has to say of its results when they are exported, for capabilities whose result is more than one set of figures."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from core.result import Result
from core.runs import registry

Cells = tuple[str, ...]
Table = tuple[str, list[Cells]]
"""Title, and rows of safe texts, the header first."""
Values = tuple[Any, ...]


@dataclass(frozen=True)
class Report:
    """One or more results of a capability. Every text in it is fit to be shown."""

    title: str
    sentences: tuple[str, ...]
    """What must be said first."""
    tables: tuple[Table, ...]
    charts: Callable[[], Iterable[tuple[str, str]]]
    """(title, SVG); drawn when asked for."""
    values: Callable[[], Iterable[Values]]
    """For CSV, the header first."""
    samples: Callable[[], Iterable[Values]]
    """Raw values for CSV, the header first."""
    document: Callable[[], Mapping[str, object]]
    """For JSON, its schema first."""


def report_of(capability: str, results: Sequence[tuple[str, Result | None]]) -> Report | None:
    """The report of results, each with the name of its run; None where the capability has none, or one of them cannot be read."""
    reference = registry.CAPABILITIES[capability].report if capability in registry.CAPABILITIES else ""
    if not reference or any(result is None for _, result in results):
        return None
    found: Report = registry.load(reference)(results)
    return found
