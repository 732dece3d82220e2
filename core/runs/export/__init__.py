"""A run as one file for others: JSON, CSV, Markdown, or a page with charts."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

from core.runs.export.csv_table import as_csv
from core.runs.export.gather import Exported, gather
from core.runs.export.json_document import as_json
from core.runs.export.markdown import as_markdown
from core.runs.export.page import as_html
from core.runs.store import Run

__all__ = ["FORMATS", "Exported", "Format", "export_run", "gather"]

Format = Literal["json", "csv", "md", "html"]
Exporter = Callable[[Exported], str]

FORMATS: dict[Format, Exporter] = {"json": as_json, "csv": as_csv, "md": as_markdown, "html": as_html}


def export_run(run: Run, exporter: Exporter) -> str:
    """The text of a run's export, a line feed at its end."""
    return exporter(gather(run))
