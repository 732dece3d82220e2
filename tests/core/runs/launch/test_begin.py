"""The one way in: what cannot be done is refused before there is a run."""

from __future__ import annotations

from pathlib import Path

import pytest

from core.errors import Cancelled, RequestError
from core.evaluate.spec import EvaluateSpec
from core.models.card import ModelCard
from core.models.resolve import resolve
from core.models.source import ModelSource
from core.quantize.check import FitCheck
from core.quantize.compare.spec import QuantizeCompareSpec
from core.quantize.spec import QuantizeSpec
from core.runs import registry
from core.runs.launch import launch
from core.runs.launch.admission import Admission, admit
from core.runs.launch.begin import begin
from core.runs.launch.launch import LocalLauncher, refresh
from core.runs.state import saved, store
from core.runs.state.files import write_json
from core.runs.state.state import State
from core.runs.state.store import Run
from tests.core.runs import tick
from tests.core.runs.tick import TickSpec

MODEL = "bundled:base"


def nowhere(name: str) -> ModelSource:
    raise AssertionError(f"{name} was looked up")


def test_a_text_that_is_not_there_leaves_no_run(launcher: LocalLauncher, tmp_path: Path) -> None:
    spec = EvaluateSpec(model=MODEL, text="/nowhere/story.txt")
    with pytest.raises(RequestError, match=r"cannot read the text /nowhere/story\.txt") as refused:
        begin(spec, launcher)
    write_json(tmp_path / "spec.json", saved.document(spec))
    with pytest.raises(RequestError) as again:
        begin(saved.load(tmp_path / "spec.json"), launcher)
    assert str(again.value) == str(refused.value), "a saved file is refused as what was typed"
    assert store.list_runs() == []


def test_what_is_admitted_is_started(launcher: LocalLauncher, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(registry.CAPABILITIES, "tick", tick.CAPABILITY)
    run = begin(TickSpec(model=MODEL, device="cpu", ticks=1000), launcher)
    assert store.list_runs() == [run]
    assert refresh(run).status == "running"
    launcher.cancel(run)


def test_an_interrupt_while_the_worker_starts_cancels_the_run(launcher: LocalLauncher, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(registry.CAPABILITIES, "tick", tick.CAPABILITY)
    start = launcher.start

    def interrupted(run: Run) -> State:
        start(run)
        raise KeyboardInterrupt

    monkeypatch.setattr(launcher, "start", interrupted)
    with pytest.raises(Cancelled, match="cancelling run"):
        begin(TickSpec(model=MODEL, device="cpu", ticks=1000), launcher)
    assert [run.state.status for run in store.list_runs()] == ["cancelled"]


def test_admission_answers_what_the_check_answers() -> None:
    found = admit(QuantizeSpec(model=MODEL, method="rtn"))
    assert isinstance(found.answer, FitCheck)
    assert found.card == resolve(MODEL).card()
    assert admit(QuantizeSpec(model=MODEL, method="rtn"), resolve).card == found.card


def test_a_comparison_is_refused_for_any_of_its_variants() -> None:
    with pytest.raises(RequestError, match="does not divide the rows"):
        admit(QuantizeCompareSpec(model=MODEL, group_size=100))


def test_a_model_that_the_run_will_fetch_is_not_looked_up(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in ("HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path))
    spec = QuantizeSpec(model="somebody/something", method="rtn")
    assert admit(spec, nowhere) == Admission(unseen=True)
    with pytest.raises(RequestError, match="cannot read the text"):
        admit(spec.model_copy(update={"text": "/nowhere/story.txt"}), nowhere)
    with pytest.raises(RequestError, match="exists"):
        admit(spec.model_copy(update={"out": str(tmp_path)}), nowhere)
    with pytest.raises(LookupError):
        Admission(unseen=True).require_card()
    assert isinstance(admit(QuantizeSpec(model=MODEL, method="rtn")).require_card(), ModelCard)


@pytest.mark.parametrize(("quota", "given", "threads"), [(None, None, None), (1.5, None, "2"), (1.5, "7", "7")])
def test_a_worker_has_as_many_threads_as_its_quota_of_time(
    monkeypatch: pytest.MonkeyPatch, quota: float | None, given: str | None, threads: str | None
) -> None:
    monkeypatch.delenv("OMP_NUM_THREADS")
    if given is not None:
        monkeypatch.setenv("OMP_NUM_THREADS", given)
    monkeypatch.setattr(launch, "cpu_quota", lambda: quota)
    monkeypatch.setattr(launch, "cores", lambda: 2)
    assert launch._environment().get("OMP_NUM_THREADS") == threads
