"""Memory against quality: one chart of all schemes, a letter for each."""

from __future__ import annotations

from collections.abc import Sequence

from textual.app import ComposeResult
from textual.containers import Container, Vertical
from textual.content import Content
from textual.widgets import Static

from core.spec import Values, short_name
from tui.kvcache.schemes import fronts
from tui.kvcache.schemes.columns import FRONT, FULL
from tui.kvcache.schemes.entries import KvRun, entries
from tui.widgets.chart.chart import Chart
from tui.widgets.live import Line, LiveLines

_BROAD = 96
"""Columns from which the list is next to the chart."""
_LIST = 44


class ChartView(Vertical):
    """Chart, and the list of its letters."""

    HELP = (
        "Every scheme by its letter: bytes per token of text against the loss. The line is the Pareto front: no scheme is both smaller and better. m "
        "shows the next figure: perplexity ratio, KL divergence, top-1 agreement, needle, time per token; c shows one run or all runs of the model."
    )
    DEFAULT_CSS = """
    ChartView { height: 1fr; }
    ChartView .chart--head { height: auto; max-height: 2; }
    ChartView Container { height: 1fr; layout: vertical; }
    ChartView Chart { height: 1fr; min-height: 8; }
    ChartView LiveLines { height: auto; max-height: 50%; }
    ChartView.-broad Container { layout: horizontal; }
    ChartView.-broad Chart { width: 1fr; height: 1fr; }
    ChartView.-broad LiveLines { width: 44; height: 1fr; max-height: 100%; margin-left: 1; }
    ChartView.-nothing Container { display: none; }
    """

    def __init__(self, id: str | None = None) -> None:  # noqa: A002
        super().__init__(id=id, classes="-nothing")
        self.chart = Chart()
        self.figure = 0
        self._legend = LiveLines()
        self._head = Static(classes="chart--head", markup=False)
        self._runs: Sequence[KvRun] = ()
        self._model = ""

    def compose(self) -> ComposeResult:
        yield self._head
        with Container():
            yield self.chart
            yield self._legend

    def on_resize(self) -> None:
        self.set_class(self.size.width >= _BROAD, "-broad")
        self.draw()

    def show(self, model_name: str, runs: Sequence[KvRun]) -> None:
        self._model, self._runs = model_name, runs
        self.set_class(not runs, "-nothing")
        self.draw()

    def values(self) -> Values | None:
        return self._runs[0].run.values if self._runs else None

    def next_chart(self) -> None:
        self.figure = (self.figure + 1) % len(fronts.MEASURES)
        self.draw()

    def draw(self) -> None:
        if not self._runs:
            self._head.update(f"No comparison of cache schemes of {short_name(self._model)} yet. F5 starts one with the settings of the form.")
            return
        if not self.size.width:
            return
        measure, shown, several = fronts.MEASURES[self.figure], entries(self._runs), len(self._runs) > 1
        self.chart.set_plot(fronts.plot(shown, measure))
        self._legend.show(self._arranged(fronts.legend(shown, measure, self._column, several)))
        title = f"{short_name(self._model)}, {len(self._runs)} runs" if several else short_name(self._model)
        signs = f"  {FULL} the full cache · {FRONT} no other is smaller and better · figure {self.figure + 1} of {len(fronts.MEASURES)}"
        self._head.update(Content.assemble((title, "bold"), (signs, "dim")).truncate(self.size.width, ellipsis=True))

    @property
    def _column(self) -> int:
        if self.has_class("-broad"):
            return _LIST - 1
        return self.size.width // 2 - 1 if self.size.width >= 76 else self.size.width

    def _arranged(self, lines: Sequence[Line]) -> list[Line]:
        """Two columns below the chart where there is room."""
        if self.has_class("-broad") or self.size.width < 76:
            return list(lines)
        half = -(-len(lines) // 2)
        right = [*lines[half:], *[()] * (2 * half - len(lines))]
        return [(*left, ("  ", ""), *other) for left, other in zip(lines[:half], right, strict=True)]
