"""Continuous against static batching, simulated: state while it goes, figures when it is done. Pure."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from core.kvcache.pages.result import PagesResult, PolicyRow
from core.kvcache.pages.schedule.events import ScheduleEvent
from core.sanitize import clean
from tui.kvcache.pages.blocks import PagesProgress
from tui.widgets import words
from tui.widgets.chart.plot import Plot, Series
from tui.widgets.chart.strip import history, meter
from tui.widgets.live import Line, clip

POLICIES = ("continuous", "static")
LABEL = "simulation"
"""Stands in front of every figure that was not measured."""

_FIGURES: tuple[tuple[str, Callable[[PolicyRow], str]], ...] = (
    ("tokens per second", lambda row: words.figure(row.throughput_tokens_per_second, 4)),
    ("requests per second", lambda row: words.figure(row.requests_per_second, 3)),
    ("latency, mean", lambda row: brief(row.latency_mean_s)),
    ("latency, 95 %", lambda row: brief(row.latency_p95_s)),
    ("first token, mean", lambda row: brief(row.ttft_mean_s)),
    ("first token, 95 %", lambda row: brief(row.ttft_p95_s)),
    ("blocks in use", lambda row: words.percent(row.utilization_mean, 1)),
    ("of them filled", lambda row: words.percent(row.filled_mean, 1)),
    ("batch, mean", lambda row: words.figure(row.batch_mean, 3)),
    ("preemptions", lambda row: words.count(row.preemptions)),
    ("refused", lambda row: words.count(row.refused)),
    ("took", lambda row: words.duration(row.makespan_s)),
)


def brief(seconds: float) -> str:
    """A duration that may be short: `12.3 ms`, `1.2 s`."""
    return f"{words.figure(1000 * seconds, 3)} ms" if seconds < 1 else words.duration(seconds)


def in_progress(progress: PagesProgress, width: int) -> list[Line]:
    """The simulated schedulers as they go: a line of figures and the history of the blocks in use each."""
    lines: list[Line] = []
    for policy in POLICIES:
        state = progress.schedules.get(policy)
        if state is not None:
            lines += _state(state, progress.loads.get(policy, []), width)
    return lines


def _state(state: ScheduleEvent, loads: Sequence[float | None], width: int) -> list[Line]:
    figures = (
        f"{brief(state.time)} simulated, {words.count(state.running)} running, {words.count(state.waiting)} waiting, "
        f"{words.count(state.finished)} done, {words.figure(state.rate, 4)} tokens/s"
    )
    percent = 100 * state.utilization
    filled = f"{words.percent(state.filled, 1)} of them filled"
    return [
        clip(((f"{state.policy:<12}", "strong"), (figures, "")), width),
        clip(
            (
                (" " * 12, ""),
                (meter(percent, 16), "bar"),
                (f" {percent:5.1f} % of {words.count(state.blocks)} blocks, {filled}  ", ""),
                (history(loads, max(min(width - 72, 40), 0)), "quiet-bar"),
            ),
            width,
        ),
    ]


def table(rows: Sequence[PolicyRow], width: int) -> list[Line]:
    """A column a policy, and how many times one is the other where that says something."""
    of = {row.policy: row for row in rows}
    shown = [of[policy] for policy in POLICIES if policy in of]
    lines: list[Line] = [(("", ""), (f"{'':<20}" + "".join(f"{row.policy:>13}" for row in shown), "muted"))]
    lines += [clip(((f"{name:<20}", "muted"), ("".join(f"{tell(row):>13}" for row in shown), "")), width) for name, tell in _FIGURES]
    return lines


def verdict(result: PagesResult) -> str:
    """One sentence about the throughput."""
    speedup = words.number(result.metrics.speedup)
    if speedup is None:
        return ""
    of: dict[str, PolicyRow] = {row.policy: row for row in result.rows if isinstance(row, PolicyRow)}
    gained = abs(speedup - 1) >= 0.005
    change = f"{speedup:.2f} times static batching's tokens per second" if gained else "as many tokens per second as static batching"
    if any(policy not in of for policy in POLICIES):
        return f"Continuous batching: {change}."
    latency = [brief(of[policy].latency_p95_s) for policy in POLICIES]
    return f"Continuous batching: {change}; 95 of 100 answers within {latency[0]}, static {latency[1]}."


def how(result: PagesResult) -> list[tuple[str, str]]:
    """What the times were reached by."""
    step = result.step
    rows = [("", clean(sentence)) for sentence in (step.how if step is not None else ())]
    notes = [("note", clean(note)) for note in result.notes]
    device = [] if step is None else [("estimate", f"{clean(step.device)} x {step.tensor_parallel}, {words.count(step.blocks)} blocks")]
    return [*device, *rows, *notes]


def load_plot(result: PagesResult) -> Plot:
    """Blocks in use over the simulated time, each policy."""
    return Plot(
        kind="line",
        title=f"{LABEL}: blocks in use",
        series=tuple(Series.of([100 * value for value in each.utilization], each.x, label=clean(each.title)) for each in result.series),
        x_label="simulated time",
        x_unit="s",
        y_unit="%",
    )


def waste_plot(result: PagesResult) -> Plot:
    """Of a decode: slots in use, in pages and in caches that are allocated in advance, step by step."""
    series: list[Series] = []
    for each in result.series:
        series.append(Series.of([100 * value for value in each.filled], each.x, label="pages"))
        if each.contiguous:
            series.append(Series.of([100 * value for value in each.contiguous], each.x, label="contiguous"))
    return Plot(kind="line", title="slots in use", series=tuple(series), x_label="step", y_unit="%", y_limits=(0.0, 100.0))
