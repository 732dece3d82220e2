"""A file that only points to the real one, or is a page about it, is called that."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from core.errors import RequestError
from core.models.resolve import resolve

POINTER = "version https://git-lfs.github.com/spec/v1\noid sha256:" + "ab" * 32 + "\nsize 13914352\n"


@pytest.mark.parametrize("file", ["config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json", "tokenizer.model", "merges.txt"])
@pytest.mark.parametrize(
    ("text", "words"),
    [
        (POINTER, r"a Git LFS pointer.*git lfs pull"),
        ("/annex/objects/MD5E-s9--x.safetensors\n", "a git-annex pointer"),
        ("\n<!DOCTYPE html><html><head><title>401", "a web page"),
    ],
)
def test_a_stand_in_of_a_model_folder_is_named(file: str, text: str, words: str, tiny_llama_dir: Path, tmp_path: Path) -> None:
    shutil.copytree(tiny_llama_dir, tmp_path / "m")
    (tmp_path / "m" / file).write_text(text)
    with pytest.raises(RequestError, match=rf"{file} is {words}"):
        resolve(str(tmp_path / "m"))


def test_a_shard_its_index_and_a_gguf_file_too(tiny_llama_dir: Path, tmp_path: Path) -> None:
    shutil.copytree(tiny_llama_dir, tmp_path / "m")
    (tmp_path / "m" / "model.safetensors").unlink()
    index = tmp_path / "m" / "model.safetensors.index.json"
    index.write_text(POINTER)
    with pytest.raises(RequestError, match=r"index\.json is a Git LFS pointer"):
        resolve(str(tmp_path / "m"))
    index.write_text('{"metadata": {}, "weight_map": {"a": "model-00001-of-00001.safetensors"}}')
    (tmp_path / "m" / "model-00001-of-00001.safetensors").write_text(POINTER)
    with pytest.raises(RequestError, match=r"00001\.safetensors is a Git LFS pointer"):
        resolve(str(tmp_path / "m"))
    (tmp_path / "x.gguf").write_text(POINTER)
    with pytest.raises(RequestError, match=r"x\.gguf is a Git LFS pointer"):
        resolve(str(tmp_path / "x.gguf"))


def test_pointers_that_nobody_reads_are_let_through(tiny_llama_dir: Path, tmp_path: Path) -> None:
    shutil.copytree(tiny_llama_dir, tmp_path / "m")
    for file in ("pytorch_model.bin", "training_args.bin", "README.md", "trainer_state.json", "model.safetensors.index.json"):
        (tmp_path / "m" / file).write_text(POINTER)
    assert resolve(str(tmp_path / "m")).path == tmp_path / "m"
