"""A pruning as it goes: progress, time left, the error of each linear in a map of the model."""

from __future__ import annotations

from core.errors import LlmoptError
from core.prune.methods import METHODS
from core.runs.state.store import Run
from core.spec import text_in
from tui.experiment.follower import Follower
from tui.experiment.live import LiveRun
from tui.prune.live import curves, sparsity_map
from tui.prune.live.progress import RunProgress
from tui.prune.live.sparsity_map import NO_LINEARS, LinearState
from tui.services.services import Models, Runs, services_of
from tui.widgets.chart.chart import Chart
from tui.widgets.scrolled_lines import ScrolledLines


class _PruningFollower(Follower[RunProgress]):
    """Looks the model up once, so that the map shows what is still to come."""

    def __init__(self, run: Run, models: Models) -> None:
        super().__init__(run, RunProgress())
        self._models: Models | None = models

    def look(self, runs: Runs) -> None:
        if self._models is not None:
            models, self._models = self._models, None
            method = METHODS.get(text_in(self.run.values, "method"))
            try:
                card = models.resolve(self.run.asked_model).card()
            except LlmoptError:
                pass
            else:
                self.progress.expect(card, every_linear=method is not None and not method.shrinks)
        super().look(runs)


class PruneLiveView(LiveRun[RunProgress]):
    """Map and chart between head and last words."""

    HELP = (
        "A run in progress: steps done, estimated time left, and a map of the model, a row for each kind of linear and a column for each block. A "
        "linear that is finished shows the relative error of its outputs on the calibration text (of its weights if the method reads none): in "
        "percent where there is room, else as a bar up to the greatest error so far. A dot is still to come. Methods that remove blocks show the "
        "KL divergence of the model without each.\n\n"
        "Below, the worst and the mean error of each block; in a recovery, its loss. The run does not need this program: it continues when the "
        "terminal closes. r resumes a stopped one."
    )
    DEFAULT_CSS = """
    PruneLiveView ScrolledLines { height: auto; max-height: 60%; margin-top: 1; }
    PruneLiveView Chart { height: 1fr; min-height: 4; margin-top: 1; }
    PruneLiveView.-nothing Chart, PruneLiveView.-nothing ScrolledLines { display: none; }
    """
    SO_FAR = (("ppl_before", "perplexity before"), ("ppl_after", "after"), ("kl_mean", "KL"), ("decode_speedup", "decode speed-up"))

    def __init__(self, id: str | None = None) -> None:  # noqa: A002
        super().__init__(RunProgress, id=id)
        self.map: ScrolledLines[LinearState] = ScrolledLines(sparsity_map.lines, NO_LINEARS)
        self._chart = Chart()
        self.body = (self.map, self._chart)

    def new_follower(self, run: Run) -> Follower[RunProgress]:
        return _PruningFollower(run, services_of(self).models)

    def draw(self, run: Run, progress: RunProgress) -> None:  # noqa: ARG002
        plot = curves.plot(progress)
        self.set_class(plot is None, "-nothing")
        self.map.show(sparsity_map.state_of(progress))
        self._chart.set_plot(plot)
