"""Whether a request fits the model and the machine, told before anything starts."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from textual.content import Content
from textual.widgets import Static

from core.models.find.hub_cache import cached_snapshot, is_model_id, is_offline
from core.sanitize import clean
from tui.widgets.hanging import hanging


@dataclass(frozen=True)
class Fit:
    """The verdict: a refusal in one sentence, or the figures that are foreseen."""

    refusal: str = ""
    lines: tuple[tuple[str, str], ...] = ()
    """(name, text)."""
    warnings: tuple[str, ...] = ()


NOT_HERE = Fit(warnings=("the model is not on this machine: the run fetches it first, and nothing can be foreseen before that",))
"""The verdict on a model that must be fetched."""


def must_be_fetched(name: str) -> bool:
    """Whether a model has to come from the network first."""
    return is_model_id(name) and not Path(name).expanduser().exists() and not is_offline() and cached_snapshot(name) is None


class FitPanel(Static):
    """The verdict below the form."""

    DEFAULT_CSS = """
    FitPanel { height: auto; max-height: 8; border-top: solid $panel; }
    """

    def __init__(self) -> None:
        super().__init__("checking ...", markup=False)
        self._fit: Fit | None = None

    def show(self, fit: Fit) -> None:
        """Another verdict."""
        self._fit = fit
        self._draw()

    def on_resize(self) -> None:
        """Wrap anew."""
        self._draw()

    def _draw(self) -> None:
        fit, width = self._fit, self.size.width or 50
        if fit is None:
            return
        if fit.refusal:
            self.update(Content.styled(f"! {clean(fit.refusal)}", "$text-error"))
            return
        parts = [hanging(fit.lines, width)] if fit.lines else []
        parts += [Content.styled(f"! {clean(text)}", "$text-warning") for text in fit.warnings]
        self.update(Content("\n").join(parts))
