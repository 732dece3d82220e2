"""Finished loads as rows that can be set beside each other: a row a target, and below it one a level of its sweep. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from core.benchmark.result import BenchmarkEntry, BenchmarkResult, Level, SampleFigure
from core.benchmark.spec import BenchmarkSpec
from core.runs.store import Run
from core.sanitize import clean
from tui.experiment.finished import Finished, read

BenchmarkRun = Finished[BenchmarkResult]
Key = tuple[str, str, float | None]
_LETTERS = "abcdefghijklmnopqrstuvwxyz"
_MACHINE = ("processor", "cores", "memory_bytes")


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
    """Another load, or another machine, than the first row's: their figures cannot be set against each other."""

    @property
    def key(self) -> Key:
        """What tells it from the others."""
        return self.run.id, self.entry.name, None if self.level is None else self.level.level

    @property
    def figures(self) -> Level | BenchmarkEntry:
        """Where throughput, goodput and requests stand."""
        return self.level or self.entry

    @property
    def best(self) -> Level:
        """The level that the figures of the row are of."""
        if self.level is not None:
            return self.level
        speed = self.entry.throughput_tokens_per_second
        return next((level for level in self.entry.levels if level.throughput_tokens_per_second == speed), self.entry.levels[-1])

    @property
    def is_knee(self) -> bool:
        """Whether the sweep bends at this level."""
        return self.level is not None and self.level.level is not None and self.level.level == self.entry.knee

    @property
    def is_sweep(self) -> bool:
        """Whether several levels were measured."""
        return self.level is None and len(self.entry.levels) > 1

    def sample(self, tag: str) -> SampleFigure | None:
        """A distribution; None where it was not measured."""
        return self.best.metrics.get(tag)

    @property
    def title(self) -> str:
        """Engine and model, or what a server at an address is called; of a level the level."""
        if self.level is not None:
            return f"  {'rate' if self.run.values.get('sweep') == 'rate' else 'concurrency'} {self.level.level or 0:g}"
        return clean(f"{self.entry.engine} · {self.entry.served_model or self.entry.model}" if self.entry.command else self.entry.name, limit=120)


def of_runs(runs: Iterable[Run], chosen: Callable[[Run], bool]) -> list[BenchmarkRun]:
    """The finished loads that can be read, newest first. Touches the disk: call it off the event loop."""
    ours = (run for run in runs if run.capability == BenchmarkSpec.capability and chosen(run))
    found = [Finished(run, result) for run in ours if (result := read(run, BenchmarkResult)) is not None]
    return [each for each in found if all(entry.levels for entry in each.result.entries)]


def rows(runs: Sequence[BenchmarkRun]) -> list[Entry]:
    """Every target of every run, newest run first; the levels of a sweep below their target."""
    found: list[Entry] = []
    targets = 0
    for each in runs:
        foreign = bool(runs) and not alike(runs[0].result, each.result)
        for entry in each.result.entries:
            letter = _LETTERS[targets] if targets < len(_LETTERS) else ""
            targets += 1
            found.append(Entry(each.run, each.result, entry, None, letter, foreign))
            if len(entry.levels) > 1:
                found += [Entry(each.run, each.result, entry, level, "", foreign) for level in entry.levels]
    return found


def alike(one: BenchmarkResult, other: BenchmarkResult) -> bool:
    """Whether two loads were the same, on the same machine."""
    return one.load == other.load and all(one.machine.get(name) == other.machine.get(name) for name in _MACHINE)
