"""The blocks of a paged cache while a model decodes: as it goes and when it is done."""

from __future__ import annotations

from collections.abc import Collection

from textual.widgets import Static

from core.kvcache.pages.events import PageEvent
from core.kvcache.pages.result import PagesResult
from core.runs.state.store import Run
from core.sanitize import clean
from tui.experiment.live import LiveRun
from tui.kvcache.pages import blocks, scheduling
from tui.kvcache.pages import words as pages_words
from tui.kvcache.pages.blocks import PagesProgress
from tui.widgets.chart.chart import Chart
from tui.widgets.hanging import hanging
from tui.widgets.live import Line, LiveLines, clip

_AROUND = 9
"""Lines of head, figures and legend."""
_FIGURES = 4
"""Lines of a result that are no notes."""
_CHART_FROM = 36
"""Lines from which on the chart of a finished decode is shown too."""


class DecodeView(LiveRun[PagesProgress]):
    """A real decode: figures, a cell a block, sequences with their tables."""

    NOTHING = "No decode yet. F5 decodes several sequences with shared prefixes through a paged cache, and shows its blocks."
    DEFAULT_CSS = """
    DecodeView { height: 1fr; }
    DecodeView LiveLines { height: auto; margin-top: 1; }
    DecodeView .pages--legend { margin-top: 0; }
    DecodeView .pages--words { height: auto; max-height: 7; margin-top: 1; }
    DecodeView Chart { height: 1fr; min-height: 6; margin-top: 1; }
    DecodeView.-nothing LiveLines, DecodeView.-nothing .pages--words, DecodeView.-nothing Chart { display: none; }
    DecodeView.-low LiveLines, DecodeView.-low .pages--words { margin-top: 0; }
    DecodeView.-low Chart, DecodeView.-going Chart, DecodeView.-going .pages--words { display: none; }
    """

    def __init__(self) -> None:
        super().__init__(PagesProgress, result=PagesResult)
        self._figures, self._grid = LiveLines(), LiveLines()
        self._legend, self._sequences = LiveLines(classes="pages--legend"), LiveLines()
        self._words = Static(classes="pages--words", markup=False)
        self._chart = Chart()
        self.body = (self._figures, self._grid, self._legend, self._words, self._sequences, self._chart)
        self.add_class("-going")

    def on_resize(self) -> None:
        self.set_class(self.size.height < _CHART_FROM, "-low")

    @property
    def result(self) -> PagesResult | None:
        return self.result_as(PagesResult)

    def draw(self, run: Run, progress: PagesProgress) -> None:  # noqa: ARG002
        """The last state of the blocks; when all is decoded the fullest one, and the result."""
        result, width = self.result, self.size.width
        self.set_class(result is None, "-going")
        self.set_class(progress.event is None, "-nothing")
        if result is not None and width:
            self._chart.set_plot(scheduling.waste_plot(result))
            rows = pages_words.in_words(result)
            self._words.update(hanging(rows[:_FIGURES] if self.has_class("-low") else rows, width))
        if progress.event is not None and progress.fullest is not None and width:
            over = progress.event.phase in ("done", "verify")
            self._draw_blocks(progress, progress.fullest if over else progress.event, progress.copied_then if over else progress.copied)

    def _draw_blocks(self, progress: PagesProgress, event: PageEvent, copied: Collection[int]) -> None:
        width, height = self.size
        grid = blocks.grid(event.blocks, copied, width, max((height - _AROUND) // 2, 3))
        self._figures.show_all(blocks.figures(event, progress, width))
        self._grid.show_all(grid)
        self._legend.show_all(blocks.legend(width))
        left = max(height - _AROUND - len(grid), 3)
        if self.result is not None:
            self._sequences.show_all(pages_words.sequences(self.result, width)[: max(left - 5, 3)])
            return
        rows = blocks.sequences(event, copied, width, left)
        happened: list[Line] = [clip(((f"· {clean(text)}", "muted"),), width) for text in progress.happened]
        room = max(left - len(rows), 0)
        self._sequences.show_all([*rows, *(happened[-room:] if room else [])])
