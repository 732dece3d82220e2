"""Runs on disk: the folders are the only truth."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from core.errors import RequestError
from core.kvcache.result import KvCacheResult
from core.kvcache.spec import KvCacheSpec
from core.runs.registry import CAPABILITIES, spec_class
from core.runs.state import saved, store
from core.runs.state.files import write_json
from core.runs.state.home import home, runs_folder
from tests.core.runs.tick import TickSpec
from tests.core.runs.tick.result import TickResult

SPEC = TickSpec(model="bundled:base", device="cpu", ticks=7)


def test_the_home_is_chosen_by_the_environment(llmopt_home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert home() == llmopt_home
    monkeypatch.delenv("LLMOPT_HOME")
    monkeypatch.setenv("XDG_DATA_HOME", "/data/of/user")
    assert home().name == "llmopt"


def test_a_new_run_is_queued_and_can_be_found_again() -> None:
    run = store.create(SPEC)
    assert run.state.status == "queued"
    assert run.spec == SPEC
    assert run.capability == "tick"
    assert run.model == "bundled:base"
    assert store.list_runs() == [run]
    assert {entry.name for entry in run.path.iterdir()} == {"spec.json", "state.json", "events.jsonl", "log.txt", "artifacts"}


def test_what_was_asked_and_found_is_read_by_its_type() -> None:
    run = store.create(SPEC)
    assert run.spec_as(TickSpec) == SPEC
    assert run.spec_as(KvCacheSpec) is None
    assert run.result_as(TickResult) is None, "not done yet"
    write_json(run.path / "result.json", {"capability": "tick", "metrics": {"ticks": 7}})
    found = run.result_as(TickResult)
    assert found is not None
    assert found.metrics.ticks == 7
    assert run.result_as(KvCacheResult) is None
    run.spec_file.write_text("{")
    assert run.spec_as(TickSpec) is None


def test_ids_sort_by_the_time_they_were_asked_for() -> None:
    made = [store.create(SPEC) for _ in range(5)]
    assert store.list_runs() == made[::-1]
    assert len({run.id for run in made}) == 5


def test_a_run_is_found_by_what_is_unique_of_its_id() -> None:
    first, second = store.create(SPEC), store.create(SPEC)
    assert store.find(first.id) == first
    assert store.find(second.id[-4:]) == second
    assert store.find("last") == second
    for wrong in ("2", "nothing", "", "../../etc"):
        with pytest.raises(RequestError):
            store.find(wrong)


def test_half_made_and_foreign_folders_are_no_runs() -> None:
    run = store.create(SPEC)
    for name in (".new-20260101-000000-tick-0000", "notes", "20260101-000000-tick-000"):
        (runs_folder() / name).mkdir()
    assert store.list_runs() == [run]


@pytest.mark.parametrize("damage", ["", "{", "[]", "null", '{"status": "levitating", "created": 0}', "\xff"])
def test_a_damaged_state_is_shown_as_failed_and_breaks_nothing(damage: str) -> None:
    run = store.create(SPEC)
    (run.path / "state.json").write_text(damage, encoding="latin-1")
    assert run.state.status == "failed"
    assert run.state.exit_reason == "state.json is missing or damaged"
    assert run.state.created > 1e9


def test_a_folder_that_cannot_be_written_is_one_sentence(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    occupied = tmp_path / "file"
    occupied.write_text("")
    monkeypatch.setenv("LLMOPT_HOME", str(occupied))
    with pytest.raises(RequestError, match="file"):
        store.create(SPEC)
    assert store.list_runs() == []


def test_a_run_that_is_not_over_is_not_removed() -> None:
    run = store.create(SPEC)
    with pytest.raises(RequestError, match="cancel it first"):
        store.remove(run)
    run.save_state(run.state.model_copy(update={"status": "done"}))
    store.remove(run)
    assert store.list_runs() == []
    assert not run.path.exists()


def test_spec_json_says_with_what_it_was_asked() -> None:
    document = json.loads(store.create(SPEC).spec_file.read_text())
    assert list(document)[:2] == ["schema", "llmopt_version"]
    assert set(document["versions"]) == {"llmopt", "python", "torch", "transformers"}
    assert all(document["versions"].values())
    assert document["spec"]["ticks"] == 7


def test_a_saved_spec_runs_again() -> None:
    assert saved.load(store.create(SPEC).spec_file) == SPEC


def test_a_saved_spec_finds_its_model_from_another_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    there, elsewhere = tmp_path / "there", tmp_path / "elsewhere"
    (there / "model").mkdir(parents=True)
    elsewhere.mkdir()
    monkeypatch.chdir(there)
    run = store.create(TickSpec(model="model"))
    assert run.spec.model == "model"
    monkeypatch.chdir(elsewhere)
    assert run.spec.model == str(there / "model")
    assert store.create(TickSpec(model="org/name")).spec.model == "org/name"


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"colour": "blue"}, "unknown field colour"),
        ({"spec": {"model": "x", "tocks": 3}}, "unknown field tocks"),
        ({"spec": {"model": "x", "ticks": -1}}, "ticks = -1 is invalid"),
        ({"spec": {}}, "model is missing"),
        ({"spec": []}, "lacks the fields"),
        ({"capability": "levitate"}, "unknown capability 'levitate'"),
        ({"schema": "llmopt.spec/99"}, "llmopt.spec/99"),
        ({"schema": "\x1b[2J"}, "schema"),
    ],
)
def test_a_saved_spec_that_does_not_fit_is_refused_in_a_sentence(tmp_path: Path, change: dict[str, object], words: str) -> None:
    path = tmp_path / "spec.json"
    path.write_text(json.dumps(saved.document(SPEC) | change))
    with pytest.raises(RequestError) as refused:
        saved.load(path)
    assert words in str(refused.value)
    assert "\x1b" not in str(refused.value)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize("text", ["", "no json", "[]", '"x"', "[" * 100_000])
def test_what_is_not_a_saved_spec_is_refused_in_a_sentence(tmp_path: Path, text: str) -> None:
    path = tmp_path / "spec.json"
    path.write_text(text)
    with pytest.raises(RequestError):
        saved.load(path)
    with pytest.raises(RequestError, match="no such file"):
        saved.load(tmp_path / "absent.json")


@pytest.mark.parametrize("key", [key for key in CAPABILITIES if key != "tick"])
def test_every_capability_has_a_spec_of_its_own_name(key: str) -> None:
    assert spec_class(key).capability == key
