"""How the KV-cache tab looks, in every size. Results and events are those of measured runs."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from textual.pilot import Pilot
from textual.widgets import DataTable

from core.kvcache.pages.spec import PagesSpec
from core.kvcache.spec import KvCacheSpec
from core.kvcache.why.spec import KvCacheWhySpec
from core.runs.state.events import Log, Metric, Progress
from tests.tui.fakes import NOW, FakeServices
from tests.tui.kvcache import made
from tests.tui.kvcache.conftest import open_tab, settle, shown, until
from tui.app import LlmoptApp
from tui.kvcache.pane import CHART, FIT, LIVE, PAGES, TABLE, WHY
from tui.widgets.form.mark_picker import MarkPicker

MakeApp = Callable[..., LlmoptApp]
Size = tuple[int, int]


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


def test_a_table_before_any_run(snap_compare: Any, make_app: MakeApp) -> None:
    assert snap_compare(make_app(), terminal_size=(80, 24), run_before=view(TABLE))


def test_read_only(snap_compare: Any, make_app: MakeApp, services: FakeServices) -> None:
    services.read_only = True
    assert snap_compare(make_app(), terminal_size=(80, 24), run_before=view(""))


def test_a_form_with_a_mistake(snap_compare: Any, make_app: MakeApp, size: Size) -> None:
    async def mistake(pilot: Pilot[None]) -> None:
        pane = await open_tab(pilot)
        pane.setup.form.focus_field("budget")
        await pilot.press("backspace", "backspace", "backspace", "3")
        await settle(pilot)

    assert snap_compare(make_app(), terminal_size=size, run_before=mistake)


def test_a_request_that_the_model_refuses(snap_compare: Any, make_app: MakeApp) -> None:
    async def misfit(pilot: Pilot[None]) -> None:
        pane = await open_tab(pilot)
        pane.setup.form.set_value("context", 4096)
        await until(pilot, lambda: "positions" in shown(pilot))
        await settle(pilot)

    assert snap_compare(make_app(), terminal_size=(80, 24), run_before=misfit)


def test_schemes_to_mark(snap_compare: Any, make_app: MakeApp, size: Size) -> None:
    async def pick(pilot: Pilot[None]) -> None:
        pane = await open_tab(pilot)
        pane.setup.form.focus_field("schemes")
        await pilot.press("enter")
        await until(pilot, lambda: isinstance(pilot.app.screen, MarkPicker) and pilot.app.screen.query_one(DataTable).row_count > 0)
        await pilot.press("down", "space")
        await settle(pilot)

    assert snap_compare(make_app(), terminal_size=size, run_before=pick)


def test_a_comparison_in_progress(snap_compare: Any, make_app: MakeApp, size: Size) -> None:
    run = made.going(KvCacheSpec(model="bundled:base"), "20260101-115900-kv-cache-4f1d")
    begin = Progress(NOW - 58, 0, 11640, "reading bundled:base")
    said = made.told("schemes", NOW - 55, 0.2)
    made.say(run, begin, *said, Progress(NOW - 1, 5200, 11640, "fp8-e5m2: perplexity through the cache"), Log(NOW - 1, "8 windows of 1024 tokens"))

    async def live(pilot: Pilot[None]) -> None:
        pane = await open_tab(pilot)
        await until(pilot, lambda: pane.schemes._table.row_count == 6)
        await settle(pilot)

    assert snap_compare(make_app(), terminal_size=size, run_before=live)


def test_a_comparison_that_failed(snap_compare: Any, make_app: MakeApp) -> None:
    reason = "the logits of step 212 are not numbers: compute in float32"
    made.run_of(KvCacheSpec(model="bundled:base"), "20260101-115900-kv-cache-4f1d", "failed", created=NOW - 60, reason=reason)
    assert snap_compare(make_app(), terminal_size=(80, 24), run_before=view(LIVE))


def test_schemes_in_a_table(snap_compare: Any, make_app: MakeApp, size: Size) -> None:
    made.schemes_done()
    assert snap_compare(make_app(), terminal_size=size, run_before=view(TABLE, "down", *["down"] * 7))


def test_two_runs_in_a_table(snap_compare: Any, make_app: MakeApp) -> None:
    made.schemes_done()
    made.schemes_done("20260101-115000-kv-cache-0a02", threads=8)
    assert snap_compare(make_app(), terminal_size=(120, 36), run_before=view(TABLE, "c"))


def test_memory_against_quality(snap_compare: Any, make_app: MakeApp, size: Size) -> None:
    made.schemes_done()
    assert snap_compare(make_app(), terminal_size=size, run_before=view(CHART))


def test_memory_against_needles(snap_compare: Any, make_app: MakeApp) -> None:
    made.schemes_done()
    assert snap_compare(make_app(), terminal_size=(80, 24), run_before=view(CHART, "m", "m", "m"))


def test_why_a_cache(snap_compare: Any, make_app: MakeApp, size: Size) -> None:
    made.why_done()
    assert snap_compare(make_app(), terminal_size=size, run_before=view(WHY))


def test_the_growth_in_words(snap_compare: Any, make_app: MakeApp, size: Size) -> None:
    made.why_done()
    keys = ("m",) if size == (120, 36) else ("m", "m")
    assert snap_compare(make_app(), terminal_size=size, run_before=view(WHY, *keys))


def test_why_in_progress(snap_compare: Any, make_app: MakeApp) -> None:
    run = made.going(KvCacheWhySpec(model="bundled:base"), "20260101-115900-kv-cache-why-4f1d")
    said = [Metric(NOW - 20, "token_ms", row.with_ms, row.tokens, "with a cache") for row in made.why().rows]
    made.say(run, Progress(NOW - 58, 0, 900, "with a cache"), *said, Progress(NOW - 1, 400, 900, "without a cache, once of 3 times"))
    assert snap_compare(make_app(), terminal_size=(80, 24), run_before=view(WHY))


def test_pages_in_progress(snap_compare: Any, make_app: MakeApp, size: Size) -> None:
    run = made.going(PagesSpec(model="bundled:base"), "20260101-115900-kv-cache-pages-4f1d")
    begin = Progress(NOW - 58, 0, 1100, "reading bundled:base")
    made.say(run, begin, *made.told("pages", NOW - 20), Progress(NOW - 1, 460, 1100, "decoding 6 sequences, 4 waiting"))

    async def live(pilot: Pilot[None]) -> None:
        pane = await open_tab(pilot)
        await until(pilot, lambda: pane.pages.decode.follower.progress.event is not None)
        await settle(pilot)

    assert snap_compare(make_app(), terminal_size=size, run_before=live)


def test_pages_of_a_decode(snap_compare: Any, make_app: MakeApp, size: Size) -> None:
    made.pages_done()
    assert snap_compare(make_app(), terminal_size=size, run_before=view(PAGES))


def test_pages_and_simulation_in_a_tall_window(snap_compare: Any, make_app: MakeApp) -> None:
    made.pages_done()
    made.simulation_done()
    assert snap_compare(make_app(), terminal_size=(140, 60), run_before=view(PAGES))


def test_a_simulated_scheduler(snap_compare: Any, make_app: MakeApp, size: Size) -> None:
    made.simulation_done()
    assert snap_compare(make_app(), terminal_size=size, run_before=view(PAGES, "m"))


def test_a_simulation_in_progress(snap_compare: Any, make_app: MakeApp) -> None:
    run = made.going(PagesSpec(model="bundled:base", mode="simulate"), "20260101-115900-kv-cache-pages-4f1d")
    made.say(run, *made.told("simulation", NOW - 20))
    assert snap_compare(make_app(), terminal_size=(80, 24), run_before=view(PAGES, "m"))


def test_what_fits(snap_compare: Any, make_app: MakeApp, size: Size) -> None:
    assert snap_compare(make_app(), terminal_size=size, run_before=view(FIT, "down", "down", "down"))


def test_what_fits_as_a_grid(snap_compare: Any, make_app: MakeApp) -> None:
    assert snap_compare(make_app(), terminal_size=(80, 24), run_before=view(FIT, "m"))
