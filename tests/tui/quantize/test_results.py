"""Finished quantizations on the Quantize tab: side by side, on a frontier, verified, with their files."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from textual.widgets import DataTable

from core.evaluate.verify.spec import VerifySpec
from core.runs.state.store import Run
from tests.tui.fakes import NOW, FakeServices
from tests.tui.quantize import made
from tests.tui.quantize.conftest import RecordingRuns, open_quantize, settle, text_of, until
from tui.app import LlmoptApp
from tui.compression.artifact import ArtifactScreen
from tui.compression.verify import VerifyScreen
from tui.quantize.pane import PARETO, RESULTS, SETUP

MakeApp = Callable[..., LlmoptApp]


def three_results(out: Path) -> list[Run]:
    finished = []
    for number, (method, bits) in enumerate((("rtn", 4), ("gptq", 4), ("gptq", 3))):
        run = made.run_of(made.spec(method=method, bits=bits), f"20260101-11000{number}-quantize-000{number}", "done", created=NOW - 3600 + number)
        finished.append(made.finish(run, checkpoint=str(out), bits_per_weight=bits + 1.3, kl_mean=(0.1 if method == "gptq" else 0.13) / bits))
    return finished


async def test_results_of_the_model_stand_beside_each_other_and_any_can_be_run_again(make_app: MakeApp, tmp_path: Path) -> None:
    three_results(tmp_path)
    async with make_app().run_test(size=(80, 24)) as pilot:
        pane = await open_quantize(pilot)
        await pilot.press("escape", "f4", "f4")
        await settle(pilot)
        assert pane.bar.active == RESULTS
        assert pane.results.query_one(DataTable).row_count == 3
        await pilot.press("down", "down", "down")
        await settle(pilot)
        assert pane.results.chosen is not None
        assert pane.results.chosen.recipe == "rtn 4 bit g128"
        await pilot.press("f7")
        await settle(pilot)
        assert pane.bar.active == SETUP
        assert pane.setup.spec() == made.spec(method="rtn", bits=4)


async def test_all_runs_of_a_model_stand_on_one_frontier(make_app: MakeApp, tmp_path: Path) -> None:
    three_results(tmp_path)
    async with make_app().run_test(size=(80, 24)) as pilot:
        pane = await open_quantize(pilot)
        pane.show_view(PARETO)
        await settle(pilot)
        table = pane.pareto.query_one(DataTable)
        assert [str(table.get_row_at(row)[0]) for row in range(3)] == ["◆", "◆", "·"]
        await pilot.press("down", "down", "down")
        await settle(pilot)
        assert "beaten by gptq-w4-g128" in text_of(pilot, "#Pareto .turns--head")
        await pilot.press("m", "m")
        assert "perplexity ratio" in str(pane.pareto.chart.plot.title if pane.pareto.chart.plot else "")
        await pilot.press("m")
        assert pane.pareto.table.display, "after the last figure the table comes back, although it had the focus"
        await pilot.press("down", "enter")
        await settle(pilot)
        assert pane.bar.active == RESULTS
        assert pane.results.chosen is not None
        assert pane.results.chosen.recipe == "rtn 4 bit g128", "the cursor stayed on its run"


async def test_v_verifies_the_checkpoint_of_the_result(make_app: MakeApp, runs: RecordingRuns, services: FakeServices, tmp_path: Path) -> None:
    three_results(tmp_path)
    services.models.names.append(str(tmp_path))
    async with make_app().run_test(size=(80, 24)) as pilot:
        pane = await open_quantize(pilot)
        pane.show_view(RESULTS)
        await settle(pilot)
        await pilot.press("v")
        await until(pilot, lambda: isinstance(pilot.app.screen, VerifyScreen))
        assert runs.started == [VerifySpec(model=str(tmp_path))]
        run = pilot.app.screen._run  # type: ignore[attr-defined]
        made.verified(run, "fail")
        run.save_state(run.state.model_copy(update={"status": "done", "ended": NOW, "exit_code": 3}))
        await until(pilot, lambda: "faulty" in str(pilot.app.screen._text.render()))  # type: ignore[attr-defined]
        text = str(pilot.app.screen._text.render())  # type: ignore[attr-defined]
        assert "✗ failed" in text
        assert "zero points are inside the grid" in text
        await pilot.press("escape")
        await settle(pilot)
        assert pane.bar.active == RESULTS


async def test_the_path_of_a_checkpoint_is_copied_and_its_files_are_shown(make_app: MakeApp, tmp_path: Path) -> None:
    (tmp_path / "model.safetensors").write_bytes(b"x" * 2048)
    three_results(tmp_path)
    async with make_app().run_test(size=(80, 24)) as pilot:
        pane = await open_quantize(pilot)
        pane.show_view(RESULTS)
        await settle(pilot)
        await pilot.press("y")
        assert pilot.app.clipboard == str(tmp_path)
        await pilot.press("o")
        await settle(pilot)
        assert isinstance(pilot.app.screen, ArtifactScreen)
        shown = str(pilot.app.screen._text.render())
        assert "2 KiB  model.safetensors" in shown.replace("2.00", "2").replace("2.0", "2")
