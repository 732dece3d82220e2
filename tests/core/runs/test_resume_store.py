"""What a run keeps of its finished blocks comes back as it was, or is refused with a sentence; a full disk ends the keeping only."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from pydantic import BaseModel

from core.errors import RequestError
from core.runs import resume_store
from core.runs.resume_store import KeptBlock, ResumeStore


class Facts(BaseModel):
    names: list[str] = []
    figures: dict[str, float] = {}


def block(value: int) -> KeptBlock[Facts]:
    tensors = {"b": torch.full((3,), value), "a": torch.ones(2, dtype=torch.bfloat16)}
    return KeptBlock(tensors, Facts(names=["x"], figures={"error": 0.1}))


def test_what_is_kept_comes_back_as_it_was(tmp_path: Path) -> None:
    store = ResumeStore(tmp_path / "kept", {"request": {"bits": 4}})
    store.save_block(0, block(7), torch.ones(1, 2, 3, dtype=torch.bfloat16))
    store.save_block(1, block(8), torch.full((1, 2, 3), 2.0))
    store.put("plan", {"a": [1, 2]})
    found = ResumeStore(tmp_path / "kept", {"request": {"bits": 4}})
    assert found.blocks == 2
    last = found.block(1, Facts)
    assert list(last.tensors) == ["b", "a"]
    assert torch.equal(last.tensors["b"], torch.full((3,), 8))
    assert last.facts == Facts(names=["x"], figures={"error": 0.1})
    assert torch.equal(found.hidden, torch.full((1, 2, 3), 2.0))  # type: ignore[arg-type]
    assert found.get("plan") == {"a": [1, 2]}
    assert found.get("nothing") is None
    assert sorted(file.name for file in (tmp_path / "kept").iterdir()) == [
        "block-00000.safetensors",
        "block-00001.safetensors",
        "hidden-00001.safetensors",
        "manifest.json",
    ]
    found.discard()
    assert not (tmp_path / "kept").exists()


@pytest.mark.parametrize(
    ("identity", "sentence"),
    [
        ({"request": {"bits": 3}, "files_of_the_model": 1}, "the request changed since the run was stopped"),
        ({"request": {"bits": 4}, "files_of_the_model": 2}, "the files of the model changed since"),
    ],
)
def test_blocks_of_another_request_or_model_are_refused(identity: dict[str, Any], sentence: str, tmp_path: Path) -> None:
    ResumeStore(tmp_path, {"request": {"bits": 4}, "files_of_the_model": 1}).save_block(0, block(1), None)
    with pytest.raises(RequestError, match=sentence):
        ResumeStore(tmp_path, identity)


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"schema": "llmopt.resume/0"}', "\0"])
def test_a_damaged_manifest_is_one_sentence(text: str, tmp_path: Path) -> None:
    (tmp_path / "manifest.json").write_text(text)
    with pytest.raises(RequestError, match=r"start a new run with the spec\.json"):
        ResumeStore(tmp_path, {})


def test_a_damaged_block_is_named(tmp_path: Path) -> None:
    store = ResumeStore(tmp_path, {})
    store.save_block(0, block(1), torch.zeros(1, 1, 1))
    file = tmp_path / "block-00000.safetensors"
    file.write_bytes(file.read_bytes()[:-1] + b"x")
    (tmp_path / "hidden-00000.safetensors").unlink()
    found = ResumeStore(tmp_path, {})
    with pytest.raises(RequestError, match=r"block-00000\.safetensors'?, kept by the run, is damaged"):
        found.block(0, Facts)
    with pytest.raises(RequestError, match="hidden-00000"):
        _ = found.hidden


def test_a_disk_that_refuses_ends_the_keeping_and_not_the_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> str:
        raise OSError(28, "No space left on device")

    said: list[str] = []
    store = ResumeStore(tmp_path / "kept", {}, said.append)
    store.save_block(0, block(1), None)
    monkeypatch.setattr(resume_store, "_write", full)
    store.save_block(1, block(1), None)
    assert said == ["finished blocks are not kept (No space left on device): if this run is stopped, it starts again"]
    assert not store.active
    assert not (tmp_path / "kept").exists()


def test_what_is_kept_leaves_room_for_the_checkpoint(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    said: list[str] = []
    store = ResumeStore(tmp_path / "kept", {}, said.append)
    size = 3 * 8 + 2 * 2
    monkeypatch.setattr("core.runs.resume_store.shutil.disk_usage", lambda _path: SimpleNamespace(free=5 * size))
    store.save_block(0, block(1), None, left=2)
    assert store.blocks == 1
    store.save_block(1, block(1), None, left=3)
    assert not store.active
    assert not (tmp_path / "kept").exists()
    assert "not enough disk space for a second copy" in said[0]
