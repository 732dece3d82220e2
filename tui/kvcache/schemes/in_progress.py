"""A comparison of schemes as it goes: perplexity through each cache while the text is read, rows as they arrive."""

from __future__ import annotations

from core.runs.state.store import Run
from core.sanitize import clean
from tui.experiment.live import GrowingTable, LiveRun, Row
from tui.experiment.progress import RunProgress
from tui.kvcache.schemes import curves
from tui.widgets import words
from tui.widgets.chart.chart import Chart

_COLUMNS = (("scheme", 11), ("B/token", 9), ("smaller", 9), ("TTFT ms", 9), ("TPOT ms", 9), ("ppl ratio", 11), ("top-1", 9), ("needle", 8))
_RATIO = "ppl_ratio"
"""A metric that every scheme reports when it is done."""


class SchemesInProgress(LiveRun[RunProgress]):
    """Chart and table between head and last words."""

    HELP = (
        "A comparison of cache schemes in progress. The chart shows the perplexity of the text so far through each cache, relative to the full cache "
        "at the same token: 1 means no loss; m shows the perplexity itself. The table gets a row when a scheme is done.\n\n"
        "The run does not need this program: it continues when the terminal closes."
    )
    DEFAULT_CSS = """
    SchemesInProgress Chart { height: 3fr; min-height: 6; }
    SchemesInProgress GrowingTable { height: 2fr; min-height: 4; }
    SchemesInProgress.-nothing Chart, SchemesInProgress.-nothing GrowingTable { display: none; }
    """

    def __init__(self, id: str | None = None) -> None:  # noqa: A002
        super().__init__(RunProgress, id=id)
        self._chart = Chart()
        self._table = GrowingTable()
        self.body = (self._chart, self._table)
        self._absolute = False

    def next_chart(self) -> None:
        self._absolute = not self._absolute
        self.redraw()

    def draw(self, run: Run, progress: RunProgress) -> None:
        found = progress.curves.get(curves.PPL, {})
        rows = arrived(progress)
        self.set_class(not found and not rows, "-nothing")
        self._chart.set_plot((curves.absolute if self._absolute else curves.against_full)(found))
        self._table.fill(run.id, _COLUMNS, rows)


def arrived(progress: RunProgress) -> list[Row]:
    """Cells of the schemes that are done, in the order of arrival."""
    names = list(progress.curves.get(_RATIO, {}))
    full = _last(progress, "bytes_per_token", names[0]) if names else None
    return [_cells(progress, name, full) for name in names]


def _last(progress: RunProgress, figure: str, name: str) -> float | None:
    """The last value of a figure of a scheme."""
    values = list(progress.curves.get(figure, {}).get(name, {}).values())
    return values[-1] if values else None


def _cells(progress: RunProgress, name: str, full: float | None) -> Row:
    held, ratio = _last(progress, "bytes_per_token", name), _last(progress, _RATIO, name)
    return (
        clean(name),
        words.count(held),
        f"{full / held:.2f}x" if full and held else words.NOTHING,
        words.figure(_last(progress, "ttft_ms", name), 3),
        words.figure(_last(progress, "tpot_ms", name), 3),
        words.NOTHING if ratio is None else f"{ratio:.4f}",
        words.percent(_last(progress, "top1_agreement", name), 1),
        words.percent(_last(progress, "needle_rate", name), 0),
    )
