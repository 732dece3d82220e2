"""A load as it goes, as charts. Pure."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from core.benchmark.events import SecondEvent
from tui.widgets.chart.plot import Plot
from tui.widgets.chart.trace import Trace

_NOTHING = "no request has been answered yet"
_NO_GAUGES = "the server reports nothing about its requests"


class LoadCurves:
    """What the charts draw of a load's seconds, in a bounded number of points however long it takes."""

    def __init__(self) -> None:
        self._tokens, self._requests = Trace(), Trace()
        self._ttft, self._e2el, self._itl = Trace(), Trace(), Trace()
        self._sent, self._computed, self._waiting = Trace(), Trace(), Trace()
        self._tokens_known = False
        self._paused = False
        self.seconds = 0
        """How many were taken in."""

    def add(self, at: float, second: SecondEvent) -> None:
        """Take in what a load said `at` seconds after the first load of the run began."""
        # In a pause, and when it has just ended, nothing was sent that could have been answered.
        still = second.paused is not None or self._paused
        self._paused = second.paused is not None
        self._tokens_known = self._tokens_known or second.tokens_per_second is not None
        self._tokens.add(at, 0.0 if still else second.tokens_per_second)
        self._requests.add(at, 0.0 if still else second.requests_per_second)
        self._ttft.add(at, second.ttft_ms)
        self._e2el.add(at, second.e2el_ms)
        self._itl.add(at, second.itl_ms)
        self._sent.add(at, float(second.running))
        self._computed.add(at, second.server_running)
        self._waiting.add(at, second.server_waiting)
        self.seconds += 1

    def throughput(self) -> Plot:
        """Tokens per second, or requests per second where the tokens are not known."""
        trace, unit = (self._tokens, "token/s") if self._tokens_known else (self._requests, "request/s")
        return _plot("throughput", unit, [("", trace)])

    def latencies(self) -> Plot:
        """Medians of the requests that ended in each second."""
        plot = _plot("medians", "ms", [("TTFT", self._ttft), ("end to end", self._e2el), ("ITL", self._itl)])
        values = [value for series in plot.series for value in series.y]
        wide = bool(values) and min(values) > 0 and max(values) > 50 * min(values)
        return Plot(**{**plot.__dict__, "log_y": wide, "y_limits": None if wide else plot.y_limits})

    def concurrency(self) -> Plot:
        """Requests that were sent and are not over, as the client counts them; those that the server computes, and those that wait in it."""
        counted = self._sent if self._sent.top > 0 else Trace()
        return _plot(
            "requests in flight",
            "",
            [("sent", counted), ("computed by the server", self._computed), ("waiting in it", self._waiting)],
            empty=_NO_GAUGES if self.seconds else _NOTHING,
        )


CHARTS: tuple[Callable[[LoadCurves], Plot], ...] = (LoadCurves.throughput, LoadCurves.latencies, LoadCurves.concurrency)
"""In the order in which they take turns."""


def _plot(title: str, unit: str, traces: Sequence[tuple[str, Trace]], empty: str = _NOTHING) -> Plot:
    series = tuple(trace.series(label) for label, trace in traces if trace)
    top = max((trace.top for _, trace in traces), default=0.0)
    return Plot(kind="line", series=series, title=title, y_unit=unit, x_unit="s", y_limits=(0.0, top) if top > 0 else None, empty=empty)
