"""Servers as lines of a table, and one of them in words. Pure."""

from __future__ import annotations

from pathlib import PurePath

from textual.content import Content

from core.runs.state.state import State
from core.runs.state.store import Run
from core.sanitize import clean
from tui.benchmark.names import run_title
from tui.benchmark.servers.progress import MEMORY, RUNNING, WAITING, ServerProgress
from tui.benchmark.servers.servers import ServerRow
from tui.runs.words import MARKS, STYLES, when
from tui.widgets import words
from tui.widgets.chart.plot import Plot, Series
from tui.widgets.hanging import hanging
from tui.widgets.live import Line, Tone, fit

_TONES: dict[str, Tone] = {"queued": "muted", "running": "good", "failed": "bad"}
_COLUMNS = (("engine", 13, 50), ("model", 16, 0), ("address", 24, 0), ("run/wait", 9, 65), ("since", 9, 74), ("memory", 10, 84))
"""Title, width with the gap, columns of the window from which on it is shown."""


def head(width: int) -> Line:
    """Titles."""
    return (("   " + "".join(fit(name, size) for name, size, needs in _COLUMNS if width >= needs), "muted"),)


def line(row: ServerRow, now: float, width: int) -> Line:
    """One server."""
    texts = {
        "engine": clean(row.engine, limit=40),
        "model": clean(PurePath(row.model).name, limit=80),
        "address": clean(row.url.removeprefix("http://"), limit=80) or ("starting" if row.going else _end(row.state)),
        "run/wait": f"{words.count(row.running)}/{words.count(row.waiting)}" if row.going else "",
        "since": when(row.state.started or row.state.created, now),
        "memory": words.size(row.memory) if row.going else "",
    }
    tone = _TONES.get(row.state.status, "muted")
    cells = "".join(fit(fit(texts[name], size - 1) + " ", size) for name, size, needs in _COLUMNS if width >= needs)
    return ((f"{MARKS[row.state.status]} ", tone), (cells, "" if row.going else "muted"))


def _end(state: State) -> str:
    return "stopped" if state.status in ("done", "cancelled") else state.status


def described(run: Run, state: State, progress: ServerProgress, now: float, width: int, *, short: bool = False) -> Content:
    """Everything about one server, or in `short` what does not stand in the table."""
    ready = progress.ready
    word = "answers" if ready is not None and not state.is_over else "starts" if not state.is_over else _end(state)
    first = Content.assemble((run_title(run), "bold"), "  ", (f"{MARKS[state.status]} {word}", STYLES[state.status]), "  ", (run.id, "dim"))
    rows: list[tuple[str, str]] = []
    if ready is not None:
        rows += [("address", ready.url)] if short else [("address", ready.url), ("model", ready.model)]
        rows.append(("version", f"{ready.engine} {ready.version}, process {ready.pid}"))
    rows.append(("since", f"{when(state.started or state.created, now)}, {words.duration(state.seconds(now))}"))
    if state.status == "failed" and state.exit_reason:
        rows.append(("why", clean(state.exit_reason, limit=600)))
    if not state.is_over and ready is not None:
        busy = f"{words.count(progress.metrics.get(RUNNING))} running, {words.count(progress.metrics.get(WAITING))} waiting"
        rows.append(("requests", f"{busy}; memory {words.size(progress.metrics.get(MEMORY))}"))
    if ready is not None:
        rows.append(("started", ready.command))
    return Content("\n").join([first, hanging(rows, width)])


def requests_plot(progress: ServerProgress) -> Plot:
    """Requests that are computed and that wait."""
    named = ((RUNNING, "running"), (WAITING, "waiting"))
    series = [Series.through(points, label) for name, label in named if (points := progress.course.get(name))]
    top = max((value for each in series for value in each.y), default=0.0)
    return Plot(
        "line",
        tuple(series),
        "requests in the server",
        x_unit="s",
        y_limits=(0.0, max(top, 1.0)),
        empty="the server reports nothing about its requests",
    )


def memory_plot(progress: ServerProgress) -> Plot:
    """Memory of the server's processes."""
    points = progress.course.get(MEMORY, ())
    series = (Series.through([(at, value / 2**20) for at, value in points]),) if points else ()
    return Plot("line", series, "memory of its processes", y_unit="MiB", x_unit="s", empty="its processes are not visible from here")
