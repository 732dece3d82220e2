"""Finished loads as rows that can be compared: a row a target, and below it one a level of its sweep. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import PurePath

from core.benchmark.result import BenchmarkEntry, BenchmarkResult, Level, SampleFigure, Threshold
from core.runs.state.store import Run
from core.sanitize import clean
from tui.benchmark.names import COMPARE, MEASURED
from tui.experiment.finished import Finished

BenchmarkRun = Finished[BenchmarkResult]
Key = tuple[str, str, float | None]
_LETTERS = "abcdefghijklmnopqrstuvwxyz"


@dataclass(frozen=True)
class Entry:
    """One target of one run, or one level of its sweep."""

    run: Run
    result: BenchmarkResult
    entry: BenchmarkEntry
    level: Level | None
    """None: the whole."""
    letter: str
    """In charts; empty of a level."""
    foreign: bool = False
    """Another load, or another machine, than the reference's: their figures cannot be set against each other."""
    alone: bool = False
    """All rows are of one model, which need not be named in each."""

    @property
    def key(self) -> Key:
        return self.run.id, self.entry.name, None if self.level is None else self.level.level

    @property
    def figures(self) -> Level | BenchmarkEntry:
        return self.level or self.entry

    @property
    def best(self) -> Level:
        """The level that the figures of the row are of."""
        return self.level or self.entry.shown

    @property
    def warnings(self) -> Sequence[str]:
        """What the user should know before trusting the figures, each once."""
        return tuple(dict.fromkeys((*self.entry.warnings, *self.result.warnings)))

    @property
    def is_knee(self) -> bool:
        """Whether the sweep bends at this level."""
        return self.level is not None and self.level.level is not None and self.level.level == self.entry.knee

    @property
    def is_sweep(self) -> bool:
        return self.level is None and len(self.entry.levels) > 1

    def sample(self, tag: str) -> SampleFigure | None:
        """A distribution; None where it was not measured."""
        return self.best.metrics.get(tag)

    @property
    def title(self) -> str:
        """Engine and model, or what a server at an address is called; of a level the level."""
        if self.level is not None:
            return f"  {'rate' if self.run.values.get('sweep') == 'rate' else 'concurrency'} {self.level.level or 0:g}"
        if self.entry.command is None or self.run.capability == COMPARE:
            return clean(self.entry.name, limit=120)
        model = "" if self.alone else f" · {PurePath(self.entry.model).name}"
        return clean(f"{self.entry.engine}{', sweep' if self.is_sweep else ''}{model}", limit=120)

    @property
    def samples(self) -> Mapping[str, Sequence[float]]:
        """Raw values by the tag of the metric; of a sweep those of its best level."""
        name = self.entry.name if self.level is None or self.level.level is None else f"{self.entry.name} @ {self.level.level:g}"
        return self.result.samples.get(name, {})

    @property
    def thresholds(self) -> Sequence[Threshold]:
        """Those that this target was held to; of several targets each begins with the name of its own."""
        others = [f"{entry.name}: " for entry in self.result.entries if entry.name != self.entry.name]
        return [each for each in self.result.thresholds if not each.expression.startswith(tuple(others))]


def of_runs(runs: Iterable[Run]) -> list[BenchmarkRun]:
    """The finished loads that can be read, newest first. Touches the disk: call it off the event loop."""
    return [Finished(run, result) for run in runs if run.capability in MEASURED and (result := run.result_as(BenchmarkResult)) is not None]


def rows(runs: Sequence[BenchmarkRun], reference: str = "") -> list[Entry]:
    """Every target of every run, newest run first; the levels of a sweep below their target.

    Args:
        runs: newest first.
        reference: id of the run that the others are set against; the first where it is not among them.
    """
    against = next((each.result for each in runs if each.run.id == reference), runs[0].result if runs else None)
    alone = len({entry.model for each in runs for entry in each.result.entries}) == 1
    found: list[Entry] = []
    letters = iter(_LETTERS)
    for each in runs:
        foreign = against is not None and not alike(against, each.result)
        for entry in each.result.entries:
            found.append(Entry(each.run, each.result, entry, None, next(letters, ""), foreign, alone))
            if len(entry.levels) > 1:
                found += [Entry(each.run, each.result, entry, level, "", foreign, alone) for level in entry.levels]
    return found


def alike(one: BenchmarkResult, other: BenchmarkResult) -> bool:
    """Whether two loads were the same, on the same machine."""
    return one.load == other.load and not one.machine.differing(other.machine)
