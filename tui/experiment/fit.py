"""Whether a request fits the model and the machine, known before anything starts."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

from textual.content import Content
from textual.geometry import Size
from textual.widget import Widget

from core.errors import LlmoptError
from core.runs.launch.admission import Admission
from core.sanitize import clean
from core.spec import Spec
from tui.services.services import Runs
from tui.widgets.hanging import hanging


@dataclass(frozen=True)
class Fit:
    """The verdict: a refusal in one sentence, or the figures that are foreseen."""

    refusal: str = ""
    lines: tuple[tuple[str, str], ...] = ()
    """(name, text)."""
    warnings: tuple[str, ...] = ()
    command: str = ""
    """What can be copied of it, for example the command of a server."""


NOT_HERE = Fit(warnings=("the model is not on this machine: the run downloads it first, so nothing can be estimated yet",))
"""The verdict on a model that must be fetched."""


S = TypeVar("S", bound=Spec)


def judge(runs: Runs, spec: S, foresee: Callable[[S, Admission], Fit]) -> Fit:
    """The verdict of admission on a valid request. Reads files: off the event loop.

    Args:
        runs: that admit it.
        spec: the request.
        foresee: puts into words what was found out about a request that is admitted.
    """
    try:
        found = runs.admit(spec)
        return NOT_HERE if found.unseen else foresee(spec, found)
    except LlmoptError as error:
        return Fit(refusal=str(error))


class FitPanel(Widget):
    """The verdict below the form, as high as it is at the width that the panel gets."""

    DEFAULT_CSS = """
    FitPanel { height: auto; max-height: 8; border-top: solid $panel; }
    """

    def __init__(self) -> None:
        super().__init__()
        self._fit: Fit | None = None

    @property
    def command(self) -> str:
        """What can be copied of the verdict."""
        return self._fit.command if self._fit is not None else ""

    def show(self, fit: Fit) -> None:
        before, self._fit = self.command, fit
        self.refresh(layout=True)
        if fit.command != before:
            self.refresh_bindings()

    def render(self) -> Content:
        return self._wrapped(self.size.width or 50)

    def get_content_height(self, container: Size, viewport: Size, width: int) -> int:  # noqa: ARG002
        # A pane of a few columns leaves none, and nothing can be wrapped to that.
        width = max(width, 1)
        return self._wrapped(width).get_height({}, width)

    def _wrapped(self, width: int) -> Content:
        fit = self._fit
        if fit is None:
            return Content("checking ...")
        if fit.refusal:
            return Content.styled(f"! {clean(fit.refusal)}", "$text-error")
        parts = [hanging(fit.lines, width)] if fit.lines else []
        parts += [Content.styled(f"! {clean(text)}", "$text-warning") for text in fit.warnings]
        return Content("\n").join(parts)
