"""A load as it goes, as charts. Pure."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence

from tui.benchmark.live.progress import Second
from tui.widgets.chart.plot import Plot, Series

Seconds = Sequence[tuple[float, Second]]
Figure = Callable[[Second], float | None]
_NOTHING = "no request has been answered yet"


def throughput(seconds: Seconds) -> Plot:
    """Tokens per second, or requests per second where the tokens are not known."""
    tokens = any(second.tokens_per_second is not None for _, second in seconds)
    read: Figure = (lambda second: second.tokens_per_second) if tokens else (lambda second: second.requests_per_second)
    still = _still(seconds)
    return _plot("throughput", "token/s" if tokens else "request/s", [("", read)], seconds, still)


def _still(seconds: Seconds) -> frozenset[float]:
    """Moments at which the load was paused, or had just resumed: nothing was sent that could have been answered."""
    before = [None, *(second.paused for _, second in seconds)]
    return frozenset(at for (at, second), last in zip(seconds, before, strict=False) if second.paused is not None or last is not None)


def latencies(seconds: Seconds) -> Plot:
    """Medians of the requests that ended in each second."""
    figures: list[tuple[str, Figure]] = [
        ("TTFT", lambda second: second.ttft_ms),
        ("end to end", lambda second: second.e2el_ms),
        ("ITL", lambda second: second.itl_ms),
    ]
    plot = _plot("medians", "ms", figures, seconds)
    values = [value for series in plot.series for value in series.y]
    wide = bool(values) and min(values) > 0 and max(values) > 50 * min(values)
    return Plot(**{**plot.__dict__, "log_y": wide, "y_limits": None if wide else plot.y_limits})


def concurrency(seconds: Seconds) -> Plot:
    """Requests that were sent and are not over, as the client counts them; those that the server computes, and those that wait in it."""
    counted = any(second.running for _, second in seconds)
    figures: list[tuple[str, Figure]] = [
        ("sent", lambda second: float(second.running) if counted else None),
        ("computed by the server", lambda second: second.server_running),
        ("waiting in it", lambda second: second.server_waiting),
    ]
    return _plot("requests in flight", "", figures, seconds)


def charts(seconds: Seconds) -> tuple[Plot, ...]:
    """All of them, in the order in which they take turns."""
    return throughput(seconds), latencies(seconds), concurrency(seconds)


COUNT = 3


def _plot(title: str, unit: str, figures: Sequence[tuple[str, Figure]], seconds: Seconds, still: Collection[float] = ()) -> Plot:
    series = []
    for label, read in figures:
        known = ((at, 0.0 if at in still else read(second)) for at, second in seconds)
        if points := [(at, value) for at, value in known if value is not None]:
            series.append(Series.through(points, label))
    top = max((value for each in series for value in each.y), default=0.0)
    return Plot(
        kind="line",
        series=tuple(series),
        title=title,
        y_unit=unit,
        x_unit="s",
        y_limits=(0.0, top) if top > 0 else None,
        empty=_NOTHING if not seconds or title != "requests in flight" else "the server reports nothing about its requests",
    )
