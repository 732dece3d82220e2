"""The tables that the readable exports share: rows of plain, safe texts."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from core.measure.units import duration
from core.runs.export.gather import Exported
from core.runs.figures import figure, show
from core.sanitize import clean

Row = tuple[str, ...]


def head(exported: Exported) -> list[Row]:
    """What the run was."""
    state = exported.state
    seconds = state.seconds(state.ended or state.created)
    rows = [
        ("run", exported.id),
        ("model", exported.model),
        ("state", state.status),
        ("reason", clean(state.exit_reason or "")),
        ("asked", datetime.fromtimestamp(state.created, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")),
        ("time", "" if seconds is None else duration(seconds)),
        ("host", clean(state.host)),
        *((name, str(version)) for name, version in _mapping(exported.document.get("versions")).items()),
    ]
    return [(clean(name), clean(value)) for name, value in rows if value]


def settings(exported: Exported) -> list[Row]:
    """What was asked."""
    return [(clean(name.replace("_", "-")), clean(str(value))) for name, value in exported.settings.items()]


def metrics(exported: Exported) -> list[Row]:
    """What was measured."""
    return [(clean(figure(name).title), clean(show(name, value))) for name, value in exported.metrics.items()]


def convention(exported: Exported) -> list[Row]:
    """How it was measured."""
    return [(clean(name.replace("_", " ")), clean(str(value))) for name, value in _mapping(exported.result.get("evaluation")).items()]


def tables(exported: Exported) -> list[tuple[str, list[Row]]]:
    """Lists of records in the result, each with its header first."""
    found = []
    for name, records in exported.result.items():
        if not isinstance(records, list) or not records or not all(isinstance(record, dict) for record in records):
            continue
        names = [key for key, value in records[0].items() if value is None or isinstance(value, int | float | str)]
        rows = [tuple(clean(figure(key).title) for key in names)]
        rows += [tuple(clean(show(key, record.get(key))) for key in names) for record in records]
        found.append((clean(name.replace("_", " ")), rows))
    return found


def _mapping(value: Any) -> dict[str, object]:
    return value if isinstance(value, dict) else {}
