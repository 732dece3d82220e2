"""How the Distill tab looks, in every size."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

from textual.pilot import Pilot

from core.distill.compare.spec import DistillCompareSpec
from tests.tui.distill import made
from tests.tui.distill.conftest import open_distill, settle, until
from tests.tui.fakes import NOW
from tests.tui.prune import made as pruned
from tests.tui.quantize.made import run_of, say
from tui.app import LlmoptApp
from tui.distill.pane import COMPARE, LIVE, PARETO, RESULTS

MakeApp = Callable[..., LlmoptApp]
RUNNING = "20260101-115940-distill-4f1d"


def finished() -> None:
    rows: tuple[tuple[dict[str, Any], float, float], ...] = (
        ({"alpha": 0.0}, 0.31, 0.48),
        ({"features": "hidden"}, 0.13, 0.83),
        ({}, 0.148, 0.809),
    )
    for number, (values, kl, gap) in enumerate(rows):
        run = run_of(made.spec(**values), f"20260101-1100{number:02}-distill-00a{number}", "done", created=NOW - 3600 + 30 * number)
        made.finish(run, checkpoint="/home/ada/models/base-7-blocks", floor=kl - 0.02, kl_mean=kl, gap_closed=gap)


def shown(view: str, *keys: str) -> Callable[[Pilot[None]], Awaitable[None]]:
    """What brings a view to the front and presses keys."""

    async def show(pilot: Pilot[None]) -> None:
        pane = await open_distill(pilot)
        pane.show_view(view)
        await settle(pilot)
        for key in keys:
            await pilot.press(key)
            await settle(pilot)

    return show


async def at_rest(pilot: Pilot[None]) -> None:
    await open_distill(pilot)


def test_the_tab_before_any_run(snap_compare: Any, make_app: MakeApp, size: tuple[int, int]) -> None:
    assert snap_compare(make_app(), terminal_size=size, run_before=at_rest)


def test_no_result_yet(snap_compare: Any, make_app: MakeApp) -> None:
    assert snap_compare(make_app(), terminal_size=(80, 24), run_before=shown(RESULTS))


def test_a_training_that_does_not_fit(snap_compare: Any, make_app: MakeApp) -> None:
    async def large(pilot: Pilot[None]) -> None:
        pane = await open_distill(pilot)
        pane.prefill({"tokens_per_step": 262144})
        await until(pilot, lambda: "are free" in str(pane.setup.fit.render()))
        await settle(pilot)

    assert snap_compare(make_app(), terminal_size=(80, 24), run_before=large)


def test_a_training_in_progress(snap_compare: Any, make_app: MakeApp, size: tuple[int, int]) -> None:
    say(run_of(made.spec(), RUNNING, created=NOW - 110), *made.training(100, NOW - 105))

    async def live(pilot: Pilot[None]) -> None:
        pane = await open_distill(pilot)
        await until(pilot, lambda: "step 90" in pane.lives["distill"].gap.plain)  # type: ignore[attr-defined]
        await settle(pilot)

    assert snap_compare(make_app(), terminal_size=size, run_before=live)


def test_where_the_student_differs_in_a_low_window(snap_compare: Any, make_app: MakeApp) -> None:
    say(run_of(made.spec(), RUNNING, created=NOW - 110), *made.training(100, NOW - 105))
    assert snap_compare(make_app(), terminal_size=(80, 24), run_before=shown(LIVE, "m", "m", "m", "m"))


def test_several_trainings_over_each_other(snap_compare: Any, make_app: MakeApp) -> None:
    run = run_of(DistillCompareSpec(model="bundled:base"), "20260101-115000-distill-compare-1a2b", created=NOW - 500)
    say(run, *made.training(100, NOW - 400, "text alone"), *made.training(60, NOW - 250, "predictions"))
    assert snap_compare(make_app(), terminal_size=(120, 36), run_before=shown(LIVE))


def test_a_stopped_training(snap_compare: Any, make_app: MakeApp) -> None:
    say(run_of(made.spec(), RUNNING, "cancelled", created=NOW - 110, reason="cancelled"), *made.training(45, NOW - 100))
    assert snap_compare(make_app(), terminal_size=(80, 24), run_before=shown(LIVE))


def test_the_result_beside_earlier_ones(snap_compare: Any, make_app: MakeApp, size: tuple[int, int]) -> None:
    finished()
    assert snap_compare(make_app(), terminal_size=size, run_before=shown(RESULTS))


def test_where_the_result_still_differs(snap_compare: Any, make_app: MakeApp, size: tuple[int, int]) -> None:
    finished()
    assert snap_compare(make_app(), terminal_size=size, run_before=shown(RESULTS, *("m" for _ in range(3 + (size[1] < 30)))))


def test_the_comparison(snap_compare: Any, make_app: MakeApp, size: tuple[int, int]) -> None:
    made.compared(run_of(DistillCompareSpec(model="bundled:base"), "20260101-113000-distill-compare-c0de", "done", created=NOW - 1800, seconds=402.0))
    assert snap_compare(make_app(), terminal_size=size, run_before=shown(COMPARE))


def test_students_and_prunings_of_a_teacher(snap_compare: Any, make_app: MakeApp) -> None:
    finished()
    pruned.finish(
        run_of(pruned.spec(method="layers", sparsity=0.3), "20260101-110100-prune-00b0", "done", created=NOW), kl_mean=0.6, bits_per_weight=11.93
    )
    assert snap_compare(make_app(), terminal_size=(120, 36), run_before=shown(PARETO))
