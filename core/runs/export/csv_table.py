"""A run as one tidy table: a line a value."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Iterator
from typing import Any

from core.runs.export.gather import Exported
from core.sanitize import clean

_HEADER = ("kind", "name", "step", "label", "value")
_SAMPLE_HEADER = ("metric", "index", "value")
_FORMULA = ("=", "+", "-", "@", "\t", "\r")


def as_csv(exported: Exported) -> str:
    """Columns kind (setting, result, course), name, step, label, value; a capability with a report of its own has its own columns.

    A text that a spreadsheet would take for a formula is preceded by an apostrophe.
    """
    return table_text((_HEADER, *_rows(exported)) if exported.report is None else exported.report.values())


def as_samples(exported: Exported) -> str:
    """Raw values, a line each; the header alone where the result keeps none."""
    return table_text((_SAMPLE_HEADER,) if exported.report is None else exported.report.samples())


def table_text(rows: Iterable[tuple[Any, ...]]) -> str:
    """Rows as CSV."""
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows([_cell(value) for value in row] for row in rows)
    return text.getvalue()


def _rows(exported: Exported) -> Iterator[tuple[Any, ...]]:
    yield "run", "id", None, None, exported.id
    yield "run", "status", None, None, exported.state.status
    for name, value in exported.settings.items():
        yield "setting", name, None, None, value
    for name, value in exported.metrics.items():
        yield "result", name, None, None, value
    for series in exported.series:
        for point in series.points:
            yield "course", series.name, point.step, point.label, point.value


def _cell(value: Any) -> Any:
    if value is None or isinstance(value, int | float):
        return "" if value is None else value
    text = clean(str(value))
    return f"'{text}" if text.startswith(_FORMULA) else text
