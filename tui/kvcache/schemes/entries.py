"""The rows of finished comparisons next to each other: which are comparable, which nothing beats. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from string import ascii_letters

from core.evaluate.comparable import convention_key
from core.kvcache.result import KvCacheResult, KvRow
from core.runs.pareto import on_front
from tui.experiment.finished import Finished

KvRun = Finished[KvCacheResult]


@dataclass(frozen=True)
class Entry:
    """One row of one run."""

    found: KvRun
    row: KvRow
    letter: str = ""
    """Its sign in the chart."""
    on_front: bool = False
    """No other comparable row is both smaller and better."""
    foreign: bool = False
    """Its quality was measured under another convention than the first run's, and cannot be compared with it."""
    elsewhere: bool = False
    """Its times were taken on another device, with other threads or another arithmetic than the first run's."""

    @property
    def key(self) -> tuple[str, str]:
        return self.found.run.id, self.row.name

    @property
    def is_reference(self) -> bool:
        """Whether it is the full cache of the model as it is."""
        return self.row.scheme == self.found.result.reference and self.row.own_heads

    @property
    def when(self) -> str:
        """Time and end of its run's id: `0917-55b5`."""
        parts = self.found.run.id.split("-")
        return f"{parts[1][:4]}-{parts[-1][:4]}" if len(parts) > 2 else self.found.run.id[:9]


def entries(runs: Sequence[KvRun]) -> list[Entry]:
    """Every row of the runs, the first run's order; rows of one name stand together, those of the first run before others'."""
    if not runs:
        return []
    first = runs[0].result
    order = {row.name: place for place, row in reversed(list(enumerate(row for run in runs for row in run.result.rows)))}
    found = [
        Entry(run, row, foreign=_convention(run.result) != _convention(first), elsewhere=_machine(run.result) != _machine(first))
        for run in runs
        for row in run.result.rows
    ]
    found.sort(key=lambda entry: order[entry.row.name])
    front = _front([entry for entry in found if not entry.foreign])
    drawn = iter(ascii_letters)
    return [replace(entry, on_front=entry.key in front, letter=next(drawn, "") if entry.row.refused is None else "") for entry in found]


def refused(shown: Iterable[Entry]) -> list[tuple[str, str]]:
    """(scheme, reason) of those that the model cannot have, each once."""
    return list(dict.fromkeys((entry.row.name, entry.row.refused) for entry in shown if entry.row.refused is not None))


def _convention(result: KvCacheResult) -> tuple[object, ...]:
    return *convention_key(result.evaluation), result.prompt


def _machine(result: KvCacheResult) -> tuple[object, ...]:
    return result.device, result.dtype, result.threads, result.prompt, result.steps


def _front(shown: Sequence[Entry]) -> set[tuple[str, str]]:
    known = {entry.key: (entry.row.bytes_per_token, entry.row.ppl_ratio) for entry in shown}
    placed = {key: (size, ratio) for key, (size, ratio) in known.items() if size is not None and ratio is not None}
    return {key for key, mark in zip(placed, on_front(list(placed.values())), strict=True) if mark}
