"""What a changed checkpoint takes over from the original: every tensor that is not done, bit for bit."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from core.errors import Cancelled
from core.formats.writing.copy_rest import copy_rest
from core.formats.writing.shards import ShardWriter
from core.models.disk.files import read_object
from core.models.resolve import resolve
from core.models.stream.streaming import StreamedModel

CHANGED, LEFT_OUT = "model.layers.0.mlp.up_proj.weight", "model.layers.1.mlp.down_proj.weight"


def test_all_but_the_changed_tensors_are_those_of_the_original(tiny_llama_dir: Path, tmp_path: Path) -> None:
    original = load_file(tiny_llama_dir / "model.safetensors")
    half = original[CHANGED].float() / 2
    with StreamedModel.open(resolve(str(tiny_llama_dir)), torch.float32, "cpu") as streamed, ShardWriter(tmp_path / "made") as writer:
        writer.add(CHANGED, half)
        copy_rest(writer, streamed, {CHANGED, LEFT_OUT}, lambda: None)
        writer.finish(read_object(tiny_llama_dir / "config.json"), tiny_llama_dir)
    made = load_file(tmp_path / "made" / "model.safetensors")
    assert set(made) == set(original) - {LEFT_OUT}
    assert torch.equal(made.pop(CHANGED), half)
    assert all(tensor.dtype == original[name].dtype and torch.equal(tensor, original[name]) for name, tensor in made.items())
    assert (tmp_path / "made" / "tokenizer.json").read_bytes() == (tiny_llama_dir / "tokenizer.json").read_bytes()


def test_copying_can_be_cancelled_and_leaves_nothing(tiny_llama_dir: Path, tmp_path: Path) -> None:
    def cancel() -> None:
        raise Cancelled("cancelled")

    source = resolve(str(tiny_llama_dir))
    with StreamedModel.open(source, torch.float32, "cpu") as streamed, pytest.raises(Cancelled), ShardWriter(tmp_path / "made") as writer:
        copy_rest(writer, streamed, (), cancel)
    assert list(tmp_path.iterdir()) == []
