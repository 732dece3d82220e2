"""Pausing, resuming and stopping a load, and what is shown of it meanwhile."""

from __future__ import annotations

from typing import Any

import pytest
from textual.pilot import Pilot

from core.benchmark.events import ErrorsEvent, SecondEvent
from core.runs.state import events
from core.runs.state.files import write_json
from core.runs.state.store import Run
from tests.tui.benchmark import made
from tests.tui.benchmark.conftest import MakeApp, RecordingRuns, open_tab, settle, shown, until
from tests.tui.fakes import NOW, FakeServices
from tui.benchmark.live import load_words
from tui.benchmark.live.progress import BenchmarkProgress
from tui.benchmark.pane import LIVE, RESULTS, BenchmarkPane
from tui.benchmark.results import entries, target_words
from tui.shell.confirm import Confirm
from tui.widgets.live import Line


def second(t: float, **changes: Any) -> events.Detail:
    """What a load of 100 requests reports `t` seconds after it began."""
    values: dict[str, Any] = {"scheduled": 100, "sent": 20, "done": 12, "failed": 0, "timed_out": 0, "running": 8}
    rates = dict.fromkeys(("tokens_per_second", "requests_per_second", "ttft_ms", "itl_ms", "e2el_ms"), None)
    told = SecondEvent(t=t, **(values | rates | changes))
    return events.Detail(NOW + t, SecondEvent.kind, told.data())


def failures(t: float, **reasons: int) -> events.Detail:
    told = ErrorsEvent(reasons=tuple(("failed", reason, count) for reason, count in reasons.items()))
    return events.Detail(NOW + t, ErrorsEvent.kind, told.data())


def progress(t: float, done: int, label: str = "") -> events.Progress:
    return events.Progress(NOW + t, done, 100, label or f"{done} of 100 requests answered")


def progress_of(*said: events.Event) -> BenchmarkProgress:
    progress = BenchmarkProgress()
    progress.add(said)
    return progress


def text(line: Line) -> str:
    return "".join(part for part, _ in line)


PAUSED = (progress(0, 0), second(1, tokens_per_second=50.0), progress(10, 50), second(10, paused=0.5, running=3), second(12, paused=2.5, running=0))


def test_a_pause_is_told_with_its_length_and_what_is_under_way() -> None:
    lines = load_words.figures(progress_of(*PAUSED[:4]), 80, NOW + 11, wished=True)
    assert text(lines[1]) == "‖ paused for 1 s, 3 in flight will finish  p resumes"
    assert len(lines) == load_words.LINES
    assert text(load_words.figures(progress_of(*PAUSED), 80, NOW + 72, wished=True)[1]) == "‖ paused for 1 min 2 s, nothing in flight  p resumes"


def test_one_that_was_asked_for_and_has_not_begun_is_told_as_such() -> None:
    told = progress_of(second(1, tokens_per_second=50.0))
    assert text(load_words.figures(told, 80, NOW + 2, wished=True)[1]).startswith("‖ will pause as soon as it can")
    assert text(load_words.figures(told, 80, NOW + 2)[1]).startswith("now 50")


def test_the_time_left_does_not_grow_by_a_pause() -> None:
    load = progress_of(*PAUSED)
    assert load.seconds_left(NOW + 60) is None, "nobody knows how long it waits"
    load.add([second(40, paused_before=30.0, running=8), progress(40, 50)])
    assert load.paused(NOW + 41) is None
    assert load.seconds_left(NOW + 40) == pytest.approx(10)
    load.add([second(50, paused=10.0, paused_before=30.0), second(50.1, paused_before=40.0), progress(50.1, 50)])
    assert load.seconds_left(NOW + 50) == pytest.approx(10)


def test_the_throughput_of_a_pause_is_drawn_as_none() -> None:
    load = progress_of(second(1, tokens_per_second=50.0), second(2, paused=0.0), second(30, paused_before=28.0), second(31, tokens_per_second=50.0))
    (series,) = load.charted.throughput().series
    assert list(series.y) == [50.0, 0.0, 0.0, 50.0]


def test_errors_are_shown_by_their_reason_as_they_come() -> None:
    progress = progress_of(second(1, failed=3), failures(1, refused=2, broken=1))
    assert [text(line) for line in load_words.errors(progress, 4, 80)] == ["✗ 2 failed refused", "✗ 1 failed broken"]
    progress.add([second(2, failed=9), failures(2, refused=8, broken=1)])
    assert [text(line) for line in load_words.errors(progress, 1, 80)] == ["✗ 8 failed refused  and 1 for other reasons"]
    assert load_words.errors(progress, 0, 80) == []
    long = progress_of(second(1, failed=2), failures(1, **{"x" * 200: 1, "y": 1}))
    (line,) = load_words.errors(long, 1, 60)
    assert len(text(line)) == 60
    assert text(line).endswith("and 1 for other reasons")


def test_errors_of_the_loads_before_stay() -> None:
    """Of a sweep or a comparison, whose loads follow each other."""
    progress = progress_of(second(5, failed=2), failures(5, refused=2), second(1, failed=0), second(2, failed=1), failures(2, refused=1, broken=4))
    assert progress.reasons == [(("failed", "broken"), 4), (("failed", "refused"), 3)]


