"""What the tabs of experiments share, without a tab: the progress, finished runs, the table of results."""

from __future__ import annotations

from dataclasses import dataclass

import pytest
from textual.app import App, ComposeResult

from core.models.resolve import resolve
from core.runs import registry
from core.runs.state.events import Log, Metric, Progress, StateChange
from core.runs.state.files import write_json
from tests.core.runs import tick
from tests.core.runs.tick.result import TickResult
from tests.tui.fakes import write_run
from tui.experiment.finished import Column, ResultTable, of_model
from tui.experiment.progress import RunProgress
from tui.services.live_runs import LiveRuns


def test_the_progress_keeps_metrics_by_name_and_curves_by_label() -> None:
    progress = RunProgress()
    progress.add(
        [
            Metric(1.0, "ppl", 9.0, 0, ""),
            Metric(2.0, "ppl", 8.0, 0, ""),
            Metric(3.0, "ppl", 7.0, 16, "int8"),
            Metric(4.0, "ppl", None, 32, "int8"),
            Log(5.0, "a line"),
        ]
    )
    assert progress.metrics == {"ppl": 8.0}
    assert progress.curves == {"ppl": {"int8": {16: 7.0, 32: None}}}
    assert progress.log == ["a line"]


def test_time_left_follows_the_pace_since_the_run_was_last_started() -> None:
    progress = RunProgress()
    progress.add([Progress(0.0, 0, 100, "")])
    assert progress.seconds_left(10.0) is None, "before a twentieth is done the pace says little"
    progress.add([Progress(10.0, 20, 100, "")])
    assert progress.seconds_left(10.0) == 40.0
    progress.add([StateChange(500.0, "queued", ""), Progress(500.0, 20, 100, ""), Progress(510.0, 60, 100, "")])
    assert progress.seconds_left(510.0) == 10.0, "what was done before it was stopped says nothing of the pace"


def test_finished_runs_of_a_model_are_read_and_others_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(registry.CAPABILITIES, "tick", tick.CAPABILITY)
    for number, (model, ticks) in enumerate((("a", 1), ("b", 2), ("a", None), ("a", 4))):
        folder = write_run(f"20260101-11000{number}-tick-000{number}", spec={"model": model})
        write_json(folder / "result.json", {"capability": "tick", "run": "x"} | ({} if ticks is None else {"metrics": {"ticks": ticks}, "spec": {}}))
    found = of_model(LiveRuns(resolve).list_runs(), "tick", "a", TickResult)
    assert [each.result.metrics.ticks for each in found] == [4, 1], "newest first, without the one of another version"


@dataclass(frozen=True)
class Thing:
    name: str
    score: float


COLUMNS = (
    Column[Thing]("name", 8, lambda thing: thing.name, "left"),
    Column[Thing]("score", 8, lambda thing: f"{thing.score:.1f}"),
    Column[Thing]("wide", 10, lambda thing: thing.name * 20, needs=60),
)


class Host(App[None]):
    def compose(self) -> ComposeResult:
        yield ResultTable(COLUMNS)


async def test_a_table_of_results_aligns_cuts_and_keeps_its_cursor_by_key() -> None:
    things = [Thing(name, score) for name, score in (("one", 1.0), ("two", 22.0), ("three", 333.0))]
    async with Host().run_test(size=(40, 10)) as pilot:
        table = pilot.app.query_one(ResultTable)
        table.show([(thing.name, thing) for thing in things])
        assert [str(column.label) for column in table.columns.values()] == ["name", "  score"]
        assert [str(cell) for cell in table.get_row_at(1)] == ["two", "   22.0"]
        table.move_cursor(row=1)
        table.show([(thing.name, thing) for thing in reversed(things)])
        assert table.current == things[1]
        table.show([(thing.name, thing) for thing in things[:1]])
        assert table.current == things[0]
        table.show([])
        assert table.current is None


async def test_a_table_of_results_has_more_columns_in_a_wider_window() -> None:
    async with Host().run_test(size=(40, 10)) as pilot:
        table = pilot.app.query_one(ResultTable)
        table.show([("one", Thing("one", 1.0))])
        await pilot.resize_terminal(80, 10)
        await pilot.pause()
        assert [str(column.label) for column in table.columns.values()] == ["name", "  score", "     wide"]
        assert str(table.get_row_at(0)[2]) == "oneoneon…"
