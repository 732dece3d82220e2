"""Heads and names as checkpoints really hold them: what transformers computes with is what the file holds."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from core.errors import RequestError
from core.formats.gguf.read.opening import open_gguf
from core.formats.gguf.read.reader import GgufFile
from core.formats.gguf.write.convert import convert, plan_conversion
from core.models.load import load_model
from tests.core.formats.gguf.models import make_model

TOKENS = torch.arange(4, 60).view(1, -1)
EMBEDDING, HEAD = "model.embed_tokens.weight", "lm_head.weight"

Change = Callable[[dict[str, Tensor]], dict[str, Tensor]]


def own_head(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    noise = torch.randn(tensors[EMBEDDING].shape, generator=torch.Generator().manual_seed(0)).to(tensors[EMBEDDING].dtype)
    return tensors | {HEAD: tensors[EMBEDDING] + noise}


def last_row_differs(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    head = tensors[EMBEDDING].clone()
    head[-1] += 1
    return tensors | {HEAD: head}


def same_head(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    return tensors | {HEAD: tensors[EMBEDDING].clone()}


def head_only(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    return {HEAD if name == EMBEDDING else name: tensor for name, tensor in tensors.items()}


def without_prefix(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    return {name.removeprefix("model."): tensor for name, tensor in tensors.items()}


def changed(folder: Path, model_type: str, change: Change) -> Path:
    make_model(folder, model_type, tie_word_embeddings=True)
    save_file(change(load_file(folder / "model.safetensors")), folder / "model.safetensors", {"format": "pt"})
    return folder


@torch.no_grad()
@pytest.mark.parametrize(
    ("model_type", "change", "has_head"),
    [
        ("qwen2", own_head, True),
        ("mistral", own_head, True),
        ("phi3", last_row_differs, True),
        ("gemma3_text", own_head, True),
        ("qwen3", same_head, False),
        ("gemma", same_head, False),
        ("gemma2", head_only, False),
        ("qwen2", head_only, False),
        ("qwen3", without_prefix, False),
        ("gemma3_text", without_prefix, False),
        ("llama", lambda tensors: without_prefix(own_head(tensors)), True),
    ],
)
def test_the_file_computes_what_transformers_does(model_type: str, change: Change, has_head: bool, tmp_path: Path) -> None:
    folder, path = changed(tmp_path / "m", model_type, change), tmp_path / "m.gguf"
    convert(plan_conversion(folder, "m"), path, "F32")
    expected = load_model(folder, torch.float32)(TOKENS).logits
    torch.testing.assert_close(open_gguf(path).load_whole()(TOKENS).logits, expected, rtol=1e-4, atol=1e-4)
    assert ("output.weight" in GgufFile(path).tensors) == has_head


@pytest.mark.parametrize(("model_type", "tied"), [("gemma", True), ("gemma2", True), ("gemma2", False)])
def test_a_head_that_llama_cpp_has_no_place_for_is_refused(model_type: str, tied: bool, tmp_path: Path) -> None:
    folder = changed(tmp_path / "m", model_type, own_head)
    config = folder / "config.json"
    config.write_text(config.read_text().replace('"tie_word_embeddings": true', f'"tie_word_embeddings": {str(tied).lower()}'))
    with pytest.raises(RequestError, match=rf"head of its own .*llama.cpp has none for {model_type} models"):
        plan_conversion(folder, "m")


@pytest.mark.llama
def test_llama_cpp_uses_the_head_of_gemma_3(tmp_path: Path) -> None:
    from core.formats.gguf.llama import process as llama_process

    folder, path = changed(tmp_path / "m", "gemma3_text", own_head), tmp_path / "m.gguf"
    convert(plan_conversion(folder, "m"), path, "F32")
    with torch.no_grad():
        expected = load_model(folder, torch.float32)(TOKENS).logits[0]
    torch.testing.assert_close(torch.tensor(llama_process.logits(path, TOKENS[0].tolist())), expected, rtol=1e-2, atol=5e-2)
