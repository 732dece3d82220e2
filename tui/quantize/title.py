"""What a quantization was asked to do, in a few words."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import PurePath
from typing import Any

from core.runs.store import Run
from core.sanitize import clean
from tui.runs.recipe import recipe


def title(run: Run) -> str:
    """`gptq 4 bit, groups of 128: bundled:base`."""
    values = run.values
    what = "comparison of methods" if run.capability == "quantize-compare" else recipe(values)
    return f"{what}: {model(values)}"


def model(values: Mapping[str, Any]) -> str:
    """Last part of a path, or the name as it is."""
    name = str(values.get("model", ""))
    return clean(PurePath(name).name if name.startswith(("/", "./", "../", "~")) else name, limit=60)
