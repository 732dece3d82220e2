"""How the Prune tab looks, in every size."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

from textual.pilot import Pilot
from textual.widgets import DataTable

from core.prune.compare.spec import PruneCompareSpec
from core.runs.state.events import Log, Metric
from tests.tui.fakes import NOW
from tests.tui.prune import made
from tests.tui.prune.conftest import open_prune, settle, until
from tests.tui.quantize import made as quantized
from tests.tui.quantize.made import run_of, say
from tui.app import LlmoptApp
from tui.prune.pane import COMPARE, LIVE, PARETO, RESULTS

MakeApp = Callable[..., LlmoptApp]
RUNNING = "20260101-115940-prune-4f1d"
CUT: dict[str, Any] = {
    "bytes_after": 14_300_000,
    "bits_per_weight": 12.8,
    "sparsity": 0.198,
    "parameters_after": 7_150_000,
    "decode_speedup": 1.31,
    "tokens_per_second_after": 276.9,
    "prefill_seconds_after": 0.0301,
    "prefill_speedup": 1.37,
    "speedup_estimate": 1.25,
}


def finished() -> None:
    rows: tuple[tuple[dict[str, Any], float, float, float], ...] = (
        ({"method": "magnitude", "sparsity": 0.5}, 33.1, 0.93, 0.555),
        ({"method": "wanda", "keep": "2:4"}, 24.4, 0.66, 0.611),
        ({"method": "sparsegpt"}, 14.98, 0.1812, 0.802),
        ({"method": "wanda"}, 16.02, 0.2512, 0.7712),
    )
    for number, (values, ppl, kl, top1) in enumerate(rows):
        run = run_of(made.spec(**values), f"20260101-1100{number:02}-prune-00a{number}", "done", created=NOW - 3600 + 30 * number)
        figures: dict[str, Any] = {"ppl_after": ppl, "ppl_ratio": ppl / 12.34, "kl_mean": kl, "top1_agreement": top1}
        made.finish(run, checkpoint=f"/home/ada/models/base-{values['method']}", **figures)


def shown(view: str, *keys: str) -> Callable[[Pilot[None]], Awaitable[None]]:
    """What brings a view to the front and presses keys."""

    async def show(pilot: Pilot[None]) -> None:
        pane = await open_prune(pilot)
        pane.show_view(view)
        await settle(pilot)
        for key in keys:
            await pilot.press(key)
            await settle(pilot)

    return show


def picture(number: int, size: tuple[int, int]) -> Callable[[Pilot[None]], Awaitable[None]]:
    """The picture of that number; in a low window the first comes after the table."""
    return shown(RESULTS, *("m" for _ in range(number + (size[1] < 30))))


async def at_rest(pilot: Pilot[None]) -> None:
    await open_prune(pilot)


def test_the_tab_before_any_run(snap_compare: Any, make_app: MakeApp, size: tuple[int, int]) -> None:
    assert snap_compare(make_app(), terminal_size=size, run_before=at_rest)


def test_no_result_yet(snap_compare: Any, make_app: MakeApp) -> None:
    assert snap_compare(make_app(), terminal_size=(80, 24), run_before=shown(RESULTS))


def test_the_methods(snap_compare: Any, make_app: MakeApp, size: tuple[int, int]) -> None:
    async def pick(pilot: Pilot[None]) -> None:
        pane = await open_prune(pilot)
        pane.setup.form.focus_field("method")
        await pilot.press("enter")
        await until(pilot, lambda: pilot.app.screen.query(DataTable).first().row_count > 0)
        await settle(pilot)

    assert snap_compare(make_app(), terminal_size=size, run_before=pick)


def test_a_pattern(snap_compare: Any, make_app: MakeApp) -> None:
    async def choose(pilot: Pilot[None]) -> None:
        pane = await open_prune(pilot)
        pane.prefill({"keep": "2:4", "swaps": 25})
        await until(pilot, lambda: "keeps" in str(pane.setup.fit.render()))
        await settle(pilot)

    assert snap_compare(make_app(), terminal_size=(80, 24), run_before=choose)


def test_a_run_in_progress(snap_compare: Any, make_app: MakeApp, size: tuple[int, int]) -> None:
    run = run_of(made.spec(), RUNNING, created=NOW - 20)
    say(run, *made.linear_errors(45, NOW - 18))
    say(run, Log(NOW - 15, "calibration: python-stdlib/train, 64 sequences of 512 tokens"), Metric(NOW - 16, "ppl_before", 12.34, 0, ""))

    async def live(pilot: Pilot[None]) -> None:
        pane = await open_prune(pilot)
        await until(pilot, lambda: "45 of 70" in pane.live.query_one("ScrolledLines").plain)  # type: ignore[attr-defined]
        await settle(pilot)

    assert snap_compare(make_app(), terminal_size=size, run_before=live)


def test_blocks_as_they_are_left_out(snap_compare: Any, make_app: MakeApp) -> None:
    say(run_of(made.spec(), RUNNING, created=NOW - 20), *made.without_blocks(7, NOW - 18))
    assert snap_compare(make_app(), terminal_size=(80, 24), run_before=shown(LIVE))


def test_a_stopped_run(snap_compare: Any, make_app: MakeApp) -> None:
    say(run_of(made.spec(), RUNNING, "cancelled", created=NOW - 40, reason="cancelled"), *made.linear_errors(45, NOW - 38))
    assert snap_compare(make_app(), terminal_size=(80, 24), run_before=shown(LIVE))


def test_the_result_beside_earlier_ones(snap_compare: Any, make_app: MakeApp, size: tuple[int, int]) -> None:
    finished()
    assert snap_compare(make_app(), terminal_size=size, run_before=shown(RESULTS))


def test_errors_before_and_after_swaps(snap_compare: Any, make_app: MakeApp, size: tuple[int, int]) -> None:
    parts = {"linears": made.linears(before=1.21, swaps=1900), "pattern": "keep 2 of 4"}
    made.finish(run_of(made.spec(keep="2:4", swaps=25), "20260101-110000-prune-00a0", "done", created=NOW - 3600), parts=parts)
    assert snap_compare(make_app(), terminal_size=size, run_before=picture(1, size))


def test_the_sparsity_of_each_linear(snap_compare: Any, make_app: MakeApp, size: tuple[int, int]) -> None:
    run = run_of(made.spec(allocation="owl"), "20260101-110000-prune-00a0", "done", created=NOW - 3600)
    made.finish(run, parts={"linears": made.linears(uneven=True)})
    assert snap_compare(make_app(), terminal_size=size, run_before=picture(1, size))


def test_the_redundancy_of_each_block(snap_compare: Any, make_app: MakeApp, size: tuple[int, int]) -> None:
    parts = {
        "pattern": "-2 layers", "description": "The 2 blocks without which the KL divergence is least are left out.", "linears": [],
        "blocks": made.blocks((5, 4)), "kept": [{"axis": "layers", "before": 10, "after": 8}], "speed_note": "",
        "agreement": [{"measure": "block influence", "spearman": 0.31}, {"measure": "angular distance", "spearman": 0.87}],
    }  # fmt: skip
    made.finish(run_of(made.spec(), "20260101-110000-prune-00a0", "done", created=NOW - 3600), parts=parts, **CUT)
    assert snap_compare(make_app(), terminal_size=size, run_before=picture(0, size))


def test_the_importance_of_each_head(snap_compare: Any, make_app: MakeApp, size: tuple[int, int]) -> None:
    parts = {
        "pattern": "-2 KV groups", "description": "Whole KV groups with the least output energy are cut.", "importance": made.heads(), "linears": [],
        "kept": [{"axis": "KV groups", "before": 8, "after": 6, "lost": ["K-quants (rows that are multiples of 256)"]}], "speed_note": "",
    }  # fmt: skip
    made.finish(run_of(made.spec(), "20260101-110000-prune-00a0", "done", created=NOW - 3600), parts=parts, **CUT)
    assert snap_compare(make_app(), terminal_size=size, run_before=picture(0, size))


def test_the_comparison(snap_compare: Any, make_app: MakeApp, size: tuple[int, int]) -> None:
    made.compared(run_of(PruneCompareSpec(model="bundled:base"), "20260101-113000-prune-compare-c0de", "done", created=NOW - 1800, seconds=71.2))
    assert snap_compare(make_app(), terminal_size=size, run_before=shown(COMPARE))


def test_all_smaller_forms_of_a_model(snap_compare: Any, make_app: MakeApp, size: tuple[int, int]) -> None:
    for number, (bits, kl, width) in enumerate(((8, 0.0009, 8.61), (4, 0.0123, 5.31), (3, 0.0846, 4.38))):
        run = run_of(quantized.spec(bits=bits), f"20260101-1000{number:02}-quantize-00a{number}", "done", created=NOW - 7200)
        quantized.finish(run, kl_mean=kl, bits_per_weight=width)
    finished()
    made.finish(run_of(made.spec(sparsity=0.2), "20260101-110100-prune-00b0", "done", created=NOW), kl_mean=0.3, **CUT)
    assert snap_compare(make_app(), terminal_size=size, run_before=shown(PARETO, "down", "down", "down", "down"))
