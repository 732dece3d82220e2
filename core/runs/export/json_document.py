"""A run as one JSON document."""

from __future__ import annotations

from core import __version__
from core.runs.export.gather import Exported
from core.runs.state.files import dumps


def as_json(exported: Exported) -> str:
    """Everything: request with versions, state, result, the course of every figure."""
    document = {
        "schema": "llmopt.export/1",
        "llmopt_version": __version__,
        "run": exported.id,
        "capability": exported.capability,
        "state": exported.state.model_dump(mode="json"),
        "spec": exported.document,
        "result": exported.result or None,
        "series": {
            series.name: [{"t": point.t, "step": point.step, "label": point.label, "value": point.value} for point in series.points]
            for series in exported.series
        },
    }
    return dumps(document) + "\n"
