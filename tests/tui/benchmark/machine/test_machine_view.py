"""The view of what this machine multiplies and moves."""

from __future__ import annotations

from typing import Any

from core.benchmark.machine.events import ProductRow
from core.benchmark.machine.spec import BenchmarkMachineSpec
from core.runs.state.events import Detail
from core.runs.state.files import write_json
from tests.tui.benchmark import made
from tests.tui.benchmark.conftest import MakeApp, RecordingRuns, judged, open_tab, settle, shown, until
from tests.tui.fakes import NOW
from tui.benchmark.machine import machine_words
from tui.benchmark.machine.progress import MachineProgress
from tui.benchmark.pane import LIVE, MACHINE
from tui.benchmark.setup import foreseen
from tui.shell.confirm import Confirm

RESULT = made.machine_result()


def changed(row: ProductRow, **values: Any) -> ProductRow:
    return row.model_copy(update=values)


# -- words and figures, without a screen


def test_events_tell_what_the_result_tells() -> None:
    progress = MachineProgress()
    progress.add(made.told("machine", NOW))
    found = progress.measured()
    assert (found.squares, found.bandwidths, found.roofs, found.rows) == (RESULT.squares, RESULT.bandwidths, RESULT.roofs, RESULT.rows)


def test_rows_of_another_version_are_passed_over() -> None:
    progress = MachineProgress()
    progress.add([Detail(NOW, kind, {"device": "cpu"}) for kind in ("square", "bandwidth", "roof", "product", "unheard-of")])
    assert progress.measured().rows == ()
    assert machine_words.size_plot(progress.measured()).series == ()
    assert machine_words.roof_plot(progress.measured(), None).series == ()


def test_deviations_are_shown_where_all_of_them_fit() -> None:
    assert [column.title for column in machine_words.size_columns(RESULT, 60)] == ["size", "float32", "bfloat16", "int8"]
    wide = machine_words.size_columns(RESULT, 67)
    assert [column.title for column in wide] == ["size", "float32", "±", "bfloat16", "±", "int8", "±"]
    assert sum(column.width for column in wide) <= 67


def test_several_devices_are_told_apart() -> None:
    both = RESULT.model_copy(
        update={
            "squares": (*RESULT.squares, *(each.model_copy(update={"device": "cuda:0"}) for each in RESULT.squares)),
            "rows": (*RESULT.rows, *(changed(each, device="cuda:0") for each in RESULT.rows)),
        }
    )
    assert machine_words.size_columns(both, 60)[0].title == "device"
    assert len(machine_words.sizes(both)) == 2 * len(machine_words.sizes(RESULT))
    assert len({machine_words.product_key(row) for row in both.rows}) == len(both.rows)
    assert {str(machine_words.product_columns(both)[0].cell(row)) for row in both.rows} > {"cpu float32", "cuda:0 int8"}
    assert machine_words.size_plot(both).series[0].label == "cpu float32"
    for several in (RESULT, both):
        for width in (58, 67, 79, 118):
            assert sum(column.width for column in machine_words.product_columns(several) if column.needs <= width) <= width + 1


def test_a_phase_is_named_as_a_whole_where_all_its_products_are_bound_alike() -> None:
    told = dict(machine_words.verdict(RESULT, "cpu", "float32"))
    assert told["memory bounds"] == "decode 1"
    assert told["arithmetic bounds"] == "decode 64; prefill 512"
    mixed = tuple(changed(row, bound="memory") if (row.product, row.rows) == ("head", 64) else row for row in RESULT.rows)
    told = dict(machine_words.verdict(RESULT.model_copy(update={"rows": mixed}), "cpu", "float32"))
    assert told["memory bounds"] == "decode 1; head in decode 64"
    assert told["arithmetic bounds"] == "qkv and out and gate, up and down in decode 64; prefill 512"


def test_what_was_not_measured_has_its_reason_and_no_zero() -> None:
    reason = "this version of torch has no int8 product"
    squares = tuple(
        each.model_copy(update={"gflops": None, "deviation": None, "reason": reason}) if each.dtype == "int8" else each for each in RESULT.squares
    )
    products = tuple(
        changed(row, gflops=None, bound=None, attainable_gflops=None, share=None, reason=reason) if row.dtype == "int8" else row
        for row in RESULT.rows
    )
    found = RESULT.model_copy(update={"squares": squares, "rows": products, "roofs": RESULT.roofs[:2]})
    assert ("cpu int8", f"not measured: {reason}") in machine_words.peaks(found)
    assert len(machine_words.size_plot(found).series) == 2
    last = found.rows[-1]
    assert machine_words.product(last).endswith(f"not measured: {reason}")
    cells = {column.title: str(column.cell(last)).strip() for column in machine_words.product_columns(found)}
    assert (cells["GFLOP/s"], cells[" bound by"], cells["reached"]) == ("-", "-", "-")
    assert machine_words.roof_plot(found, last).series == ()
    assert dict(machine_words.verdict(found, "cpu", "int8")) == {"roof": "not known: its peak or its memory was not measured"}


def test_the_roofline_is_logarithmic_and_marks_the_chosen_product() -> None:
    chosen = RESULT.rows[1]
    plot = machine_words.roof_plot(RESULT, chosen)
    assert plot.log_x
    assert plot.log_y
    assert [series.label for series in plot.series] == ["roof", "decode 1", "decode 64", "prefill 512", ""]
    assert (plot.series[-1].x, plot.series[-1].y, plot.series[-1].mark) == ((chosen.intensity,), (chosen.gflops,), machine_words.HERE)


