"""`llmopt models`."""

from __future__ import annotations

from typing import Annotated, Any

from cyclopts import Parameter

from core.errors import LlmoptError
from core.measure.units import size
from core.models.resolve import ModelSource, list_models
from tui.cli.printing.output import narrate, print_document, print_table


def models(*, json: Annotated[bool, Parameter(help="Print one JSON document", negative="", show_default=False)] = False) -> int:
    """List available models: bundled, in local folders ($LLMOPT_MODELS, the current folder, artifacts of runs), in the Hugging Face cache."""
    listing = list_models()
    rows, problems = [], [(problem.name, problem.reason) for problem in listing.problems]
    for source in listing.sources:
        try:
            rows.append(_row(source))
        except LlmoptError as error:
            problems.append((source.name, str(error)))
    if json:
        print_document("models", {"models": rows, "problems": [{"name": name, "reason": reason} for name, reason in problems]})
        return 0
    if rows:
        cells = [(row["origin"], _billions(row["parameters"]), row["format"], size(row["file_bytes"]), row["name"]) for row in rows]
        # A name is there to be typed again: it comes last, and whole.
        print_table(cells, ("where", "parameters", "weights", "size", "model"), right=(1, 3), shrink=())
    else:
        narrate("no models found: give a folder or a Hugging Face id to a command")
    for name, reason in problems:
        narrate(f"skipped: {name}: {reason}")
    return 0


def _row(source: ModelSource) -> dict[str, Any]:
    card = source.card()
    return {
        "name": source.name,
        "path": str(source.path),
        "kind": source.kind,
        "origin": source.origin,
        "format": card.quant_method or card.dtype,
        "parameters": card.parameters,
        "file_bytes": card.file_bytes,
        "card": card.model_dump(mode="json"),
    }


def _billions(parameters: int) -> str:
    return f"{parameters / 1e9:.2f} B" if parameters >= 1e9 else f"{parameters / 1e6:.2f} M"