def test_requests_that_were_cut_off_are_a_part_of_those_that_were_not_answered() -> None:
    (entry,) = made.measured("runtime")["entries"]
    counts = {"scheduled": 12, "done": 5, "failed": 1, "timed_out": 0, "unsent": 6, "cancelled": 2}
    level = entry["levels"][0] | {"requests": counts}
    run = made.done("runtime", entries=[entry | {"requests": counts, "levels": [level]}])
    (found,) = entries.rows(entries.of_runs([run]))
    assert dict(target_words.facts(found))["requests"] == "5 of 12 answered, 1 failed, 6 unsent (2 of them cut off in flight)"


def going(*said: events.Event) -> Run:
    run = made.going(made.SPECS["runtime"], "20260101-115500-benchmark-00ff")
    made.say(run, *said)
    return run


def hints(pane: BenchmarkPane) -> dict[str, str]:
    return {key: active.binding.description for key, active in pane.screen.active_bindings.items()}


async def test_p_lets_a_load_wait_and_go_on(make_app: MakeApp, runs: RecordingRuns) -> None:
    run = going(progress(-20, 0), second(-20), progress(-10, 50), second(-10, tokens_per_second=50.0))
    async with make_app().run_test(size=(80, 24)) as pilot:
        pane = await open_tab(pilot, LIVE)
        await until(pilot, lambda: hints(pane).get("p") == "Pause")
        await pilot.press("p")
        await until(pilot, run.pause_file.exists)
        await until(pilot, lambda: hints(pane).get("p") == "Resume")
        assert "will pause" in shown(pilot)
        made.say(run, second(-1, paused=0.5, running=3))
        await until(pilot, lambda: "paused for" in shown(pilot))
        await pilot.press("p")
        await until(pilot, lambda: not run.pause_file.exists() and hints(pane).get("p") == "Pause")
        assert "paused for" not in shown(pilot)
    assert runs.cancelled == []


async def test_nothing_is_paused_that_is_over_or_not_shown(make_app: MakeApp, services: FakeServices) -> None:
    made.done("runtime")
    async with make_app().run_test(size=(80, 24)) as pilot:
        pane = await open_tab(pilot, LIVE)
        assert "p" not in hints(pane)
        pane.show_view(RESULTS)
        await settle(pilot)
        assert "p" not in hints(pane)


async def test_a_load_is_not_paused_in_read_only_mode(make_app: MakeApp, services: FakeServices) -> None:
    services.read_only = True
    run = going(second(-10))
    async with make_app().run_test(size=(80, 24)) as pilot:
        pane = await open_tab(pilot, LIVE)
        await until(pilot, lambda: pane.load is not None)
        assert "p" not in hints(pane)
        await pilot.press("p")
        await settle(pilot)
    assert not run.pause_file.exists()


async def test_a_load_that_is_stopped_goes_over_into_the_results(make_app: MakeApp, runs: RecordingRuns) -> None:
    run = going(second(-10))
    async with make_app().run_test(size=(80, 24)) as pilot:
        pane = await open_tab(pilot, LIVE)
        await until(pilot, lambda: pane.load_view.going)
        await pilot.press("f8")
        await until(pilot, lambda: isinstance(pilot.app.screen, Confirm))
        assert "answered so far are kept" in shown(pilot)
        write_json(run.path / "result.json", made.measured("runtime") | {"run": run.id, "stopped": "stopped by the user"})
        await pilot.press("y")
        await until(pilot, lambda: pane.bar.active == RESULTS)
        await until(pilot, lambda: pane.results.chosen is not None and pane.results.chosen.run.id == run.id)
    assert runs.cancelled == [run.id]


async def test_one_that_left_nothing_stays_where_it_is(make_app: MakeApp, runs: RecordingRuns) -> None:
    going(second(-10))
    async with make_app().run_test(size=(80, 24)) as pilot:
        pane = await open_tab(pilot, LIVE)
        await until(pilot, lambda: pane.load_view.going)
        await pilot.press("f8")
        await until(pilot, lambda: isinstance(pilot.app.screen, Confirm))
        await pilot.press("y")
        await until(pilot, lambda: not pane.load_view.going)
        await settle(pilot)
        assert pane.bar.active == LIVE


@pytest.mark.parametrize("size", [(80, 24), (60, 20)], ids=["80x24", "60x20"])
def test_a_load_that_waits(snap_compare: Any, make_app: MakeApp, size: tuple[int, int]) -> None:
    """As a worker reported it that was paused under a load of which every seventh request failed."""

    async def look(pilot: Pilot[None]) -> None:
        spec = made.SPECS["failing"].model_copy(update={"requests": 400, "rate": 8.0})
        run = made.going(spec, "20260101-115900-benchmark-4f1d")
        made.say(run, *made.told("paused", NOW - 3))
        run.pause_file.touch()
        pane = await open_tab(pilot, LIVE)
        await until(pilot, lambda: hints(pane).get("p") == "Resume" and "paused for" in shown(pilot))
        await settle(pilot)

    assert snap_compare(make_app(), terminal_size=size, run_before=look)


def test_requests_under_way_are_drawn_as_the_client_counts_them() -> None:
    quiet = progress_of(second(1, running=8), second(2, running=0)).charted.concurrency()
    assert [(series.label, list(series.y)) for series in quiet.series] == [("sent", [8.0, 0.0])]
    told = progress_of(second(1, running=8, server_running=5.0, server_waiting=3.0)).charted.concurrency()
    assert [series.label for series in told.series] == ["sent", "computed by the server", "waiting in it"]
    assert progress_of(second(1, running=0)).charted.concurrency().series == ()
