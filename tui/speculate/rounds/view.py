"""A speculative run as it goes: the text as it comes, with what became of every drafted token."""

from __future__ import annotations

from core.runs.state.store import Run
from tui.experiment.live import LiveRun
from tui.speculate.names import TEST
from tui.speculate.rounds import figures, tokens
from tui.speculate.rounds.progress import SpeculateProgress
from tui.speculate.rounds.token_view import TokenView
from tui.widgets.live import LiveLines

_FEW = 16
"""Lines below which nothing is shown of settings that are done."""


class SpeculateLive(LiveRun[SpeculateProgress]):
    """Head, figures, the text with its signs, what the signs mean."""

    HELP = (
        "A speculative run in progress. The sign under each token shows its fate: ✓ drafted and accepted by the target, ✗ drafted and rejected, · "
        "drafted after a rejected token and never judged, → the target's token in place of the rejected one, + the target's own token after a fully "
        "accepted draft. Rejected tokens are not part of the text.\n\n"
        "m shows the rounds, one per line. The run does not need this program: it continues when the terminal closes."
    )
    DEFAULT_CSS = """
    SpeculateLive LiveLines.live--figures { height: 4; }
    SpeculateLive LiveLines.live--legend { height: auto; }
    SpeculateLive TokenView { margin-top: 1; }
    SpeculateLive.-low TokenView { margin-top: 0; }
    SpeculateLive.-low LiveLines.live--figures { height: 3; }
    SpeculateLive.-nothing .live--done { display: none; }
    SpeculateLive.-textless .live--figures, SpeculateLive.-textless .live--legend, SpeculateLive.-textless TokenView { display: none; }
    """

    def __init__(self, id: str | None = None) -> None:  # noqa: A002
        super().__init__(SpeculateProgress, id=id)
        self.add_class("-textless")
        self.figures = LiveLines(classes="live--figures")
        self.done = LiveLines(classes="live--done")
        self.text = TokenView()
        self.legend = LiveLines(classes="live--legend")
        self.body = (self.done, self.figures, self.text, self.legend)

    def title(self, run: Run) -> str:
        """Drafter, gammas, temperatures, model; of a test that it is one."""
        return f"{'test of ' if run.capability == TEST else ''}{super().title(run)}"

    def on_resize(self) -> None:
        self.set_class(self.size.height < 20, "-low")
        lines = tokens.legend(max(self.size.width, 1))
        self.legend.styles.height = len(lines)
        self.legend.show(lines)

    def draw(self, run: Run, progress: SpeculateProgress) -> None:  # noqa: ARG002
        self.set_class(not progress.curves, "-nothing")
        self.set_class(progress.tally is None, "-textless")
        done = figures.finished(progress, max((self.size.height - _FEW) // 5, 0), self.size.width)
        self.done.styles.height = len(done)
        self.done.show(done)
        self.figures.show(figures.figures(progress, self.size.width)[1 if self.has_class("-low") else 0 :])
        self.text.show_rounds(progress.begin, progress.rounds)

    def next_chart(self) -> None:
        """From the text to the rounds and back."""
        self.text.turn()
