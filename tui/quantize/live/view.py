"""A quantization as it goes: progress, time left, the error of each linear as it arrives."""

from __future__ import annotations

from core.runs.state.store import Run
from tui.experiment.live import GrowingTable, LiveRun
from tui.quantize.live.arrivals import arrivals
from tui.quantize.live.progress import RunProgress
from tui.widgets.chart.chart import Chart


class LiveView(LiveRun[RunProgress]):
    """Chart and table of the linears between head and last words."""

    HELP = (
        "A run in progress: steps done, estimated time left, and the relative error of each linear as it is quantized (of its outputs on the "
        "calibration text, or of its weights if the method uses none). A mixed quantization first measures the loss of the whole model with one "
        "linear at a time at few bits.\n\n"
        "The run does not need this program: it continues when the terminal closes. r resumes a stopped one."
    )
    DEFAULT_CSS = """
    LiveView Chart { height: 3fr; min-height: 6; }
    LiveView Table { height: 2fr; min-height: 4; }
    LiveView.-nothing Chart, LiveView.-nothing Table { display: none; }
    """
    SO_FAR = (("ppl_before", "perplexity before"), ("ppl_after", "after"), ("kl_mean", "KL"))

    def __init__(self, id: str | None = None) -> None:  # noqa: A002
        super().__init__(RunProgress, id=id)
        self._chart = Chart()
        self._table = GrowingTable()
        self.body = (self._chart, self._table)

    def draw(self, run: Run, progress: RunProgress) -> None:
        found = arrivals(progress)
        self.set_class(not found.rows, "-nothing")
        self._table.fill((run.id, found.kind), found.columns, found.rows)
        self._chart.set_plot(found.plot)
