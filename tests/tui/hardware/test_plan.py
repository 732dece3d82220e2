"""The plan: what is asked, what is answered, and where enter and y lead."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from core.hardware.plan.estimate import estimate
from core.hardware.plan.machine import Machine
from tests.tui.fakes import FakeServices
from tests.tui.hardware.conftest import answered, opened, sampled
from tests.tui.hardware.planned import Planned
from tests.tui.waiting import until
from tui.app import LlmoptApp
from tui.hardware import fit_lines
from tui.hardware.plan import Planner, Request

OnMachine = Callable[..., LlmoptApp]
LLAMA = "Meta-Llama-3-8B"
SMALL = (80, 24)


def text(line):
    return "".join(part for part, _ in line)


def test_the_answer_is_the_cores_own_for_this_machine(services: FakeServices):
    answer = Planner(services).answer(Request(LLAMA, context=2048, concurrency=3, kv="fp8"))
    here = Machine.from_snapshot(services.sampler.latest)
    assert answer.estimate == estimate(Planned(LLAMA).card(), here, context=2048, concurrency=3, kv="fp8")
    assert answer.advice
    assert len(answer.steps) == len(answer.advice)


def test_a_named_gpu_is_planned_for_as_often_as_asked(services: FakeServices):
    answer = Planner(services).answer(Request(LLAMA, machine="h100", gpus=2))
    assert answer.estimate.tensor_parallel == 2
    assert answer.estimate.device == "H100 SXM 80GB"


def test_a_model_is_read_once(services: FakeServices):
    planner = Planner(services)
    for context in (1024, 2048):
        planner.answer(Request(LLAMA, context=context))
    assert services.models.read == 1


@pytest.mark.parametrize(
    ("request_", "part"),
    [(Request("no such model"), "there is no model no such model"), (Request(LLAMA, gpus=3, machine="h100"), "32 attention heads")],
)
def test_what_is_wrong_is_said_in_a_sentence(services: FakeServices, request_, part):
    assert part in Planner(services).answer(request_).estimate_problem


@pytest.mark.parametrize("width", [60, 80, 120])
@pytest.mark.parametrize("request_", [Request(LLAMA), Request("Meta-Llama-3-70B"), Request("Qwen2.5-0.5B", context=32768, concurrency=200)])
def test_the_budget_fits_its_width_and_says_that_it_is_an_estimate(services: FakeServices, width, request_):
    answer = Planner(services).answer(request_).estimate
    lines = fit_lines.budget(answer, width)  # type: ignore[arg-type]
    assert all(len(text(line)) <= width for line in lines)
    assert text(lines[0]).startswith("estimate: fits" if answer.fits else "estimate: does not fit")
    assert len(text(lines[1])) == width
    assert ("missing" in text(lines[7])) == (not answer.fits)


def test_the_bar_is_to_scale(services: FakeServices):
    answer = Planner(services).answer(Request(LLAMA, concurrency=1)).estimate
    bar = text(fit_lines.budget(answer, 100)[1])  # type: ignore[arg-type]
    assert bar.count("█") == pytest.approx(100 * answer.line("weights").bytes / answer.capacity, abs=1)
    assert bar.count("·") == pytest.approx(100 * answer.left / answer.capacity, abs=1)


def test_every_format_has_a_row_that_says_whether_it_fits(services: FakeServices):
    answer = Planner(services).answer(Request("Meta-Llama-3-70B", machine="h100")).estimate
    rows = dict(fit_lines.format_rows(answer, 120))  # type: ignore[arg-type]
    assert " no " in text(rows["weights", "bf16"])
    assert " yes " in text(rows["weights", "w4a16"])
    assert ("kv", "fp8") in rows


async def test_enter_on_a_format_takes_it_into_the_form(on_machine: OnMachine):
    async with on_machine("one").run_test(size=(120, 36)) as pilot:
        await opened(pilot)
        await pilot.press("f")
        pane = await answered(pilot)
        pane.plan.fit.formats.move_to(("weights", "w4a16"))
        await pilot.press("enter")
        await until(pilot, lambda: pane.plan.form.request().weights == "w4a16" and pane.plan.fit.answer.request.weights == "w4a16")
        assert pane.plan.form.request().weights == "w4a16"
        assert pane.plan.fit.answer.estimate.weights == "w4a16"


async def test_enter_on_advice_opens_quantize_filled_in(on_machine: OnMachine, monkeypatch):
    app = on_machine("one")
    async with app.run_test(size=SMALL) as pilot:
        await opened(pilot)
        await pilot.press("a")
        pane = await answered(pilot)
        calls = []
        monkeypatch.setattr(app, "open_pane", lambda pane_id, prefill=None: calls.append((pane_id, prefill)))
        wanted = next(at for at, each in enumerate(pane.plan.advice.answer.advice) if each.action is not None)
        pane.plan.advice.table.move_to(wanted)
        await pilot.press("enter")
        await pilot.pause()
        assert calls == [("quantize", pane.plan.advice.answer.advice[wanted].action)]


async def test_y_copies_every_command_of_the_advice(on_machine: OnMachine):
    app = on_machine("one")
    async with app.run_test(size=SMALL) as pilot:
        await opened(pilot)
        await pilot.press("a")
        pane = await answered(pilot)
        await pilot.press("y")
        await pilot.pause()
        assert app.clipboard == "\n".join(step.command for step in pane.plan.advice.answer.steps[0])
        assert "vllm serve" in app.clipboard


@pytest.mark.parametrize(("value", "part"), [("0", "at least 1"), ("many", "whole number"), ("1.5", "whole number")])
async def test_a_number_that_cannot_be_is_refused_below_the_form(on_machine: OnMachine, value, part):
    async with on_machine("one").run_test(size=SMALL) as pilot:
        await opened(pilot)
        await pilot.press("f")
        pane = await answered(pilot)
        pane.plan.form.put({"context": value})
        await until(pilot, lambda: part in pane.plan.fit.budget.plain)


async def test_another_tab_can_ask_for_a_plan(on_machine: OnMachine):
    app = on_machine("one")
    async with app.run_test(size=SMALL) as pilot:
        await opened(pilot)
        app.open_pane("hardware", prefill={"model": "Qwen2.5-0.5B", "view": "Advice"})
        pane = await opened(pilot)
        while pane.plan is None or pane.plan.form.editors["model"].get() != "Qwen2.5-0.5B":
            await pilot.pause(0.02)
        await answered(pilot)
        assert pane.bar.active == "Advice"
        assert pane.plan.fit.answer.request.model == "Qwen2.5-0.5B"


def test_without_a_gpu_the_advice_is_gguf(services: FakeServices):
    services.sampler = sampled("none", 2)
    answer = Planner(services).answer(Request(LLAMA))
    assert answer.advice[0].format.startswith("gguf-")
    assert answer.estimate.place == "memory"
