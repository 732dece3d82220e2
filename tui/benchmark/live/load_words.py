"""The figures above the charts of a running load. Pure."""

from __future__ import annotations

from collections.abc import Sequence

from core.benchmark.events import SecondEvent
from core.sanitize import clean
from tui.benchmark.live.progress import BenchmarkProgress, Reason
from tui.widgets import words
from tui.widgets.live import Line, Run, clip

LINES = 4
"""Of `figures`."""


def figures(progress: BenchmarkProgress, width: int, now: float = 0.0, *, wished: bool = False) -> list[Line]:
    """Counts, speed, medians of the last second, what the server says: always as many lines, so that nothing below them moves.

    Args:
        progress: what was heard.
        width: columns.
        now: seconds since 1970.
        wished: the user wants the load to wait.
    """
    second = progress.last
    if second is None:
        return [()] * LINES
    waits = _paused(second, progress.paused(now), wished=wished)
    return [clip(line, width) for line in (_counts(second), waits or _speed(second), _medians(second), _server(second))]


def _paused(second: SecondEvent, seconds: float | None, *, wished: bool) -> Line:
    """That it is paused, in place of its speed; nothing while it runs."""
    if not wished:
        return ()
    if seconds is None:
        return (("‖ will pause", "warn"), (" as soon as it can  ", "muted"), ("p", "strong"), (" resumes", "muted"))
    left = f", {words.count(second.running)} in flight will finish" if second.running else ", nothing in flight"
    return (("‖ paused", "warn"), (f" for {_whole(seconds)}", ""), (left, "muted"), ("  ", ""), ("p", "strong"), (" resumes", "muted"))


def _whole(seconds: float) -> str:
    """So that it changes once per second."""
    return f"{int(seconds)} s" if seconds < 60 else words.duration(int(seconds))


def _counts(second: SecondEvent) -> Line:
    runs: list[Run] = [(f"{words.count(second.done)}", "strong"), (f" of {words.count(second.scheduled)} answered", "muted")]
    if second.level is not None:
        runs = [("level ", "muted"), (f"{second.level:g}", "strong"), ("  ", ""), *runs]
    runs += [(f"  {words.count(second.running)} in flight", "muted")] if second.running else []
    runs += [("  ✗ ", "bad"), (f"{words.count(second.failed)} failed", "bad")] if second.failed else [("  0 failed", "muted")]
    return (*runs, (f"  ✗ {words.count(second.timed_out)} timed out", "bad")) if second.timed_out else tuple(runs)


def _speed(second: SecondEvent) -> Line:
    return (
        ("now ", "muted"),
        (words.figure(second.tokens_per_second, 3), "strong"),
        (" token/s  ", "muted"),
        (words.figure(second.requests_per_second, 3), "strong"),
        (" request/s", "muted"),
    )


def _medians(second: SecondEvent) -> Line:
    runs: list[Run] = [("medians ", "muted")]
    for name, value in (("TTFT", second.ttft_ms), ("ITL", second.itl_ms), ("end to end", second.e2el_ms)):
        runs += [(f"{name} ", "muted"), (words.figure(value, 3), "strong"), (" ms  ", "muted")]
    return tuple(runs)


def _server(second: SecondEvent) -> Line:
    known = [
        (name, text)
        for name, value, text in (
            ("running", second.server_running, words.count(second.server_running)),
            ("waiting", second.server_waiting, words.count(second.server_waiting)),
            ("KV cache", second.kv_usage, words.percent(second.kv_usage, 0)),
            ("memory", second.memory, words.size(second.memory)),
        )
        if value is not None
    ]
    if not known:
        return (("server  reports no metrics", "muted"),)
    runs: list[Run] = [("server  ", "muted")]
    for name, text in known:
        runs += [(f"{name} ", "muted"), (text, "strong"), ("  ", "")]
    return tuple(runs)


def errors(progress: BenchmarkProgress, most: int, width: int) -> list[Line]:
    """Why requests failed and how many, the most frequent first; of a run that does not count them the first errors, and how many more there were."""
    if reasons := progress.reasons:
        return _reasons(reasons, most, width)
    if not progress.errors or most <= 0:
        return []
    shown: Sequence[str] = progress.errors[-most:]
    more = progress.bad - len(shown)
    lines: list[Line] = [clip((("✗ ", "bad"), (clean(text), "")), width) for text in shown]
    return [*lines[:-1], clip((*lines[-1], (f"  and {words.count(more)} more", "muted")), width)] if more > 0 and lines else lines


def _reasons(reasons: Sequence[tuple[Reason, int]], most: int, width: int) -> list[Line]:
    if most <= 0:
        return []
    rest = sum(count for _, count in reasons[most:])
    lines: list[Line] = []
    for (status, reason), count in reasons[:most]:
        lines.append((("✗ ", "bad"), (f"{words.count(count)} {status.replace('_', ' ')} ", "bad"), (clean(reason), "")))
    if rest:
        more = f"  and {words.count(rest)} for other reasons"
        lines[-1] = (*clip(lines[-1], max(width - len(more), 0)), (more, "muted"))
    return [clip(line, width) for line in lines]
