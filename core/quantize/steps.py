"""Progress of a quantization as one count over the whole run: linears finished, then steps of the evaluation."""

from __future__ import annotations

from core.quantize.result import LayerFigures
from core.runs.context import RunContext


class Steps:
    """Tells a run's context what was done and what comes next."""

    def __init__(self, context: RunContext, total: int) -> None:
        self._context, self._total, self._done = context, total, 0

    def say(self, label: str) -> None:
        """Name what is being done; nothing more is finished."""
        self._context.check_cancelled()
        self._context.progress(min(self._done, self._total), self._total, label)

    def step(self, label: str) -> None:
        """One more step is finished; `label` says what comes next."""
        self._done += 1
        self.say(label)

    def layer(self, index: int, figures: LayerFigures) -> None:
        """One more linear is finished."""
        self._context.metric("layer_error", figures.error, step=index, label=figures.name)
        self._context.metric("weight_error", figures.weight_error, step=index, label=figures.name)
        self.step(f"quantized {figures.name}")

    def check_cancelled(self) -> None:
        """Raise `Cancelled` when the person has cancelled the run."""
        self._context.check_cancelled()
