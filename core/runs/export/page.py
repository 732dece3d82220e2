"""A run as one HTML page that needs nothing else: no script, no font, no picture from elsewhere."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from html import escape

from core.runs.export import facts
from core.runs.export.charts import charts
from core.runs.export.facts import Row
from core.runs.export.gather import Exported
from core.runs.export.report import Report

_POLICY = "default-src 'none'; style-src 'unsafe-inline'"
_COLOURS = ("#2b6cb0", "#c05621", "#2f855a", "#6b46c1", "#b83280", "#975a16", "#2c7a7b", "#4a5568")
_STYLE = """
:root { color-scheme: light dark; --ink: #1a202c; --paper: #ffffff; --faint: #cbd5e0; }
@media (prefers-color-scheme: dark) { :root { --ink: #e2e8f0; --paper: #14181f; --faint: #3a4352; } }
body { font: 15px/1.5 system-ui, sans-serif; color: var(--ink); background: var(--paper); max-width: 60rem; margin: 2rem auto; padding: 0 1rem; }
h1 { font-size: 1.4rem; overflow-wrap: anywhere; } h2 { font-size: 1.1rem; margin-top: 2rem; }
table { border-collapse: collapse; } td, th { border-bottom: 1px solid var(--faint); padding: .2rem .8rem .2rem 0; text-align: left; }
td { overflow-wrap: anywhere; font-variant-numeric: tabular-nums; } figure { margin: 1rem 0; } svg { width: 100%; height: auto; }
svg text { font-size: 12px; fill: var(--ink); } .grid { stroke: var(--faint); stroke-width: 1; } .line { fill: none; stroke-width: 1.5; }
.wide { overflow-x: auto; } .legend { list-style: none; display: flex; flex-wrap: wrap; gap: 1rem; padding: 0; }
.key { display: inline-block; width: .8rem; height: .8rem; margin-right: .3rem; }
"""


def as_html(exported: Exported) -> str:
    """Figures, charts, convention, request; every text of model or user is escaped."""
    report = exported.report
    measured = (
        [_section("Measured", _table(facts.metrics(exported))), *_tables(facts.tables(exported)), *_charts(charts(exported))]
        if report is None
        else _report(report)
    )
    sections = [*measured, _section("Convention", _table(facts.convention(exported))), _section("Asked", _table(facts.settings(exported)))]
    return _document(f"{exported.capability} of {exported.model}", _table(facts.head(exported)), sections)


def report_html(report: Report) -> str:
    """A report of several runs."""
    return _document(report.title, "", _report(report))


def _document(title: str, head: str, sections: Sequence[str]) -> str:
    title = escape(title)
    return (
        f'<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8"><meta http-equiv="Content-Security-Policy" content="{_POLICY}">'
        f'<meta name="viewport" content="width=device-width"><title>{title}</title><style>{_STYLE}{_series_style()}</style></head>\n'
        f"<body><h1>{title}</h1>{head}\n" + "\n".join(filter(None, sections)) + "\n</body></html>\n"
    )


def _report(report: Report) -> list[str]:
    said = "".join(f"<li>{escape(sentence)}</li>" for sentence in report.sentences)
    return [_section("In words", f"<ul>{said}</ul>" if said else ""), *_charts(report.charts()), *_tables(report.tables)]


def _tables(tables: Sequence[tuple[str, list[Row]]]) -> list[str]:
    return [_section(escape(f"{name[:1].upper()}{name[1:]}"), _table(rows[1:], rows[0])) for name, rows in tables]


def _charts(drawn: Iterable[tuple[str, str]]) -> list[str]:
    return [f"<h2>{escape(name)}</h2><figure>{chart}</figure>" for name, chart in drawn]


def _section(title: str, body: str) -> str:
    return f"<h2>{title}</h2>{body}" if body else ""


def _table(rows: list[Row], header: Row = ()) -> str:
    if not rows:
        return ""
    top = f"<tr>{''.join(f'<th>{escape(cell)}</th>' for cell in header)}</tr>" if header else ""
    lines = "".join(f"<tr>{''.join(f'<td>{escape(cell)}</td>' for cell in row)}</tr>" for row in rows)
    return f'<div class="wide"><table>{top}{lines}</table></div>'


def _series_style() -> str:
    dashes = ("none", "6 3", "2 3", "8 3 2 3")
    return "".join(
        f".line.s{index}{{stroke:{colour};stroke-dasharray:{dashes[index // 2]}}}"
        f".dot.s{index},rect.s{index}{{fill:{colour}}}.k{index}{{background:{colour}}}"
        for index, colour in enumerate(_COLOURS)
    )
