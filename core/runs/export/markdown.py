"""A run as Markdown."""

from __future__ import annotations

import html
import re

from core.runs.export import facts
from core.runs.export.facts import Row
from core.runs.export.gather import Exported, Series
from core.runs.figures import show

_SPECIAL = re.compile(r"([\\`*_{}\[\]()#|~!])")


def as_markdown(exported: Exported) -> str:
    """Tables of the request, the figures, the convention, and a summary of each figure's course."""
    parts = [f"# {_escape(exported.capability)} of {_escape(exported.model)}", _table([("run", ""), *facts.head(exported)][1:], ("", ""))]
    sections = [
        ("Measured", _table(facts.metrics(exported), ("figure", "value"))),
        *((name.capitalize(), _table(rows[1:], rows[0])) for name, rows in facts.tables(exported)),
        ("Convention", _table(facts.convention(exported), ("", ""))),
        ("Course", _table([_summary(series) for series in exported.series], ("figure", "points", "least", "mean", "most"))),
        ("Asked", _table(facts.settings(exported), ("setting", "value"))),
    ]
    for title, body in sections:
        if body:
            parts += [f"## {title}", body]
    return "\n\n".join(parts) + "\n"


def _summary(series: Series) -> Row:
    values = [point.value for point in series.points if point.value is not None]
    if not values:
        return (series.title, str(len(series.points)), "—", "—", "—")
    figures = (min(values), sum(values) / len(values), max(values))
    return (series.title, str(len(series.points)), *(show(series.name, value) for value in figures))


def _table(rows: list[Row], header: Row) -> str:
    if not rows:
        return ""
    lines = [header, tuple("---" for _ in header), *(tuple(_escape(cell) for cell in row) for row in rows)]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _escape(text: str) -> str:
    return _SPECIAL.sub(r"\\\1", html.escape(text, quote=False))
