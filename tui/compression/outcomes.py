"""Finished runs of one model in a table, and what the chosen one did."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar, Generic, Protocol, TypeVar

from rich.text import Text
from textual import on
from textual.widgets import DataTable

from core.errors import LlmoptError
from core.models.card import ModelCard
from core.runs.state.store import Run
from core.spec import Values
from tui.experiment.finished import ReadsRuns
from tui.experiment.table_or_chart import TableOrChart
from tui.services.services import services_of


class Outcome(Protocol):
    """What one finished run measured."""

    @property
    def run_id(self) -> str: ...

    @property
    def values(self) -> Values:
        """Of the form that asks for such a run."""

    @property
    def out(self) -> str:
        """Folder of the checkpoint."""


O = TypeVar("O", bound=Outcome)  # noqa: E741


class OutcomesView(TableOrChart, ReadsRuns[list[O]], Generic[O]):
    """Figures of the chosen run above, all runs of the model in a table, and a chart of what the chosen one did."""

    COLUMNS: ClassVar[tuple[tuple[str, int], ...]]
    """Title and width, the gap to the next column included."""

    def __init__(self, id: str | None = None) -> None:  # noqa: A002
        super().__init__(id=id)
        self.outcomes: list[O] = []
        self.chosen: O | None = None
        """The run whose figures are shown."""
        self._wanted: str | None = None
        """Id of the run that is to be shown as soon as it is read."""

    # -- what a subclass says

    def read_outcomes(self, runs: Sequence[Run], card: ModelCard | None) -> list[O]:
        """The finished runs of the model, newest first. Runs in a thread.

        Args:
            runs: of this home, newest first.
            card: the model's; None when it is gone.
        """
        raise NotImplementedError

    def cells(self, outcome: O, reference: O) -> tuple[str, ...]:
        """One row of the table, with what cannot be compared with the reference marked."""
        raise NotImplementedError

    def nothing_yet(self) -> str:
        """How to get a first result."""
        raise NotImplementedError

    def draw_outcome(self, chosen: O) -> None:
        """Show the figures of the chosen run."""
        raise NotImplementedError

    # -- what follows from that

    def on_mount(self) -> None:
        for name, width in self.COLUMNS:
            self.table.add_column(name, key=name, width=width)

    def load(self, model_name: str, run_id: str | None = None) -> None:
        self._wanted = run_id or self._wanted
        super().load(model_name, run_id)

    def read_runs(self, runs: Sequence[Run], run_id: str | None) -> list[O]:  # noqa: ARG002
        return self.read_outcomes(runs, self._card())

    def _card(self) -> ModelCard | None:
        try:
            return services_of(self).models.resolve(self.model_name).card()
        except LlmoptError:
            return None

    def show_found(self, found: list[O], run_id: str | None) -> None:
        self.outcomes = found
        keep = run_id or self._wanted or (self.chosen.run_id if self.chosen is not None else None)
        self._wanted = None
        self.chosen = next((each for each in found if each.run_id == keep), found[0] if found else None)
        self.figure = min(self.figure, self.figures() - 1)
        self.set_class(self.chosen is None, "-nothing")
        if self.chosen is None:
            self.head.update(self.nothing_yet())
        else:
            self._fill(self.chosen)
        self.draw()
        self.refresh_bindings()

    def values(self) -> Values | None:
        return self.chosen.values if self.chosen is not None else None

    def draw(self) -> None:
        if self.chosen is not None:
            self.draw_outcome(self.chosen)

    def _fill(self, chosen: O) -> None:
        with self.prevent(DataTable.RowHighlighted):
            self.table.clear()
            for each in self.outcomes:
                self.table.add_row(*map(_cut, self.cells(each, chosen), self.COLUMNS), key=each.run_id)
            self.table.move_cursor(row=self.outcomes.index(chosen))

    @on(DataTable.RowHighlighted)
    def _moved(self, event: DataTable.RowHighlighted) -> None:
        event.stop()
        if event.cursor_row < len(self.outcomes) and self.outcomes[event.cursor_row] is not self.chosen:
            self.chosen = self.outcomes[event.cursor_row]
            self.figure = min(self.figure, self.figures() - 1)
            self.draw()


def _cut(cell: str, column: tuple[str, int]) -> Text:
    text = Text(cell)
    text.truncate(column[1] - 1, overflow="ellipsis")
    return text
