"""The one chart widget: takes a plot, draws it off the event loop, and repaints only the lines that changed."""

from __future__ import annotations

from typing import ClassVar

from rich.segment import Segment
from rich.style import Style
from textual import events
from textual.geometry import Region, Size
from textual.strip import Strip
from textual.widget import Widget
from textual.worker import get_current_worker

from tui.widgets.chart.marks import QUIET, SERIES, TITLE, Line, Picture
from tui.widgets.chart.picture import draw, line_length, plain
from tui.widgets.chart.plot import Plot, Series
from tui.widgets.component import ink
from tui.widgets.lazy_components import LazyComponents

__all__ = ["Chart", "Plot", "Series"]

_Request = tuple[Plot, Size]
_KEPT = 200
"""Points of a plot whose picture is cached."""


class Chart(LazyComponents, Widget):
    """Shows a `Plot`.

    Drawing happens in a thread and is cached by plot and size; a newer plot replaces one that still waits. A chart that is
    not on screen draws nothing until it is. Colours come from the component classes and are applied when painting.
    """

    COMPONENT_CLASSES: ClassVar[set[str]] = {"chart--title", "chart--quiet", *(f"chart--series-{index}" for index in range(6))}

    DEFAULT_CSS = """
    Chart { height: 1fr; min-height: 3; }
    Chart > .chart--title { text-style: bold; color: $text; }
    Chart > .chart--quiet { color: $text-muted; }
    Chart > .chart--series-0 { color: $primary; }
    Chart > .chart--series-1 { color: $accent; }
    Chart > .chart--series-2 { color: $success; }
    Chart > .chart--series-3 { color: $warning; }
    Chart > .chart--series-4 { color: $secondary; }
    Chart > .chart--series-5 { color: $error; }
    """

    def __init__(self, plot: Plot | None = None, *, id: str | None = None, classes: str | None = None) -> None:  # noqa: A002
        super().__init__(id=id, classes=classes)
        self._plot = plot
        self._asked: _Request | None = None
        self._drawn: _Request | None = None
        self._picture: Picture = ()
        self._strips: dict[int, Strip] = {}

    @property
    def plot(self) -> Plot | None:
        """What is shown, or will be as soon as it is drawn."""
        return self._plot

    @property
    def waiting(self) -> bool:
        """Whether the picture is not yet that of the plot at this size."""
        return self._plot is not None and self._drawn != (self._plot, self.size)

    @property
    def plain(self) -> str:
        return plain(self._picture)

    def set_plot(self, plot: Plot | None) -> None:
        """Show another plot. Cheap: nothing is drawn before the chart is on screen, nor when the plot is the same."""
        if plot == self._plot:
            return
        self._plot = plot
        if plot is None:
            self._asked = None
            self._show(())
        else:
            self.refresh(Region(0, 0, 1, self.size.height))

    def render_line(self, y: int) -> Strip:
        """A line of the picture; painting is also what asks for a picture that is missing or of another size."""
        if self._plot is not None and self._asked != (self._plot, self.size):
            self.call_later(self._request)
        strip = self._strips.get(y)
        if strip is None:
            strip = self._strip(self._picture[y] if y < len(self._picture) else ())
            self._strips[y] = strip
        return strip

    def notify_style_update(self) -> None:
        """Forget the painted lines when the theme changes."""
        super().notify_style_update()
        self._strips = {}

    def _request(self) -> None:
        if self._plot is None or not self.size or self._asked == (self._plot, self.size):
            return
        plot, size = self._asked = (self._plot, self.size)
        self.run_worker(lambda: self._draw(plot, size), name="draw chart", group="chart", thread=True, exclusive=True, exit_on_error=False)

    def _draw(self, plot: Plot, size: Size) -> None:
        """In a thread."""
        worker = get_current_worker()
        # A plot that grows is never drawn twice, and kept a dozen times.
        known = sum(len(series.y) for series in plot.series) <= _KEPT
        picture = (draw if known else draw.__wrapped__)(plot, size.width, size.height)
        if not worker.is_cancelled:
            self.app.call_from_thread(self._show_if_current, (plot, size), picture)

    def _show_if_current(self, request: _Request, picture: Picture) -> None:
        if request == self._asked:
            self._drawn = request
            self._show(picture)

    def _show(self, picture: Picture) -> None:
        before, self._picture = self._picture, picture
        changed = [y for y in range(max(len(before), len(picture))) if before[y : y + 1] != picture[y : y + 1]]
        for y in changed:
            self._strips.pop(y, None)
        if changed:
            self.refresh(*(Region(0, y, self.size.width, 1) for y in changed))

    def _strip(self, line: Line) -> Strip:
        segments = [Segment(text, self._style(role)) for text, role in line]
        return Strip(segments, line_length(line)).adjust_cell_length(self.size.width, self.rich_style).apply_style(self.rich_style)

    def _style(self, role: int) -> Style | None:
        if role >= SERIES:
            return ink(self, f"chart--series-{(role - SERIES) % 6}")
        return {TITLE: ink(self, "chart--title"), QUIET: ink(self, "chart--quiet")}.get(role)

    def on_resize(self, _: events.Resize) -> None:
        self._strips = {}
