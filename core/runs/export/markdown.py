"""A run as Markdown."""

from __future__ import annotations

import html
import re
from collections.abc import Sequence

from core.runs.export import facts
from core.runs.export.facts import Row
from core.runs.export.gather import Exported, Series
from core.runs.export.report import Report
from core.runs.figures import show

_SPECIAL = re.compile(r"([\\`*_{}\[\]()#|~!])")


def as_markdown(exported: Exported) -> str:
    """Tables of the request, the figures, the convention, and a summary of each figure's course."""
    report = exported.report
    measured = (
        (("Measured", _table(facts.metrics(exported), ("figure", "value"))), *_tables(facts.tables(exported)))
        if report is None
        else (*_sentences(report.sentences), *_tables(report.tables))
    )
    sections = [
        *measured,
        ("Convention", _table(facts.convention(exported), ("", ""))),
        ("Course", _table([_summary(series) for series in exported.series], ("figure", "points", "least", "mean", "most"))),
        ("Asked", _table(facts.settings(exported), ("setting", "value"))),
    ]
    return _document(f"{exported.capability} of {exported.model}", facts.head(exported), sections)


def report_markdown(report: Report) -> str:
    """A report of several runs."""
    return _document(report.title, [], [*_sentences(report.sentences), *_tables(report.tables)])


def _document(title: str, head: list[Row], sections: Sequence[tuple[str, str]]) -> str:
    parts = [f"# {_escape(title)}", _table(head, ("", ""))]
    for name, body in sections:
        parts += [f"## {name}", body] if body else []
    return "\n\n".join(filter(None, parts)) + "\n"


def _tables(tables: Sequence[tuple[str, list[Row]]]) -> list[tuple[str, str]]:
    return [(_escape(f"{name[:1].upper()}{name[1:]}"), _table(rows[1:], rows[0])) for name, rows in tables]


def _sentences(sentences: Sequence[str]) -> list[tuple[str, str]]:
    return [("In words", "\n".join(f"- {_escape(sentence)}" for sentence in sentences))] if sentences else []


def _summary(series: Series) -> Row:
    values = [point.value for point in series.points if point.value is not None]
    if not values:
        return (series.title, str(len(series.points)), "—", "—", "—")
    figures = (min(values), sum(values) / len(values), max(values))
    return (series.title, str(len(series.points)), *(show(series.name, value) for value in figures))


def _table(rows: list[Row], header: Row) -> str:
    if not rows:
        return ""
    lines = [tuple(_escape(cell) for cell in header), tuple("---" for _ in header), *(tuple(_escape(cell) for cell in row) for row in rows)]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _escape(text: str) -> str:
    return _SPECIAL.sub(r"\\\1", html.escape(text, quote=False))