def test_the_products_are_foreseen_from_the_card() -> None:
    found = dict(judged(BenchmarkMachineSpec(model="bundled:base"), foreseen.machine).lines)
    assert found["squares"] == "256, 512, 1024, 2048, 4096 in float32, bfloat16, int8"
    assert "qkv" in found["model"]
    assert "head" in found["model"]
    assert found["rows"] == "1, 8, 64 while it decodes, 512 of a prompt"
    measured = BenchmarkMachineSpec(model="bundled:base", sizes=(256, 512, 1024), batches=(1, 64))
    count = len(RESULT.squares) + len(RESULT.rows)
    assert dict(judged(measured, foreseen.machine).lines)["in total"].startswith(f"{count} products of 5 repeats")
    assert "no such path" in judged(BenchmarkMachineSpec(model="/nowhere"), foreseen.machine).refusal


# -- on the screen


async def test_f5_in_its_form_measures_the_machine_and_shows_it_as_it_goes(make_app: MakeApp, runs: RecordingRuns) -> None:
    async with make_app().run_test(size=(80, 24)) as pilot:
        pane = await open_tab(pilot, MACHINE)
        assert "was not measured yet" in shown(pilot)
        assert pane.forms.chosen == "machine"
        await pilot.press("f5")
        await until(pilot, lambda: pane.machine.follower is not None)
        assert runs.started == [BenchmarkMachineSpec(model="bundled:base")]
        assert pane.bar.active == MACHINE
        assert pane.machine.follower is not None
        run = pane.machine.follower.run
        said = made.told("machine", NOW)
        made.say(run, *said[:4])
        await until(pilot, lambda: pane.machine.sizes.row_count == 2)
        made.say(run, *said[4:])
        await until(pilot, lambda: pane.machine.products.row_count == len(RESULT.rows))
        assert "fit into the last-level cache" not in str(pane.machine._words.render())
        made.write_result(run, RESULT)
        run.save_state(run.state.model_copy(update={"status": "done", "ended": NOW}))
        await until(pilot, lambda: pane.machine.follower is not None and pane.machine.follower.result is not None)
        await settle(pilot)
        assert "AMD EPYC, 1 thread" in shown(pilot)


async def test_m_goes_through_tables_charts_and_words_and_the_cursor_chooses_the_roof(make_app: MakeApp) -> None:
    made.machine()
    async with make_app().run_test(size=(80, 24)) as pilot:
        pane = await open_tab(pilot, MACHINE)
        assert "at most" in shown(pilot)
        for text in ("square products", " bound by", "roofline of cpu, float32", "memory bounds"):
            await pilot.press("m")
            await settle(pilot)
            assert text in shown(pilot)
        await pilot.press("m", "m", "m", "down", "end")
        await settle(pilot)
        assert pane.machine.products.has_focus
        await pilot.press("m")
        await settle(pilot)
        assert "roofline of cpu, int8" in shown(pilot)
        await pilot.press("m", "m")
        await settle(pilot)
        assert "float32" in shown(pilot), "the keys go on working when the table with the focus is put away"


async def test_o_shows_the_measurement_before_and_f7_asks_for_it_again(make_app: MakeApp) -> None:
    made.machine("20260101-110000-benchmark-machine-0d00", NOW - 3600)
    made.machine()
    async with make_app().run_test(size=(120, 36)) as pilot:
        pane = await open_tab(pilot, MACHINE)
        assert "0d01" in shown(pilot)
        await pilot.press("o")
        await until(pilot, lambda: "0d00" in shown(pilot))
        await pilot.press("o")
        await until(pilot, lambda: "0d01" in shown(pilot))
        await pilot.press("f7")
        await settle(pilot)
        assert pane.setup.spec() == made.MACHINE
        await pilot.press("escape")
        pane.show_view(LIVE)
        await settle(pilot)
        assert pane.forms.chosen == "load"
        assert not pane.check_action("earlier", ())


async def test_a_measurement_that_goes_on_is_a_reason_to_ask_before_a_load(make_app: MakeApp, runs: RecordingRuns) -> None:
    made.going(made.MACHINE, "20260101-115900-benchmark-machine-4f1d")
    async with make_app().run_test(size=(80, 24)) as pilot:
        pane = await open_tab(pilot)
        assert pane.bar.active == MACHINE
        pane.show_view(LIVE)
        await pilot.press("f5")
        await until(pilot, lambda: isinstance(pilot.app.screen, Confirm))
        assert "Both get slower" in shown(pilot)
        await pilot.press("escape")
        await settle(pilot)
        assert runs.started == []


async def test_escape_sequences_of_a_measurement_never_reach_the_screen(make_app: MakeApp) -> None:
    nasty = "\x1b[31mred\x07"
    held = RESULT.model_dump(mode="json")
    for row in (*held["squares"], *held["bandwidths"], *held["roofs"], *held["rows"]):
        row |= {name: nasty for name in ("device", "dtype", "product", "phase", "how", "reason") if name in row}
    held |= {"model": nasty, "notes": [nasty], "devices": [{"device": nasty, "name": nasty}]}
    run = made.machine()
    write_json(run.path / "result.json", held)
    async with make_app().run_test(size=(80, 24)) as pilot:
        await open_tab(pilot, MACHINE)
        seen = []
        for _ in range(5):
            lines = [strip.text for strip in pilot.app.screen._compositor.render_strips()]
            assert not [line for line in lines if any(ord(character) < 32 for character in line)]
            seen.append("red" in "".join(lines))
            await pilot.press("m")
            await settle(pilot)
        assert seen.count(True) >= 4, "the text itself is shown"
