"""Targets ranked by what a load test alone does not tell: memory, answers, energy. Pure."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from core.sanitize import clean
from tui.benchmark.results.entries import Entry
from tui.widgets.chart.plot import Plot, Series

Read = Callable[[Entry], float | None]


@dataclass(frozen=True)
class Ranking:
    """One figure of which every target has one."""

    title: str
    read: Read
    lower: bool = True
    """Whether less is better."""


def _memory(entry: Entry) -> float | None:
    server = entry.entry.server
    held = server.gpu_bytes or server.host_bytes
    return None if held is None else held / 2**20


def _share(value: float | None) -> float | None:
    return None if value is None else 100 * value


RANKINGS: tuple[Ranking, ...] = (
    Ranking("time per output token, p50, ms", lambda entry: entry.entry.tpot_ms.p50),
    Ranking("time between tokens, p50, ms", lambda entry: entry.entry.itl_ms.p50),
    Ranking("end to end, p50, ms", lambda entry: entry.entry.e2el_ms.p50),
    Ranking("memory of the server, MiB", _memory),
    Ranking("perplexity", lambda entry: entry.entry.quality.ppl),
    Ranking("KL divergence from the reference, nat", lambda entry: entry.entry.quality.kl_mean),
    Ranking("questions answered correctly, %", lambda entry: _share(entry.entry.quality.accuracy), lower=False),
    Ranking("tokens per joule", lambda entry: entry.entry.server.tokens_per_joule, lower=False),
)


def ranked(entries: Sequence[Entry]) -> tuple[Plot, ...]:
    """Bars of each figure that at least two of these targets have, the best first."""
    return tuple(plot for ranking in RANKINGS if (plot := _bars(ranking, entries)) is not None)


def _bars(ranking: Ranking, entries: Sequence[Entry]) -> Plot | None:
    known = [(value, entry) for entry in entries if (value := ranking.read(entry)) is not None]
    if len(known) < 2:
        return None
    known.sort(key=lambda each: each[0] if ranking.lower else -each[0])
    return Plot(
        kind="bar",
        series=(Series.of([value for value, _ in known]),),
        title=f"{ranking.title} ({'less' if ranking.lower else 'more'} is better)",
        categories=tuple(clean(f"{entry.letter} {entry.title}".strip(), limit=24) for _, entry in known),
    )
