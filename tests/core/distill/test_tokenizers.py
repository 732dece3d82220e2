"""Tokenizers are compared by what they do, not by how many words they have."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from core.distill.tokenizers import require_same_tokens
from core.errors import RequestError
from core.models.load import load_tokenizer

TEXT = "def main(argument):\n    return argument + 1\n" * 200


def changed(folder: Path, into: Path, edit: str) -> Path:
    shutil.copytree(folder, into)
    content = json.loads((into / "tokenizer.json").read_text())
    vocabulary = content["model"]["vocab"]
    if edit == "swapped":
        vocabulary["a"], vocabulary["b"] = vocabulary["b"], vocabulary["a"]
    if edit == "lower case":
        content["normalizer"] = {"type": "Replace", "pattern": {"String": "r"}, "content": "s"}
    if edit == "one more":
        content["added_tokens"].append(
            {"id": 258, "content": "<more>", "single_word": False, "lstrip": False, "rstrip": False, "normalized": False, "special": True}
        )
    (into / "tokenizer.json").write_text(json.dumps(content))
    return into


def test_the_same_tokenizer_gives_its_number_of_words(tiny_llama_dir: Path) -> None:
    one, other = (load_tokenizer(tiny_llama_dir) for _ in range(2))
    assert require_same_tokens(one, other, TEXT) == len(one)


def test_a_word_that_only_one_of_them_has_is_no_difference(tiny_llama_dir: Path, tmp_path: Path) -> None:
    more = load_tokenizer(changed(tiny_llama_dir, tmp_path / "more", "one more"))
    assert require_same_tokens(load_tokenizer(tiny_llama_dir), more, TEXT) == 259


@pytest.mark.parametrize("edit", ["swapped", "lower case"])
def test_another_tokenizer_of_the_same_size_is_refused(edit: str, tiny_llama_dir: Path, tmp_path: Path) -> None:
    other = load_tokenizer(changed(tiny_llama_dir, tmp_path / "other", edit))
    with pytest.raises(RequestError, match="different tokenizers"):
        require_same_tokens(load_tokenizer(tiny_llama_dir), other, TEXT)
