"""Why a cache: generating with and without one, as it goes and when it is done."""

from __future__ import annotations

from textual.containers import Container
from textual.content import Content
from textual.widgets import Static

from core.kvcache.why.result import KvCacheWhyResult
from core.runs.state.store import Run
from tui.experiment.finished import ResultTable
from tui.experiment.live import LiveRun
from tui.experiment.progress import RunProgress
from tui.kvcache.why import growth
from tui.widgets.chart.chart import Chart
from tui.widgets.hanging import hanging

_TOKEN_MS = "token_ms"
"""A metric by length, labelled with a cache or without one."""
_TALL = 46
"""Lines from which on both charts, the table and the words stand together."""
_LOW = 28
"""Lines below which the charts take turns too."""
_BROAD = 92
"""Columns from which the charts are next to each other."""


class WhyView(LiveRun[RunProgress]):
    """Follows the newest run and shows its result. In a small window charts, table and words take turns."""

    HELP = (
        "The same tokens generated with and without a cache. Without a cache every step recomputes the keys and values of all earlier tokens: the "
        "time per token grows with the length, the keys and values computed with its square. Both axes are logarithmic, so a power law is a straight "
        "line and its exponent the slope.\n\n"
        "F5 measures the model of the form at the lengths of the form; m switches between charts, table and text if they do not fit together."
    )
    NOTHING = "No run without a cache yet. F5 generates with and without one, at the lengths of the form."
    DEFAULT_CSS = """
    WhyView .why--verdict { height: auto; }
    WhyView .why--charts { layout: vertical; height: 1fr; min-height: 8; }
    WhyView .why--charts Chart { height: 1fr; min-height: 6; }
    WhyView.-broad .why--charts { layout: horizontal; }
    WhyView.-broad .why--charts Chart { width: 1fr; height: 100%; }
    WhyView ResultTable { height: auto; max-height: 14; }
    WhyView .why--words { height: auto; max-height: 24; margin-top: 1; }
    WhyView.-nothing .why--charts, WhyView.-nothing ResultTable, WhyView.-nothing .why--words, WhyView.-nothing .why--verdict { display: none; }
    WhyView.-small .why--words { margin-top: 0; }
    WhyView.-small.-table .why--charts { display: none; }
    WhyView.-small.-charts ResultTable, WhyView.-small.-charts .why--words { display: none; }
    WhyView.-going #why-projections, WhyView.-going ResultTable, WhyView.-going .why--words, WhyView.-going .why--verdict { display: none; }
    WhyView.-low.-time #why-projections, WhyView.-low.-projections #why-time { display: none; }
    """

    def __init__(self, id: str | None = None) -> None:  # noqa: A002
        super().__init__(RunProgress, result=KvCacheWhyResult, id=id)
        self.table = ResultTable(growth.COLUMNS)
        self._verdict = Static(classes="why--verdict", markup=False)
        self._words = Static(classes="why--words", markup=False)
        self._time, self._projections = Chart(id="why-time"), Chart(id="why-projections")
        charts = Container(self._time, self._projections, classes="why--charts")
        self.body = (self._verdict, charts, self.table, self._words)
        self._turn = 0

    def on_resize(self) -> None:
        broad = self.size.width >= _BROAD
        self.set_class(self.size.height < (_LOW if broad else _TALL), "-small")
        self.set_class(self.size.height < _LOW and not broad, "-low")
        self.set_class(broad, "-broad")
        self._show_turn()

    def draw(self, run: Run, progress: RunProgress) -> None:  # noqa: ARG002
        result, curves = self.result_as(KvCacheWhyResult), progress.curves.get(_TOKEN_MS, {})
        self.set_class(result is None, "-going")
        self.set_class(result is None and not curves, "-nothing")
        if result is None:
            self._time.set_plot(growth.progress_plot(curves))
        elif self.size.width:
            self._verdict.update(Content.styled(growth.verdict(result), "bold"))
            self._time.set_plot(growth.time_plot(result))
            self._projections.set_plot(growth.projections_plot(result.rows))
            self.table.show([(row.tokens, row) for row in result.rows])
            self._words.update(hanging(growth.sentences(result), self.size.width))

    def next_chart(self) -> None:
        self._turn += 1
        self._show_turn()

    def _show_turn(self) -> None:
        turns = ("time", "projections", "table") if self.has_class("-low") else ("time", "table")
        turn = turns[self._turn % len(turns)]
        self.set_class(turn == "table", "-table")
        self.set_class(turn != "table", "-charts")
        self.set_class(turn == "time", "-time")
        self.set_class(turn == "projections", "-projections")
