"""Models and texts of the evaluation's tests."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file


@pytest.fixture(scope="session")
def novel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A text of some thousand tokens, a few of them of several bytes."""
    path = tmp_path_factory.mktemp("texts") / "novel.txt"
    path.write_text("".join(f"Kapitel {chapter}: Über {chapter * 37 % 101} Brücken mußt du geh'n.\n" for chapter in range(60)), encoding="utf-8")
    return path


@pytest.fixture(scope="session")
def noisy_llama_dir(tiny_llama_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """`tiny_llama_dir` with noise on its weights."""
    folder = tmp_path_factory.mktemp("models") / "noisy-llama"
    shutil.copytree(tiny_llama_dir, folder)
    generator = torch.Generator().manual_seed(0)
    tensors = load_file(folder / "model.safetensors")
    noisy = {name: (tensor.float() * (1 + 0.3 * torch.randn(tensor.shape, generator=generator))).bfloat16() for name, tensor in tensors.items()}
    save_file(noisy, folder / "model.safetensors", metadata={"format": "pt"})
    return folder


@pytest.fixture
def other_words_dir(tiny_llama_dir: Path, tmp_path: Path) -> Path:
    """`tiny_llama_dir` with two words of its tokenizer exchanged."""
    folder = tmp_path / "other-words"
    shutil.copytree(tiny_llama_dir, folder)
    tokenizer = json.loads((folder / "tokenizer.json").read_text())
    vocabulary = tokenizer["model"]["vocab"]
    vocabulary["a"], vocabulary["b"] = vocabulary["b"], vocabulary["a"]
    (folder / "tokenizer.json").write_text(json.dumps(tokenizer))
    return folder
