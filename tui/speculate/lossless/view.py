"""The test of losslessness: started with a key or a button."""

from __future__ import annotations

from collections.abc import Sequence

from textual import on
from textual.app import ComposeResult
from textual.containers import VerticalScroll
from textual.message import Message
from textual.widgets import Button, Static

from core.runs.state.store import Run
from core.spec import short_name
from core.speculate.lossless.result import Comparison, SpeculateTestResult
from tui.experiment.finished import ReadsRuns, ResultTable, newest
from tui.services.services import services_of
from tui.speculate.lossless import lines as lossless_lines
from tui.speculate.lossless.lines import Tested
from tui.speculate.names import TEST

_WHAT = (
    "No losslessness test of {model} yet. t starts it with the drafter of the form: many texts with and without speculation, total variation and "
    "chi-square against bounds that an exact implementation keeps with 99 % probability, and greedy texts token for token."
)
_TALL = 34
"""Lines from which on there is room for how it was tested."""


class LosslessView(ReadsRuns[Tested | None]):
    """Verdict, the comparisons, and what they mean."""

    HELP = (
        "Whether speculation changes the target's output. Texts are sampled over a toy vocabulary with a known distribution, and from the model "
        "itself; each comparison gives total variation (TV: half the sum of the differences of frequency and probability) and chi-square with its "
        "p-value. An exact implementation stays within all bounds with the stated confidence; wrong ones do not. Greedy texts must be identical.\n\n"
        "t or the button starts the test with the form's drafter; F8 stops it."
    )
    DEFAULT_CSS = """
    LosslessView { height: 1fr; }
    LosslessView > Button { height: 1; min-width: 24; margin-bottom: 1; }
    LosslessView > VerticalScroll { height: auto; max-height: 50%; margin-bottom: 1; }
    LosslessView .lossless--head { height: auto; }
    LosslessView Table { height: 1fr; min-height: 4; }
    LosslessView.-nothing Table { display: none; }
    LosslessView.-low > Button, LosslessView.-low > VerticalScroll { margin-bottom: 0; }
    """

    class Wanted(Message):
        """The button was pressed."""

    def __init__(self, id: str | None = None) -> None:  # noqa: A002
        super().__init__(id=id, classes="-nothing")
        self.button = Button("t  Test losslessness", compact=True)
        self.table: ResultTable[Comparison] = ResultTable(lossless_lines.COLUMNS)
        self._head = Static(classes="lossless--head", markup=False)
        self._tested: Tested | None = None

    def compose(self) -> ComposeResult:
        yield self.button
        with VerticalScroll(can_focus=False):
            yield self._head
        yield self.table

    def on_mount(self) -> None:
        self.button.disabled = services_of(self).read_only

    def on_resize(self) -> None:
        self.set_class(self.size.height < 26, "-low")
        self._draw()

    def read_runs(self, runs: Sequence[Run], run_id: str | None) -> Tested | None:
        return newest(runs, TEST, self.model_name, SpeculateTestResult, run_id)

    def show_found(self, found: Tested | None, run_id: str | None) -> None:  # noqa: ARG002
        self._tested = found
        self.set_class(found is None, "-nothing")
        self._draw()

    @on(Button.Pressed)
    def _pressed(self, event: Button.Pressed) -> None:
        event.stop()
        self.post_message(self.Wanted())

    def _draw(self) -> None:
        width = self.size.width
        if not width:
            return
        if self._tested is None:
            self._head.update(_WHAT.format(model=short_name(self.model_name)))
            return
        self._head.update(lossless_lines.describe(self._tested, width - 1, notes=self.size.height >= _TALL))
        self.table.show([(each.name, each) for each in self._tested.result.comparisons])
