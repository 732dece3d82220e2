"""Finished loads as charts. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from core.sanitize import clean
from tui.benchmark.results.entries import Entry, alike
from tui.benchmark.results.target_words import percentile
from tui.widgets.chart.plot import Plot, Series

_MOST = 6


def charts(entries: Sequence[Entry], chosen: Entry) -> tuple[Plot, ...]:
    """The charts of all rows, with the one under the cursor among them."""
    shown = beside(entries, chosen)
    return against_latency(shown), speeds(shown), first_tokens(shown), distribution(shown[0])


def beside(entries: Sequence[Entry], chosen: Entry) -> list[Entry]:
    """The target of the chosen row, then the others that can be set against it."""
    targets = [entry for entry in entries if entry.level is None]
    first = next((entry for entry in targets if entry.key[:2] == chosen.key[:2]), chosen)
    return [first, *(entry for entry in targets if entry is not first and alike(first.result, entry.result))][:_MOST]


def against_latency(entries: Sequence[Entry]) -> Plot:
    """Throughput over the median latency: a letter a target, a line through the levels of a sweep."""
    series: list[Series] = []
    for entry in entries:
        points = [(level.metrics["e2el_ms"].p50, level.throughput_tokens_per_second) for level in entry.entry.levels if "e2el_ms" in level.metrics]
        known = [(latency, speed) for latency, speed in points if latency is not None and speed is not None]
        if len(known) > 1:
            series.append(replace(Series.through(known, entry.title, "points", entry.letter), like=len(series) + 1))
            series.append(Series.through(known, stroke="line", mark="braille"))
        elif known:
            series.append(Series.through(known, entry.title, "points", entry.letter))
    return Plot(
        kind="scatter",
        series=tuple(series),
        title="throughput against latency",
        y_unit="token/s",
        x_label="median end-to-end latency",
        x_unit="ms",
        empty="tokens were not counted",
    )


def speeds(entries: Sequence[Entry]) -> Plot:
    """Throughput, the highest first."""
    ranked = sorted(entries, key=lambda entry: -(entry.entry.throughput_tokens_per_second or 0))
    return Plot(
        kind="bar",
        series=(Series.of([entry.entry.throughput_tokens_per_second or 0 for entry in ranked], label="throughput"),),
        title="throughput, token/s",
        categories=tuple(_name(entry) for entry in ranked),
    )


def first_tokens(entries: Sequence[Entry]) -> Plot:
    """Time to first token, the lowest median first."""
    known = [(entry, median, far) for entry in entries if (median := _value(entry, 50.0)) is not None and (far := _value(entry, 95.0)) is not None]
    ranked = sorted(known, key=lambda each: each[1])
    return Plot(
        kind="bar",
        series=(Series.of([median for _, median, _ in ranked], label="p50"), Series.of([far for _, _, far in ranked], label="p95")),
        title="time to first token, ms",
        categories=tuple(_name(entry) for entry, _, _ in ranked),
    )


def distribution(entry: Entry) -> Plot:
    """Times to first token of one target's requests."""
    samples = entry.samples.get("ttft_ms", ())
    return Plot(
        kind="hist",
        series=(Series.histogram(samples, 30, f"{entry.letter} {entry.title}".strip()),),
        title=f"time to first token of {len(samples)} requests{f' at {entry.best.level or 0:g}' if entry.is_sweep else ''}",
        x_unit="ms",
        empty="no raw samples were kept",
    )


def _value(entry: Entry, level: float) -> float | None:
    found = percentile(entry.sample("ttft_ms"), level)
    return None if found is None else found.value


def _name(entry: Entry) -> str:
    return clean(f"{entry.letter} {entry.title}".strip(), limit=24)
