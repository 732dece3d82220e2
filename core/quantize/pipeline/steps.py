"""Progress of a quantization as one count over the whole run: linears finished, then steps of the evaluation."""

from __future__ import annotations

from core.context import RunContext
from core.quantize.pipeline.resume import Ledger
from core.quantize.result import LayerFigures


class Steps:
    """Tells a run's context what was done and what comes next.

    Args:
        context: of the run.
        total: steps of the whole run.
        ledger: blocks that are finished already, and where further ones are kept; default: nothing is kept.
        told: False for work that is tried out: only the request to cancel is listened to.
    """

    def __init__(self, context: RunContext, total: int, ledger: Ledger | None = None, *, told: bool = True) -> None:
        self._context, self._total, self._done, self._told = context, total, 0, told
        self.ledger = ledger or Ledger()

    def silent(self) -> Steps:
        """The same run, of which nothing is told and nothing kept."""
        return Steps(self._context, 1, told=False)

    def say(self, label: str) -> None:
        """Name what is being done; nothing more is finished."""
        self._context.check_cancelled()
        if self._told:
            self._context.progress(min(self._done, self._total), self._total, label)

    def step(self, label: str) -> None:
        """One more step is finished; `label` says what comes next."""
        self._done += 1
        self.say(label)

    def skip(self, steps: int) -> None:
        """So many steps need not be done: they count as finished."""
        self._done += steps

    def layer(self, index: int, figures: LayerFigures) -> None:
        """One more linear is finished."""
        self.measured("layer_error", figures.error, index, figures.name)
        self.measured("weight_error", figures.weight_error, index, figures.name)
        self.step(f"quantized {figures.name}")

    def measured(self, name: str, value: float, step: int, label: str) -> None:
        """A figure that was found; `label` names what it belongs to."""
        if self._told:
            self._context.metric(name, value, step=step, label=label)

    def log(self, text: str) -> None:
        """A line for the person."""
        if self._told:
            self._context.log(text)

    def check_cancelled(self) -> None:
        """Raise `Cancelled` when the person has cancelled the run."""
        self._context.check_cancelled()
