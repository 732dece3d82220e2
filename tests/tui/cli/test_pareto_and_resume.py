"""`llmopt pareto` and `llmopt runs resume`."""

from __future__ import annotations

import io
from collections.abc import Callable
from dataclasses import replace

import pytest

from core.quantize.spec import QuantizeSpec
from core.runs import registry
from core.runs.state import store
from core.runs.state.events import Progress, StateChange
from core.runs.state.store import Run
from tests.core.quantize.results import quantized
from tests.core.runs import tick
from tests.core.runs.tick import TickSpec
from tests.tui.cli.conftest import Llmopt
from tui.cli.follow import ProgressLine


def made(bits: int, size: float, ratio: float) -> Run:
    return quantized(QuantizeSpec(model="bundled:base", bits=bits), bits_per_weight=size, ppl_ratio=ratio, kl_mean=ratio - 1)


def test_what_nothing_beats_is_marked(llmopt: Llmopt, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    runs = [made(4, 5.0, 1.02), made(3, 4.0, 1.05), made(5, 5.5, 1.03)]
    answer = llmopt("pareto", "bundled:base")
    assert answer.code == 0
    lines = [line.split() for line in answer.out.splitlines()[1:]]
    assert [store.find(line[-1]).id for line in lines] == [runs[1].id, runs[0].id, runs[2].id]
    assert [line[0] for line in lines] == ["*", "*", "gptq-w5-g128"]
    assert "corpus text" in answer.err
    document = llmopt("pareto", "bundled:base", "--quality", "kl_mean", "--json").document
    assert document["schema"] == "llmopt.pareto/1"
    assert document["frontier"] == [runs[1].id, runs[0].id]


def test_a_model_without_runs_is_told_of_those_that_have_some(llmopt: Llmopt) -> None:
    assert "`llmopt quantize nothing`" in llmopt("pareto", "nothing").err
    made(4, 5.0, 1.02)
    assert "finished ones exist for bundled:base" in llmopt("pareto", "nothing").err


@pytest.fixture
def stopped() -> Callable[[str], Run]:
    def make(status: str) -> Run:
        run = store.create(TickSpec(model="x", device="cpu"))
        run.save_state(run.state.model_copy(update={"status": status, "exit_code": 1, "pid": 1}))
        return run

    return make


def test_only_a_run_that_was_stopped_and_keeps_something_is_resumed(
    llmopt: Llmopt, stopped: Callable[[str], Run], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert "cannot be resumed" in llmopt("runs", "resume", stopped("failed").id).err
    monkeypatch.setitem(registry.CAPABILITIES, "tick", replace(tick.CAPABILITY, resumable=True))
    done = llmopt("runs", "resume", stopped("done").id)
    assert (done.code, "is done" in done.err) == (2, True)


def test_a_resumed_run_is_seen_through_under_its_own_id(llmopt: Llmopt, stopped: Callable[[str], Run], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(registry.CAPABILITIES, "tick", replace(tick.CAPABILITY, resumable=True))
    run = stopped("cancelled")
    (run.artifacts / "ticks.txt.partial-1").write_text("half")
    run.kept.mkdir()
    (run.kept / "block").write_bytes(bytes(2048))
    assert "2.0 KiB of finished work" in llmopt("runs", "show", run.id).out
    answer = llmopt("runs", "resume", run.id, "--json")
    assert answer.code == 0
    assert answer.document["run"] == run.id
    state = run.state
    assert (state.status, state.exit_code) == ("done", 0)
    assert state.resumed is not None
    assert [entry.name for entry in run.artifacts.iterdir()] == ["ticks.txt"]
    assert not run.kept.exists()
    assert llmopt("runs", "resume", run.id, "--detach").code == 2


def test_the_pause_of_a_resumed_run_is_not_taken_for_its_pace() -> None:
    stream = io.StringIO()
    line = ProgressLine(stream)
    line.show([Progress(0.0, 0, 100, "a"), Progress(10.0, 10, 100, "b")])
    line.show([StateChange(1000.0, "queued", "asked to resume"), Progress(1001.0, 50, 100, "c"), Progress(1011.0, 60, 100, "d")])
    assert stream.getvalue().splitlines()[-1].split("  ")[1] == "6.7 s left"
