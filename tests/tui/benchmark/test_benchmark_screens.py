"""How the Benchmark tab looks, in every size. Results and events are those of measured loads."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from textual.pilot import Pilot

from tests.tui.benchmark import made
from tests.tui.benchmark.conftest import MakeApp, open_tab, settle, until
from tests.tui.fakes import NOW
from tui.benchmark.pane import LIVE, MACHINE, RESULTS, SERVERS

Size = tuple[int, int]


LOW, WIDE, NARROW = (80, 24), (120, 36), (60, 20)


def at(*sizes: Size) -> pytest.MarkDecorator:
    """In these sizes alone, where the others would show what another screen shows already."""
    return pytest.mark.parametrize("size", sizes, ids=[f"{columns}x{lines}" for columns, lines in sizes])


def view(name: str, *keys: str) -> Callable[[Pilot[None]], Any]:
    """Open a view, then press keys."""

    async def look(pilot: Pilot[None]) -> None:
        await open_tab(pilot, name)
        for key in keys:
            await pilot.press(key)
            await settle(pilot)

    return look


def test_the_tab_before_any_run(snap_compare: Any, make_app: MakeApp, size: Size) -> None:
    assert snap_compare(make_app(), terminal_size=size, run_before=view(""))


def test_results_before_any_run(snap_compare: Any, make_app: MakeApp) -> None:
    assert snap_compare(make_app(), terminal_size=(80, 24), run_before=view(RESULTS))


@at(LOW)
def test_an_address(snap_compare: Any, make_app: MakeApp, size: Size) -> None:
    async def attach(pilot: Pilot[None]) -> None:
        pane = await open_tab(pilot)
        pane.setup.form.set_values(made.SPECS["failing"].model_dump(exclude_defaults=True))
        await settle(pilot)

    assert snap_compare(make_app(), terminal_size=size, run_before=attach)


def test_a_load_in_progress(snap_compare: Any, make_app: MakeApp, size: Size) -> None:
    run = made.going(made.SPECS["failing"], "20260101-115900-benchmark-4f1d")
    made.say(run, *made.told("failing", NOW - 1)[:-12])

    async def live(pilot: Pilot[None]) -> None:
        pane = await open_tab(pilot)
        await until(pilot, lambda: pane.load_view.follower is not None and pane.load_view.follower.progress.charted.seconds)
        await settle(pilot)

    assert snap_compare(make_app(), terminal_size=size, run_before=live)


def test_a_sweep_in_progress(snap_compare: Any, make_app: MakeApp) -> None:
    run = made.going(made.SPECS["sweep"], "20260101-115900-benchmark-4f1d")
    made.say(run, *made.told("sweep", NOW - 1)[:-6])
    assert snap_compare(make_app(), terminal_size=(120, 36), run_before=view(LIVE, "m"))


def test_a_load_that_failed(snap_compare: Any, make_app: MakeApp) -> None:
    reason = "the server of vLLM ended with exit code 1 before it answered: the GPU's memory is too small: lower gpu-memory or context"
    made.run_of(made.SPECS["runtime"], "20260101-115900-benchmark-4f1d", "failed", created=NOW - 60, reason=reason)
    assert snap_compare(make_app(), terminal_size=(80, 24), run_before=view(LIVE))


def test_results(snap_compare: Any, make_app: MakeApp, size: Size) -> None:
    made.everything()
    assert snap_compare(make_app(), terminal_size=size, run_before=view(RESULTS))


@at(LOW, NARROW)
def test_results_in_words(snap_compare: Any, make_app: MakeApp, size: Size) -> None:
    made.done("failing")
    made.done("runtime")
    keys = ("c", "down") if size[0] >= 100 else ("c", "m")
    assert snap_compare(make_app(), terminal_size=size, run_before=view(RESULTS, *keys))


def test_a_result_against_the_reference(snap_compare: Any, make_app: MakeApp) -> None:
    made.everything()
    assert snap_compare(make_app(), terminal_size=(120, 36), run_before=view(RESULTS, "down", "down"))


def test_throughput_against_latency(snap_compare: Any, make_app: MakeApp) -> None:
    made.everything()
    assert snap_compare(make_app(), terminal_size=(80, 24), run_before=view(RESULTS, "m", "m"))


def test_results_in_a_wide_window(snap_compare: Any, make_app: MakeApp) -> None:
    made.everything()
    assert snap_compare(make_app(), terminal_size=(170, 50), run_before=view(RESULTS, "c", "m"))


@at(LOW)
def test_the_form_of_a_comparison(snap_compare: Any, make_app: MakeApp, size: Size) -> None:
    assert snap_compare(make_app(), terminal_size=size, run_before=view("", "f6"))


def test_a_comparison(snap_compare: Any, make_app: MakeApp) -> None:
    made.comparison()
    assert snap_compare(make_app(), terminal_size=(120, 36), run_before=view(RESULTS))


def test_no_server_yet(snap_compare: Any, make_app: MakeApp) -> None:
    assert snap_compare(make_app(), terminal_size=(80, 24), run_before=view(SERVERS))


@at(NARROW, WIDE)
def test_servers(snap_compare: Any, make_app: MakeApp, size: Size) -> None:
    made.server("20260101-113000-serve-0b02", "done", NOW - 1800)
    made.server()
    assert snap_compare(make_app(), terminal_size=size, run_before=view(SERVERS))


def test_the_requests_of_a_server_in_a_low_window(snap_compare: Any, make_app: MakeApp) -> None:
    made.server()
    assert snap_compare(make_app(), terminal_size=(80, 24), run_before=view(SERVERS, "m"))


def test_a_server_that_did_not_start(snap_compare: Any, make_app: MakeApp) -> None:
    reason = "the server ended with exit code 2 before it answered: port 8000 is in use: give another, or 0 for a free one"
    made.run_of(made.SERVER, "20260101-115900-serve-4f1d", "failed", created=NOW - 60, reason=reason)
    assert snap_compare(make_app(), terminal_size=(80, 24), run_before=view(SERVERS))


@at(NARROW)
def test_the_form_of_a_server(snap_compare: Any, make_app: MakeApp, size: Size) -> None:
    assert snap_compare(make_app(), terminal_size=size, run_before=view("", "f6", "f6"))


def test_the_form_of_the_machine(snap_compare: Any, make_app: MakeApp) -> None:
    assert snap_compare(make_app(), terminal_size=(80, 24), run_before=view("", "f6", "f6", "f6"))


@at(LOW, NARROW)
def test_the_machine(snap_compare: Any, make_app: MakeApp, size: Size) -> None:
    made.machine()
    assert snap_compare(make_app(), terminal_size=size, run_before=view(MACHINE))


@at(LOW, WIDE)
def test_the_roofline(snap_compare: Any, make_app: MakeApp, size: Size) -> None:
    made.machine()
    assert snap_compare(make_app(), terminal_size=size, run_before=view(MACHINE, "m", *(() if size[0] >= 100 else ("m", "m"))))


def test_a_machine_that_is_being_measured(snap_compare: Any, make_app: MakeApp) -> None:
    run = made.going(made.MACHINE, "20260101-115900-benchmark-machine-4f1d")
    made.say(run, *made.told("machine", NOW - 1)[:30])
    assert snap_compare(make_app(), terminal_size=(120, 36), run_before=view(MACHINE, "m"))
