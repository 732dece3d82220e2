"""Finished runs as rows that can be compared. Pure: reads what the worker wrote, draws nothing."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from core.errors import LlmoptError
from core.runs.state.store import Run
from core.sanitize import clean
from core.speculate.bench.measured import Measured, rows_of
from core.speculate.result import SpeculateResult, SpeculateRow
from core.speculate.spec import SpeculateSpec
from tui.experiment.finished import Column, runs_of_model
from tui.speculate.names import SPECULATE, number
from tui.widgets import words
from tui.widgets.chart.plot import Plot, Series

_ALIKE = ("task", "corpus", "sha256", "prompts", "prompt_tokens", "new_tokens", "batch", "dtype", "device", "threads")
"""Fields of a result that must agree before two speeds can be set against each other."""
_SHORT: Mapping[str, str] = {"model": "draft"}


@dataclass(frozen=True)
class Entry:
    """One measured setting of one run."""

    run: Run
    spec: SpeculateSpec | None
    """What was asked; None where this version cannot read it."""
    measured: Measured
    siblings: tuple[Measured, ...]
    """All settings of the run, this one among them."""

    @property
    def run_id(self) -> str:
        return self.run.id

    @property
    def key(self) -> tuple[str, int, float]:
        return self.run_id, self.row.gamma, self.row.temperature

    @property
    def row(self) -> SpeculateRow:
        return self.measured.row

    @property
    def result(self) -> SpeculateResult:
        """What the whole run found."""
        return self.measured.result

    @property
    def drafter(self) -> str:
        """Who drafted, as short as can be."""
        lossy = "" if self.result.lossless else " (lossy)"
        return _SHORT.get(self.result.drafter, self.result.drafter) + lossy

    def comparable(self, other: Entry) -> bool:
        """Whether both were measured on the same work and machine."""
        return all(getattr(self.result, name) == getattr(other.result, name) for name in _ALIKE)


def of_model(runs: Iterable[Run], model: str) -> list[Entry]:
    """Every setting of the finished runs of a model, newest run first, within a run by temperature and gamma."""
    found: list[Entry] = []
    for run in runs_of_model(runs, SPECULATE, model):
        try:
            rows = rows_of(run)
        except LlmoptError:
            continue
        ordered = sorted(rows, key=lambda each: (each.row.temperature, each.row.gamma))
        found += [Entry(run, run.spec_as(SpeculateSpec), each, rows) for each in ordered]
    return found


def fastest(entries: Sequence[Entry]) -> Entry | None:
    """The fastest setting of the newest run."""
    newest = [entry for entry in entries if entry.run_id == entries[0].run_id]
    return max(newest, key=lambda entry: entry.row.speedup, default=None)


@dataclass(frozen=True)
class Shown:
    """A row of the table, and whether its speeds can be set against those of the chosen row."""

    entry: Entry
    alike: bool


def shown(entries: Sequence[Entry], reference: Entry) -> list[tuple[tuple[str, int, float], Shown]]:
    """Every entry with its key, judged against the chosen one."""
    return [(entry.key, Shown(entry, entry.comparable(reference))) for entry in entries]


def _speedup(item: Shown) -> str:
    speedup = item.entry.row.speedup
    return f"{'' if item.alike else '≠'}{speedup:.2f}{'↓' if speedup < 1 else 'x'}"


def _rate(item: Shown, value: float) -> str:
    return f"{'' if item.alike else '≠'}{words.figure(value, 3)}"


IDENTICAL: Mapping[bool | None, str] = {True: "✓ yes", False: "✗ no", None: "sampled"}

COLUMNS: tuple[Column[Shown], ...] = (
    Column("drafter", 10, lambda item: item.entry.drafter, "left"),
    Column("γ", 3, lambda item: str(item.entry.row.gamma)),
    Column("T", 5, lambda item: number(item.entry.row.temperature)),
    Column("speed-up", 10, _speedup),
    Column("predicted", 11, lambda item: f"{item.entry.row.predicted_speedup:.2f}x"),
    Column("α", 8, lambda item: words.percent(item.entry.row.alpha, 1)),
    Column("c", 7, lambda item: f"{item.entry.row.cost_ratio:.3f}", needs=84),
    Column("v", 6, lambda item: f"{item.entry.row.verification_ratio:.2f}", needs=90),
    Column("tokens/round", 14, lambda item: f"{item.entry.row.tokens_per_round:.2f}", needs=104),
    Column("tokens/s", 10, lambda item: _rate(item, item.entry.row.tokens_per_second), needs=68),
    Column("plain", 9, lambda item: _rate(item, item.entry.row.baseline_tokens_per_second), needs=77),
    Column("identical", 11, lambda item: IDENTICAL[item.entry.row.identical], needs=58),
    Column("run", 6, lambda item: clean(item.entry.run_id.rpartition("-")[2]), needs=110),
)


def by_position(entry: Entry) -> Plot:
    """Share of drafts accepted at each position, a line for each gamma of the run at the same temperature."""
    mine = [each.row for each in entry.siblings if each.row.temperature == entry.row.temperature and each.row.acceptance_by_position]
    mine.sort(key=lambda row: (row.gamma != entry.row.gamma, row.gamma))
    series = tuple(
        Series.of([100 * share for share in row.acceptance_by_position], range(1, len(row.acceptance_by_position) + 1), label=f"γ {row.gamma}")
        for row in mine[:4]
    )
    lowest = min((share for row in mine for share in row.acceptance_by_position), default=0.0)
    longest = max((len(row.acceptance_by_position) for row in mine), default=1)
    return Plot(
        kind="line",
        series=series,
        title=f"judged drafts that were accepted, T {number(entry.row.temperature)}",
        x_label="position in the draft",
        y_unit="%",
        x_limits=(1, max(longest, 2)),
        y_limits=(max(math.floor(10 * lowest - 0.5), 0) * 10, 100),
        empty="nothing was drafted",
    )


def over_gamma(entry: Entry) -> Plot:
    """Measured and predicted speed-up over gamma, at the entry's temperature."""
    mine = sorted((each.row for each in entry.siblings if each.row.temperature == entry.row.temperature), key=lambda row: row.gamma)
    gammas = [row.gamma for row in mine]
    measured = Series.of([row.speedup for row in mine], gammas, label="measured", stroke="points")
    predicted = Series.of([row.predicted_speedup for row in mine], gammas, label="predicted")
    low, high = min(gammas) - 1, max(gammas) + 1
    plain = Series.of([1.0, 1.0], [max(low, 0), high], label="plain decoding", stroke="line")
    return Plot(
        kind="line",
        series=(predicted, measured, plain),
        title=f"speed-up, T {number(entry.row.temperature)}",
        x_label="γ, drafted tokens per round",
        x_limits=(max(low, 0), high),
    )


def side_by_side(entry: Entry, entries: Sequence[Entry]) -> Plot:
    """Measured next to predicted speed-up of every setting that was measured on the same work, whatever the drafter; the fastest first."""
    alike = sorted((each for each in entries if each.comparable(entry)), key=lambda each: -each.row.speedup)
    return Plot(
        kind="bar",
        series=(
            Series.of([each.row.speedup for each in alike], label="measured"),
            Series.of([each.row.predicted_speedup for each in alike], label="predicted"),
        ),
        title="times plain decoding, on the same work",
        categories=tuple(f"{each.drafter} γ {each.row.gamma} T {number(each.row.temperature)}" for each in alike),
    )


def figures(entry: Entry, entries: Sequence[Entry]) -> tuple[Plot, ...]:
    """The charts of a row next to the others, in turns."""
    return by_position(entry), over_gamma(entry), side_by_side(entry, entries)


FIGURES = 3
"""How many there are."""
