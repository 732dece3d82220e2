"""The same speculation in the engines that serve models: commands to copy."""

from __future__ import annotations

from textual import on
from textual.app import ComposeResult
from textual.containers import Vertical, VerticalScroll
from textual.content import Content
from textual.widgets import Static

from core.sanitize import clean
from core.speculate.advice import Advice
from tui.speculate.advice import lines as advice_lines
from tui.speculate.drafting import Drafting
from tui.widgets.table.live_table import LiveTable


class AdviceView(Vertical):
    """A row an engine, and the one under the cursor in full."""

    HELP = (
        "How to configure the form's drafter in each engine: the current command, and the configuration file if there is one. y copies all lines of "
        "the engine under the cursor. Nothing is started from here.\n\n"
        "γ is the fastest one found by the newest run of the form's model and drafter, or else the form's first."
    )
    DEFAULT_CSS = """
    AdviceView { height: 1fr; }
    AdviceView .advice--head { height: auto; }
    AdviceView > LiveTable { height: auto; max-height: 7; }
    AdviceView > VerticalScroll { height: 1fr; margin-top: 1; }
    AdviceView > VerticalScroll Static { height: auto; }
    """

    def __init__(self, id: str | None = None) -> None:  # noqa: A002
        super().__init__(id=id)
        self._head = Static(classes="advice--head", markup=False)
        self.table = LiveTable(id="speculate-advice", empty="no advice for this request")
        self.detail = Static(markup=False)
        self._found: tuple[Advice, ...] = ()
        self._problem = ""

    def compose(self) -> ComposeResult:
        yield self._head
        yield self.table
        with VerticalScroll():
            yield self.detail

    def show_advice(self, asked: Drafting, gamma: int | None, why: str) -> None:
        """Advise on a request.

        Args:
            asked: by the form.
            gamma: drafted tokens per round; None: the form's.
            why: where gamma comes from.
        """
        self._found, self._problem = advice_lines.advice_of(asked, gamma)
        self._head.update(Content.styled(why, "dim"))
        self._draw()

    @property
    def chosen(self) -> Advice | None:
        return next((each for each in self._found if each.engine == self.table.cursor), None)

    def lines(self) -> str:
        """What is to be copied; empty where the engine cannot do it."""
        return advice_lines.lines_to_copy(self.chosen) if self.chosen is not None else ""

    def on_resize(self) -> None:
        self._draw()

    @on(LiveTable.Moved)
    def _moved(self, event: LiveTable.Moved) -> None:
        event.stop()
        self._describe()
        self.refresh_bindings()

    def _draw(self) -> None:
        if not self.size.width:
            return
        self.table.styles.height = 1 + max(len(self._found), 1)
        self.table.show_rows(advice_lines.head(), [(each.engine, advice_lines.row(each)) for each in self._found])
        self._describe()

    def _describe(self) -> None:
        chosen = self.chosen
        if chosen is None:
            self.detail.update(Content.styled(f"! {clean(self._problem)}", "$text-error") if self._problem else "")
        else:
            self.detail.update(advice_lines.full(chosen, max(self.size.width - 2, 20)))
