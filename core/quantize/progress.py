"""What a finished linear reports to its run."""

from __future__ import annotations

from core.quantize.result import LayerFigures
from core.runs.steps import Steps


def report_layer(steps: Steps, index: int, figures: LayerFigures) -> None:
    """One more linear, the `index`-th from 0, is finished."""
    steps.measured("layer_error", figures.error, index, figures.name)
    steps.measured("weight_error", figures.weight_error, index, figures.name)
    steps.step(f"quantized {figures.name}")
