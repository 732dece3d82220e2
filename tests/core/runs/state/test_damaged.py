"""What is damaged in the files of a run counts as not there, and the rest is read."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import pytest

from core.errors import RequestError
from core.quantize.spec import QuantizeSpec
from core.runs.export import FORMATS, export_run
from core.runs.launch.begin import begin
from core.runs.launch.launch import LocalLauncher
from core.runs.pareto import pareto
from core.runs.state import events, store
from core.runs.state.files import read_json
from core.runs.state.store import Run
from tests.core.runs.tick import TickSpec
from tui.runs.detail import detail
from tui.runs.rows import RowReader
from tui.services.live_runs import LiveRuns

HUGE = "1" * 400


def made(state: str = "", result: str = '{"capability": "tick", "metrics": {"ticks": 7}}') -> Run:
    run = store.create(TickSpec(model="bundled:base", device="cpu"))
    (run.path / "state.json").write_text(f'{{"status": "done", "created": 1.7e9, "started": 1.7e9, "ended": 1700000005{state}}}')
    (run.path / "result.json").write_text(result)
    return run


def shown_everywhere(run: Run) -> None:
    """Every reader of a run gets along with it."""
    for exporter in FORMATS.values():
        export_run(run, exporter)
    for row in RowReader(LiveRuns(lambda name: pytest.fail(name))).read(time.time()):
        detail(row, time.time(), 80)


@pytest.mark.parametrize(
    "damage",
    [
        '"created": 1e12',
        '"created": 1e308',
        '"created": NaN',
        '"created": "soon"',
        '"started": -Infinity',
        f'"ended": {HUGE}',
        '"resumed": -1e300',
        f'"progress": {{"done": {HUGE}, "total": 1}}',
        '"progress": [1, 2]',
        '"exit_code": 1e30',
        f'"pid": {HUGE}, "supervisor": -1',
        '"pid_started": Infinity',
        '"host": 5, "exit_reason": ["a"]',
    ],
)
def test_damage_in_the_state_leaves_the_rest(damage: str) -> None:
    run = made(f", {damage}")
    state = run.state
    assert state.status == "done"
    assert abs(state.created - time.time()) < 60 if "created" in damage else state.created == 1.7e9
    shown_everywhere(run)


@pytest.mark.parametrize("text", ["", "[]", '{"created": 5}', '{"status": "flying"}', "5"])
def test_a_state_without_a_status_is_said_to_be_damaged(text: str) -> None:
    run = made()
    (run.path / "state.json").write_text(text)
    assert (run.state.status, run.state.exit_reason) == ("failed", "state.json is missing or damaged")
    shown_everywhere(run)


@pytest.mark.parametrize(
    "result",
    [
        f'{{"capability": "tick", "metrics": {{"ticks": {HUGE}, "ppl": -{HUGE}, "kl_mean": 1e999}}}}',
        '{"capability": "tick", "metrics": {"ppl": 1e308, "peak_bytes": 1e308, "load_seconds": -1e308}}',
        '{"capability": "tick", "metrics": [1]}',
        '{"capability": "tick", "metrics": {"ppl": {"a": [1]}}, "artifacts": 5, "rows": [1, {"bytes": "x"}], "charts": {"memory": [5]}}',
        '{"capability": 5, "evaluation": [], "entries": {}, "rows": {"a": 1}}',
        '[{"metrics": {}}]',
    ],
)
def test_wrong_types_in_a_result_are_shown_as_far_as_they_go(result: str) -> None:
    shown_everywhere(made(result=result))


@pytest.mark.parametrize(
    "field",
    [
        f'"done": {HUGE}, "total": 1, "t": 1',
        '"done": 1, "total": 2, "t": NaN',
        '"done": 1, "total": 2, "t": 1e999',
        '"done": 1, "total": 2, "t": 1e308',
        '"done": 1, "total": 2, "t": -5',
        '"t": "x"',
    ],
)
def test_an_event_with_a_number_that_no_calendar_or_counter_has_is_passed_over(field: str) -> None:
    assert events.parse(f'{{"type": "progress", "label": "", {field}}}'.encode()) is None


def test_only_finite_numbers_are_read_from_a_file(tmp_path: Path) -> None:
    (tmp_path / "x.json").write_text(f"[{HUGE}, 1e999, -Infinity, NaN, 3, -0.5, 1E2, {2**63}]")
    assert read_json(tmp_path / "x.json") == [None, None, None, None, 3, -0.5, 100.0, 2**63]


def _file(folder: Path) -> Path:
    (folder / "file").write_text("")
    return folder / "file"


def _loop(folder: Path) -> Path:
    (folder / "loop").symlink_to("loop")
    return folder / "loop"


def _nowhere(folder: Path) -> Path:
    (folder / "link").symlink_to("gone")
    return folder / "link"


def _runs_is_a_file(folder: Path) -> Path:
    (folder / "home").mkdir()
    (folder / "home" / "runs").write_text("")
    return folder / "home"


LONG_NAMES = [lambda folder, length=length: folder / ("n" * length) for length in (300, 5000)]
HOMES = [_file, _loop, _nowhere, _runs_is_a_file, lambda folder: _file(folder) / "below", *LONG_NAMES]


@pytest.mark.parametrize("place", HOMES)
def test_a_home_that_cannot_be_used_is_said(place: object, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert callable(place)
    monkeypatch.setenv("LLMOPT_HOME", str(place(tmp_path)))
    uses: list[Callable[[], object]] = [
        lambda: store.find("last"),
        lambda: store.create(TickSpec(model="bundled:base")),
        lambda: begin(QuantizeSpec(model="bundled:base"), LocalLauncher()),
        lambda: pareto("bundled:base"),
    ]
    for use in uses:
        with pytest.raises(RequestError, match="set LLMOPT_HOME to a folder"):
            use()


def test_a_home_that_is_not_there_yet_has_no_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LLMOPT_HOME", str(tmp_path / "a" / "b"))
    with pytest.raises(RequestError, match="no run"):
        store.find("last")
    assert store.create(TickSpec(model="bundled:base")).state.status == "queued"
    assert len(list((tmp_path / "a/b/runs").iterdir())) == 1
