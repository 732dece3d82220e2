"""A distillation as it goes: how much of the gap is closed, its curves, and where the student still differs."""

from __future__ import annotations

from textual.reactive import reactive

from core.distill.events import HeldOut, Place
from core.runs.state.store import Run
from tui.distill import curves
from tui.distill.gap import gap_line
from tui.distill.live.progress import RunProgress
from tui.distill.places import place_lines
from tui.experiment.live import LiveRun
from tui.widgets import words
from tui.widgets.chart.chart import Chart
from tui.widgets.live import Line, LiveLines, wrapped
from tui.widgets.scrolled_lines import ScrolledLines

_ROOMY = 26
"""Lines from which on chart and places stand together."""
_CHARTS = 4


class DistillLiveView(LiveRun[RunProgress]):
    """Gap, chart and places between head and last words."""

    HELP = (
        "A training in progress. The bar is the share of the difference in ln perplexity between the untrained student and its teacher that is "
        "closed on held-out text, with its standard error; below it KL divergence and top-1 agreement there. The best step is "
        "kept.\n\n"
        "m shows the next figure: KL divergence, gap, agreement, loss with its parts, and in a small window the tokens on which student and teacher "
        "differ most. The run does not need this program: it continues when the terminal closes. r resumes a stopped one at its last step."
    )
    DEFAULT_CSS = """
    DistillLiveView LiveLines { margin-top: 1; }
    DistillLiveView Chart { height: 2fr; min-height: 5; margin-top: 1; }
    DistillLiveView ScrolledLines { height: 1fr; min-height: 4; margin-top: 1; }
    DistillLiveView.-nothing Chart, DistillLiveView.-nothing ScrolledLines { display: none; }
    DistillLiveView.-places Chart, DistillLiveView.-chart ScrolledLines { display: none; }
    """
    SO_FAR = (("ppl_untrained", "perplexity untrained"), ("ppl_after", "after"), ("ppl_teacher", "teacher"), ("kl_mean", "KL"))
    figure: reactive[int] = reactive(0, init=False)
    """Which chart is shown; in a low window the places are the last."""

    def __init__(self, id: str | None = None) -> None:  # noqa: A002
        super().__init__(RunProgress, id=id)
        self.gap = LiveLines()
        self.chart = Chart()
        self.places: ScrolledLines[tuple[Place, ...]] = ScrolledLines(place_lines, ())
        self.body = (self.gap, self.chart, self.places)

    def next_chart(self) -> None:
        """The next figure."""
        self.figure = (self.figure + 1) % (_CHARTS + self.has_class("-low"))
        self.redraw()

    def on_resize(self) -> None:
        self.set_class(self.size.height < _ROOMY, "-low")
        if not self.has_class("-low"):
            self.figure = min(self.figure, _CHARTS - 1)

    def draw(self, run: Run, progress: RunProgress) -> None:  # noqa: ARG002
        newest = progress.newest
        self.set_class(newest is None, "-nothing")
        self.set_class(self.has_class("-low") and self.figure == _CHARTS, "-places")
        self.set_class(self.has_class("-low") and self.figure < _CHARTS, "-chart")
        self.gap.show_all([] if newest is None else _gap(newest, progress.untrained, self.size.width or 60))
        points = {label: list(curve.values()) for label, curve in progress.held_out.items()}
        charts = (curves.divergence, curves.gap, curves.agreement)
        self.chart.set_plot(charts[self.figure](points) if self.figure < len(charts) else curves.losses(progress.losses))
        self.places.show(() if newest is None else newest.places)


def _gap(newest: HeldOut, untrained: HeldOut | None, width: int) -> list[Line]:
    """The bar, then what was measured at the last evaluation and at the first."""
    first = "" if untrained is None or untrained.step == newest.step else f" ({words.figure(untrained.kl, 3)} untrained)"
    kl = f"KL {words.plus_minus(words.figure(newest.kl, 3), newest.kl_se)} nats{first}"
    top1 = f"top-1 {100 * newest.top1:.1f} ± {100 * newest.top1_se:.1f} %"
    where = f"step {newest.step}" + (f" of {newest.label}" if newest.label else "")
    return [gap_line(newest.gap_closed, newest.gap_closed_se, width), *wrapped([(where, "muted"), (kl, ""), (top1, "")], width)]
