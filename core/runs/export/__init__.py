"""A run as one file for others: JSON, CSV, Markdown, or a page with charts; several runs of a capability that reports as one.

May import `compare` and `state`. Never a capability: a report of its own comes through the registry. Every text is escaped.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Literal

from core.errors import RequestError
from core.runs.export.csv_table import as_csv, as_samples, table_text
from core.runs.export.gather import Exported, gather
from core.runs.export.json_document import as_json
from core.runs.export.markdown import as_markdown, report_markdown
from core.runs.export.page import as_html, report_html
from core.runs.export.report import Report, report_of
from core.runs.state.files import dumps
from core.runs.state.store import Run

__all__ = ["FORMATS", "Exported", "Format", "export_run", "export_runs", "gather"]

Format = Literal["json", "csv", "samples", "md", "html"]
Exporter = Callable[[Exported], str]

FORMATS: dict[Format, Exporter] = {"json": as_json, "csv": as_csv, "samples": as_samples, "md": as_markdown, "html": as_html}
_REPORTS: dict[Format, Callable[[Report], str]] = {
    "json": lambda report: dumps(report.document()) + "\n",
    "csv": lambda report: table_text(report.values()),
    "samples": lambda report: table_text(report.samples()),
    "md": report_markdown,
    "html": report_html,
}


def export_run(run: Run, exporter: Exporter) -> str:
    """The text of a run's export, a line feed at its end."""
    return exporter(gather(run))


def export_runs(runs: Sequence[Run], to: Format) -> str:
    """One or several runs as one text. Raises RequestError: several runs that have no common report."""
    if len(runs) == 1:
        return export_run(runs[0], FORMATS[to])
    kinds = {run.capability for run in runs}
    together = {kind if not kind.endswith("-compare") else kind.removesuffix("-compare") for kind in kinds}
    report = report_of(runs[0].capability, [(run.id, run.typed_result()) for run in runs]) if len(together) == 1 else None
    if report is None:
        raise RequestError("only benchmark results can be exported together: give one run, or finished runs of `llmopt benchmark`")
    return _REPORTS[to](report)
