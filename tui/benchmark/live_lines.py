"""The figures above the charts of a load that goes on. Pure."""

from __future__ import annotations

from collections.abc import Sequence

from core.benchmark.second_event import SecondEvent
from core.sanitize import clean
from tui.benchmark.tape import BenchmarkTape
from tui.widgets import words
from tui.widgets.live import Line, Run, clip

LINES = 4
"""Of `figures`."""


def figures(tape: BenchmarkTape, width: int) -> list[Line]:
    """Counts, speed, medians of the last second, what the server says: always as many lines, so that nothing below them moves."""
    told = tape.last
    if told is None:
        return [()] * LINES
    return [clip(line, width) for line in (_counts(told), _speed(told), _medians(told), _server(told))]


def _counts(told: SecondEvent) -> Line:
    runs: list[Run] = [(f"{words.count(told.done)}", "strong"), (f" of {words.count(told.scheduled)} answered", "muted")]
    if told.level is not None:
        runs = [("level ", "muted"), (f"{told.level:g}", "strong"), ("  ", ""), *runs]
    runs += [("  ✗ ", "bad"), (f"{words.count(told.failed)} failed", "bad")] if told.failed else [("  0 failed", "muted")]
    return (*runs, (f"  ✗ {words.count(told.timed_out)} timed out", "bad")) if told.timed_out else tuple(runs)


def _speed(told: SecondEvent) -> Line:
    return (
        ("now ", "muted"),
        (words.figure(told.tokens_per_second, 3), "strong"),
        (" token/s  ", "muted"),
        (words.figure(told.requests_per_second, 3), "strong"),
        (" request/s", "muted"),
    )


def _medians(told: SecondEvent) -> Line:
    runs: list[Run] = [("medians ", "muted")]
    for name, value in (("TTFT", told.ttft_ms), ("ITL", told.itl_ms), ("end to end", told.e2el_ms)):
        runs += [(f"{name} ", "muted"), (words.figure(value, 3), "strong"), (" ms  ", "muted")]
    return tuple(runs)


def _server(told: SecondEvent) -> Line:
    known = [
        (name, text)
        for name, value, text in (
            ("running", told.server_running, words.count(told.server_running)),
            ("waiting", told.server_waiting, words.count(told.server_waiting)),
            ("KV cache", told.kv_usage, words.percent(told.kv_usage, 0)),
            ("memory", told.memory, words.size(told.memory)),
        )
        if value is not None
    ]
    if not known:
        return (("server  tells nothing of itself", "muted"),)
    runs: list[Run] = [("server  ", "muted")]
    for name, text in known:
        runs += [(f"{name} ", "muted"), (text, "strong"), ("  ", "")]
    return tuple(runs)


def errors(tape: BenchmarkTape, most: int, width: int) -> list[Line]:
    """The first errors, one a line, and how many more there were."""
    if not tape.errors or most <= 0:
        return []
    shown: Sequence[str] = tape.errors[-most:]
    told = tape.last
    more = (told.failed + told.timed_out if told is not None else 0) - len(shown)
    lines: list[Line] = [clip((("✗ ", "bad"), (clean(text), "")), width) for text in shown]
    return [*lines[:-1], clip((*lines[-1], (f"  and {words.count(more)} more", "muted")), width)] if more > 0 and lines else lines
