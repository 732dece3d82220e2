"""What a user can do on the Speculative tab, by keyboard alone."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from textual.widgets import DataTable

from core.errors import RequestError
from core.runs.state.events import Detail, Metric
from core.speculate.lossless.spec import SpeculateTestSpec
from core.speculate.result import SpeculateResult
from core.speculate.spec import SpeculateSpec
from tests.tui.fakes import NOW, FakeServices
from tests.tui.quantize.conftest import RecordingRuns, answer
from tests.tui.speculate import made
from tests.tui.speculate.conftest import open_speculate, settle, until
from tui.app import LlmoptApp
from tui.experiment.names import LIVE, SETUP
from tui.shell.help import help_text
from tui.speculate.pane import ADVICE, LOSSLESS, RESULTS, SIMULATOR
from tui.widgets.form.model_picker import ModelPicker

MakeApp = Callable[..., LlmoptApp]


@pytest.fixture
def runs(services: FakeServices) -> RecordingRuns:
    services.runs = RecordingRuns(services.find)
    return services.runs


async def test_f5_starts_what_the_form_says_and_shows_it_live(make_app: MakeApp, runs: RecordingRuns) -> None:
    async with make_app().run_test(size=(80, 24)) as pilot:
        pane = await open_speculate(pilot)
        pane.prefill({"gamma": (2, 4), "temperature": (0.0, 0.7)})
        await settle(pilot)
        await pilot.press("f5")
        await until(pilot, lambda: pane.live.going)
        assert runs.started == [SpeculateSpec(model="bundled:base", draft="bundled:draft", gamma=(2, 4), temperature=(0.0, 0.7))]
        assert pane.bar.active == LIVE


REFUSALS: tuple[tuple[dict[str, Any], str], ...] = (
    ({"gamma": (0,)}, "gamma must be between 1 and"),
    ({"prompt": ""}, "the prompt is empty"),
    ({"prompt_tokens": 4000}, "leaves no room in the 1024 positions"),
    ({"tokens": 1000}, "do not fit the 1024 positions"),
    ({"batch": 1024, "prompts": 1024}, "6.0 GiB of memory are free"),
    ({"model": "/models/nowhere"}, "no such path"),
)


async def test_what_cannot_be_is_refused_before_the_start(make_app: MakeApp, runs: RecordingRuns) -> None:
    async with make_app().run_test(size=(120, 36)) as pilot:
        pane = await open_speculate(pilot)
        for values, complaint in REFUSALS:
            pane.prefill({"model": "bundled:base", "draft": "bundled:draft"} | values)
            await settle(pilot)
            pilot.app._notifications.clear()
            await pilot.press("f5")
            await settle(pilot)
            told = [note.message for note in pilot.app._notifications] + list(pane.form_view.form.problems.values())
            assert any(complaint in text for text in told), (values, told)
        assert runs.started == []


async def test_models_of_different_vocabularies_are_refused_with_the_reason(make_app: MakeApp, runs: RecordingRuns, tiny_llama_dir: Path) -> None:
    async with make_app().run_test(size=(80, 24)) as pilot:
        pane = await open_speculate(pilot)
        await pilot.press("f2")
        await until(pilot, lambda: isinstance(pilot.app.screen, ModelPicker))
        await pilot.press("escape")
        pane.form_view.form.set_value("draft", str(tiny_llama_dir))
        await until(pilot, lambda: "the vocabularies differ" in str(pane.form_view.fit.render()))
        await pilot.press("f5")
        await settle(pilot)
        assert runs.started == []


async def test_a_draft_larger_than_its_target_is_warned_of_and_can_be_started(make_app: MakeApp, runs: RecordingRuns) -> None:
    async with make_app().run_test(size=(80, 24)) as pilot:
        pane = await open_speculate(pilot)
        pane.prefill({"model": "bundled:draft", "draft": "bundled:base"})
        await until(pilot, lambda: "even with every draft accepted it would be" in str(pane.form_view.fit.render()))
        await pilot.press("f5")
        await until(pilot, lambda: len(runs.started) == 1)


async def test_t_and_the_button_test_losslessness_with_the_forms_drafter(make_app: MakeApp, runs: RecordingRuns) -> None:
    async with make_app().run_test(size=(80, 24)) as pilot:
        pane = await open_speculate(pilot)
        pane.prefill({"drafter": "lookup", "gamma": (3,), "temperature": (0.0, 1.2), "seed": 7})
        await settle(pilot)
        await pilot.press("escape", "t")
        await until(pilot, lambda: bool(runs.started) and pane.bar.active == LIVE)
        assert runs.started == [SpeculateTestSpec(model="bundled:base", drafter="lookup", gamma=(3,), temperature=1.2, top_p=0.9, seed=7)]
        runs.cancel(pane.live.follower.run)
        await until(pilot, lambda: not pane.live.going)
        pane.show_view(LOSSLESS)
        pane.lossless.button.focus()
        await pilot.press("enter")
        await until(pilot, lambda: len(runs.started) == 2)
        assert runs.started[1] == runs.started[0], "the button does what the key does"


async def test_read_only_starts_and_stops_nothing(make_app: MakeApp, services: FakeServices, runs: RecordingRuns) -> None:
    services.read_only = True
    made.going()
    async with make_app().run_test(size=(80, 24)) as pilot:
        pane = await open_speculate(pilot)
        await until(pilot, lambda: pane.live.going)
        await pilot.press("escape", "f5", "t", "f8")
        await settle(pilot)
        pane.show_view(LOSSLESS)
        assert pane.lossless.button.disabled
        assert (runs.started, runs.cancelled) == ([], [])


async def test_cancel_asks_first(make_app: MakeApp, runs: RecordingRuns) -> None:
    run = made.going()
    async with make_app().run_test(size=(80, 24)) as pilot:
        pane = await open_speculate(pilot)
        await until(pilot, lambda: pane.live.going)
        await pilot.press("escape")
        await answer(pilot, "f8", "y")
        await until(pilot, lambda: not pane.live.going)
        assert runs.cancelled == [run.id]


async def test_tokens_arrive_while_the_run_goes_on_and_only_changed_lines_are_painted(make_app: MakeApp) -> None:
    said = made.said()
    first = next(at for at, event in enumerate(said) if isinstance(event, Detail) and event.kind == "round") + 8
    run = made.going(upto=8)
    async with make_app().run_test(size=(80, 24)) as pilot:
        pane = await open_speculate(pilot)
        text = pane.text_view.text
        await until(pilot, lambda: text.plain)
        before = text.plain
        painted: list[int] = []
        text.refresh = lambda *regions, **_: painted.extend(region.y for region in regions)  # type: ignore[method-assign,assignment]
        made.say(run, *said[first : first + 1])
        await until(pilot, lambda: text.plain != before)
        assert text.plain.startswith(before.rpartition("\n")[0][:20])
        assert len(set(painted)) <= 4


async def test_hostile_tokens_stay_text(make_app: MakeApp) -> None:
    run = made.going(upto=0)
    evil = {"drafted": ["\x1b[31mred", "[bold]x[/bold]", "\u202eright"], "accepted": 1, "corrected": "\x1b]0;title\x07", "n": 0, "gamma": 4}
    made.say(run, Detail(NOW, "round", evil | {"temperature": 0.8, "drafter": "\x1b[2Jmodel"}))
    async with make_app().run_test(size=(80, 24)) as pilot:
        pane = await open_speculate(pilot)
        await until(pilot, lambda: "[bold]x[/bold]" in pane.text_view.text.plain)
        shown = pane.text_view.text.plain + pane.text_view.figures.plain
        assert not set("\x1b\x07\u202e") & set(shown)


async def test_m_turns_to_rounds_and_back_and_speeds_stand_beside_plain_ones_of_the_same_temperature(make_app: MakeApp) -> None:
    run = made.going()
    async with make_app().run_test(size=(80, 24)) as pilot:
        pane = await open_speculate(pilot)
        await until(pilot, lambda: pane.text_view.text.plain)
        text = pane.text_view.text.plain
        assert "drafted after a rejected token" in help_text(pane), "F1 explains the signs of the view that is shown"
        await pilot.press("escape", "m")
        await settle(pilot)
        assert " 41 0/0" in pane.text_view.text.plain
        await pilot.press("m")
        await settle(pilot)
        assert pane.text_view.text.plain == text
        made.say(run, Metric(NOW, "baseline_tokens_per_second", 77.0, 1, "gamma 2, temperature 0.8"))
        made.say(run, Metric(NOW, "baseline_tokens_per_second", 999.0, 2, "gamma 4, temperature 0"))
        await until(pilot, lambda: "plain decoding 77.0" in pane.text_view.figures.plain)


async def test_a_run_that_ends_shows_its_result(make_app: MakeApp) -> None:
    run = made.going()
    async with make_app().run_test(size=(80, 24)) as pilot:
        pane = await open_speculate(pilot)
        await until(pilot, lambda: pane.live.going)
        made.finish(run, made.measured("pair", SpeculateResult))
        run.save_state(run.state.model_copy(update={"status": "done", "ended": NOW}))
        await until(pilot, lambda: pane.bar.active == RESULTS)
        await settle(pilot)
        assert pane.results.chosen is not None
        assert pane.results.chosen.run_id == run.id


async def test_results_of_several_runs_stand_in_one_table_and_any_can_be_run_again(make_app: MakeApp) -> None:
    made.lookup()
    made.pair()
    async with make_app().run_test(size=(80, 24)) as pilot:
        pane = await open_speculate(pilot)
        pane.show_view(RESULTS)
        await settle(pilot)
        assert pane.results.query_one(DataTable).row_count == 7
        await pilot.press("enter", "end")
        await settle(pilot)
        assert pane.results.chosen is not None
        assert pane.results.chosen.result.drafter == "lookup"
        await pilot.press("f7")
        await settle(pilot)
        assert pane.bar.active == SETUP
        assert pane.form_view.spec() == made.spec(drafter="lookup", task="edit")


async def test_f6_feeds_the_simulator_and_sets_the_simulated_beside_the_measured(make_app: MakeApp) -> None:
    made.pair()
    async with make_app().run_test(size=(120, 36)) as pilot:
        pane = await open_speculate(pilot)
        pane.show_view(RESULTS)
        await settle(pilot)
        chosen = pane.results.chosen
        assert chosen is not None
        await pilot.press("f6")
        await settle(pilot)
        assert pane.bar.active == SIMULATOR
        told = str(pane.simulator._answer.render())
        assert f"measured  α, γ, c, v, batch in {made.PAIR}" in told
        assert f"{chosen.row.speedup:.2f} times as fast; simulated {chosen.measured.predict().speedup:.2f} times" in told
        assert f"would be {chosen.measured.predict().speedup:.2f} times" in told, "the fields answer what the run lets expect"
        pane.simulator.fields.editors["alpha"].as_widget().focus()
        await pilot.press("end", "backspace", "backspace")
        await settle(pilot)
        assert "assumed   α" in str(pane.simulator._answer.render()), "what the user changes is assumed again"


async def test_the_simulator_answers_every_edit_and_says_what_cannot_be(make_app: MakeApp) -> None:
    async with make_app().run_test(size=(80, 24)) as pilot:
        pane = await open_speculate(pilot)
        pane.show_view(SIMULATOR)
        await settle(pilot)
        await pilot.press("enter", "right")
        await settle(pilot)
        told = str(pane.simulator._answer.render())
        assert "for code completion" in told
        pane.simulator.fields.editors["gamma"].as_widget().focus()
        await pilot.press("end", "backspace", "0")
        await settle(pilot)
        assert "gamma must be between 1 and" in str(pane.simulator._answer.render())
        await pilot.press("backspace", "4")
        await settle(pilot)
        assert "›4" in pane.simulator.table.plain
        assert "the batch has no effect" not in str(pane.simulator._answer.render())
        pane.simulator.fields.editors["batch"].as_widget().focus()
        await pilot.press("end", "6")
        await settle(pilot)
        assert "the batch has no effect" in str(pane.simulator._answer.render()), "v 1 says that arithmetic is free"


async def test_up_and_down_go_through_the_simulators_fields(make_app: MakeApp) -> None:
    async with make_app().run_test(size=(60, 20)) as pilot:
        pane = await open_speculate(pilot)
        pane.show_view(SIMULATOR)
        await settle(pilot)
        editors = {name: editor.as_widget() for name, editor in pane.simulator.fields.editors.items()}
        await pilot.press("enter")
        for name in ("alpha", "cost_ratio", "batch"):
            await pilot.press("down")
            assert pilot.app.focused is editors[name]
        await pilot.press("up", "up", "up", "up")
        assert pilot.app.focused is not editors["batch"]


async def test_y_copies_the_command_of_the_engine_under_the_cursor(make_app: MakeApp, monkeypatch: pytest.MonkeyPatch) -> None:
    made.pair()
    made.losslessness()
    made.lookup("20260101-115000-speculate-beef")
    async with make_app().run_test(size=(80, 24)) as pilot:
        pane = await open_speculate(pilot)
        pane.show_view(ADVICE)
        await settle(pilot)
        copied: list[str] = []
        monkeypatch.setattr(type(pilot.app), "copy_to_clipboard", lambda _, text: copied.append(text))
        await pilot.press("y")
        await pilot.press("enter", "end", "y")
        await settle(pilot)
        assert copied[0].startswith("vllm serve ")
        assert "speculative.yaml" in copied[1]
        assert copied[1].count("\n") >= 4, "the configuration file comes with it"
        best = made.measured("pair", SpeculateResult).gamma
        assert f'"num_speculative_tokens": {best}' in copied[0], "the gamma that was measured to be the fastest"
        for model, gamma in (("bundled:base", 4), ("bundled:draft", 7)):
            pane.prefill({"model": model, "drafter": "lookup", "gamma": (7,)})
            pane.show_view(ADVICE)
            await settle(pilot)
            assert f"max_draft_len: {gamma}" in pane.advice.lines(), "the measured one, or the form's where nothing was measured"


async def test_a_result_of_another_version_is_left_out(make_app: MakeApp) -> None:
    run = made.pair()
    made.finish(run, {"rows": "none", "schema": "llmopt.speculate/9"})
    broken = made.losslessness()
    made.finish(broken, {"comparisons": 3})
    async with make_app().run_test(size=(80, 24)) as pilot:
        pane = await open_speculate(pilot)
        assert pane.results.chosen is None
        pane.show_view(LOSSLESS)
        await settle(pilot)
        assert "No losslessness test" in str(pane.lossless._head.render())


async def test_a_start_that_is_refused_is_told(make_app: MakeApp, runs: RecordingRuns) -> None:
    def refuse(_: Any) -> Any:
        raise RequestError("this machine runs enough: wait")

    runs.start = refuse  # type: ignore[method-assign, assignment]
    async with make_app().run_test(size=(80, 24)) as pilot:
        await open_speculate(pilot)
        await pilot.press("f5")
        await settle(pilot)
        assert [note.message for note in pilot.app._notifications] == ["this machine runs enough: wait"]
