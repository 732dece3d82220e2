"""One line a run, gathered off the event loop. What is over is read once."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from core.measure.units import duration
from core.runs.compare.compare import metrics_of
from core.runs.figures import show
from core.sanitize import clean
from tui.runs.words import MARKS, when
from tui.services.over import Over

if TYPE_CHECKING:
    from core.runs.state.state import State
    from core.runs.state.store import Run
    from tui.services.services import Runs

_FIGURES = (
    ("ppl_ratio", "ppl ×{}"),
    ("ppl", "ppl {}"),
    ("kl_mean", "KL {}"),
    ("bits_per_weight", "{} bit/weight"),
    ("top1_agreement", "top-1 {}"),
    ("speedup", "speed ×{}"),
    ("alpha", "α {}"),
    ("total_variation", "TV {}"),
)


@dataclass(frozen=True)
class RunRow:
    """What the table shows of a run, in plain text."""

    run: Run
    state: State
    what: str
    model: str
    started: str
    took: str
    figures: str

    @property
    def id(self) -> str:
        return self.run.id

    @property
    def status(self) -> str:
        """The state with its sign, and the progress while it runs."""
        text = f"{MARKS[self.state.status]} {self.state.status}"
        if self.state.status == "running" and self.state.progress is not None:
            return f"{text} {self.state.progress.fraction:.0%}"
        return text

    def matches(self, query: str) -> bool:
        """Whether every word of the query occurs somewhere in the line."""
        text = f"{self.id} {self.run.capability} {self.status} {self.what} {self.model} {self.figures}".lower()
        return all(word in text for word in query.lower().split())


class RowReader:
    """Keeps the lines of runs that are over."""

    def __init__(self, runs: Runs) -> None:
        self._runs = runs
        self._over = Over()
        self._rows: dict[str, RunRow] = {}

    def read(self, now: float) -> list[RunRow]:
        """Every run, newest first."""
        return [self._rows[run.id] if self._over.knows(run) else self._row(run, now) for run in self._runs.list_runs()]

    def _row(self, run: Run, now: float) -> RunRow:
        state = self._runs.state(run)
        self._over.note(run, state)
        seconds = state.seconds(now)
        row = RunRow(
            run=run,
            state=state,
            what=what(run),
            model=run.model,
            started=when(state.started or state.created, now),
            took="" if seconds is None else duration(seconds),
            figures=headline_figures(run.result),
        )
        self._rows[run.id] = row
        return row


def what(run: Run) -> str:
    """The capability and what was asked of it: `quantize gptq 4 bit g128`, `speculate bundled:draft, γ 4, T 0`."""
    return clean(f"{run.capability} {run.summary}".strip(), limit=60)


def figures(result: dict[str, Any] | None) -> dict[str, float]:
    """The numbers of a result, with names that are safe to show."""
    return {clean(name, limit=60): value for name, value in metrics_of(result or {}).items()}


def headline_figures(result: dict[str, Any] | None) -> str:
    """The few figures that distinguish runs."""
    found = figures(result)
    return "  ".join(text.format(show(name, found[name])) for name, text in _FIGURES if name in found)[:60]
