"""A load as it goes: throughput, latencies, requests in flight, errors."""

from __future__ import annotations

from textual.containers import Vertical

from core.runs.launch.pause import is_paused
from core.runs.state.store import Run
from tui.benchmark.live import load_words
from tui.benchmark.live.curves import CHARTS
from tui.benchmark.live.progress import BenchmarkProgress
from tui.benchmark.names import run_title
from tui.experiment.follower import Follower
from tui.experiment.live import LiveRun
from tui.services.services import Runs, services_of
from tui.widgets.chart.chart import Chart
from tui.widgets.live import LiveLines

_A_CHART = 9
"""Lines that a chart wants."""
_AROUND = 8
"""Lines of head, figures and log."""
_ERRORS = 4


class LoadFollower(Follower[BenchmarkProgress]):
    """A load, what was read of it, and what lies in its folder."""

    wished = False
    """Whether the user wants it to wait; it does as soon as its events say so."""
    has_result = False

    def look(self, runs: Runs) -> None:
        super().look(runs)
        self.wished = is_paused(self.run, self.state)
        self.has_result = self.over and (self.run.path / "result.json").exists()


class BenchmarkLive(LiveRun[BenchmarkProgress]):
    """Head, figures, errors, as many charts as there is room for."""

    HELP = (
        "A load in progress, updated once per second. Figures and medians cover the requests that ended in the last second; requests in flight are "
        "in none of them. running and waiting are reported by the server.\n\n"
        "m shows the next chart: throughput, latencies, requests in flight. p pauses the load: no new requests are sent, requests in flight finish, "
        "the schedule is paused, and the time is excluded from rates; p again resumes it. F8 stops it, and the requests answered so far become a "
        "result. The run does not need this program: it continues when the terminal closes."
    )
    NOTHING = "No load yet. F5 load-tests the server of the form: one started for it, or an address. It continues when this program exits."
    DEFAULT_CSS = """
    BenchmarkLive .live--figures { height: 4; margin-top: 1; }
    BenchmarkLive .live--errors { height: 0; }
    BenchmarkLive .live--charts { height: 1fr; }
    BenchmarkLive Chart { height: 1fr; min-height: 5; }
    BenchmarkLive.-low .live--figures { margin-top: 0; }
    BenchmarkLive.-nothing .live--figures, BenchmarkLive.-nothing .live--charts { display: none; }
    """

    def __init__(self, id: str | None = None) -> None:  # noqa: A002
        super().__init__(BenchmarkProgress, id=id)
        self.figures = LiveLines(classes="live--figures")
        self.errors = LiveLines(classes="live--errors")
        self.charts = tuple(Chart() for _ in CHARTS)
        self.body = (self.figures, self.errors, Vertical(*self.charts, classes="live--charts"))
        self._first = 0
        self._wished = False
        self._charted: object = None

    def on_resize(self) -> None:
        self.set_class(self.size.height < 20, "-low")

    def title(self, run: Run) -> str:
        return run_title(run)

    @property
    def load(self) -> LoadFollower | None:
        return self.follower if isinstance(self.follower, LoadFollower) else None

    def new_follower(self, run: Run) -> LoadFollower:
        return LoadFollower(run, BenchmarkProgress())

    def next_chart(self) -> None:
        self._first = (self._first + 1) % len(CHARTS)
        self.redraw()

    def draw(self, run: Run, progress: BenchmarkProgress) -> None:  # noqa: ARG002
        self.set_class(not progress.charted.seconds, "-nothing")
        width, height = self.size
        if not width:
            return
        errors = load_words.errors(progress, min(_ERRORS, max(height - _AROUND - _A_CHART, 1)), width)
        now = services_of(self).clock()
        self.figures.show(load_words.figures(progress, width, now, wished=self.load is not None and self.load.wished))
        self.errors.show_all(errors)
        if self.load is not None and self.load.wished != self._wished:
            self._wished = self.load.wished
            self.refresh_bindings()
        room = max((height - _AROUND - len(errors)) // _A_CHART, 1)
        if self._charted == (charted := (progress.charted, progress.charted.seconds, self._first, room)):
            return
        self._charted = charted
        for at, chart in enumerate(self.charts):
            chart.display = at < room
            if at < room:
                chart.set_plot(CHARTS[(self._first + at) % len(CHARTS)](progress.charted))
