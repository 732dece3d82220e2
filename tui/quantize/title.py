"""What a quantization was asked to do, in a few words."""

from __future__ import annotations

from core.runs.state.store import Run
from tui.experiment.names import model
from tui.runs.recipe import recipe


def title(run: Run) -> str:
    """`gptq 4 bit, groups of 128: bundled:base`."""
    values = run.values
    what = "comparison of methods" if run.capability == "quantize-compare" else recipe(values)
    return f"{what}: {model(values)}"
