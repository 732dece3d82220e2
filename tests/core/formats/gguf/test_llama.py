"""What llama.cpp itself makes of our files: logits, tokens, quantization."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from core import text
from core.errors import RunFailed
from core.formats.gguf.llama import process as llama_process
from core.formats.gguf.write.convert import convert, plan_conversion
from core.models.load import load_tokenizer
from core.models.resolve import resolve
from tests.core.formats.gguf.models import FAMILIES

pytestmark = pytest.mark.llama
TOKENS = list(range(4, 60))


def written(folder: Path, path: Path, level: str = "F32") -> Path:
    convert(plan_conversion(folder, "m"), path, level)
    return path


@pytest.mark.parametrize("name", FAMILIES)
def test_llama_cpp_s_logits_are_those_of_transformers(name: str, family_dirs: dict[str, Path], tmp_path: Path) -> None:
    from transformers import AutoModelForCausalLM

    model = AutoModelForCausalLM.from_pretrained(family_dirs[name], dtype=torch.float32).eval()
    with torch.no_grad():
        expected = model(torch.tensor([TOKENS])).logits[0]
    found = torch.tensor(llama_process.logits(written(family_dirs[name], tmp_path / "m.gguf"), TOKENS))
    tolerance = 1e-3 if name.startswith("gemma") else 1e-4  # ggml looks GELU up in a table of half precision
    torch.testing.assert_close(found, expected, rtol=tolerance, atol=tolerance)


def test_llama_cpp_makes_the_same_tokens_of_held_out_text(tmp_path: Path) -> None:
    folder = resolve("bundled:base").path
    path, tokenizer = written(folder, tmp_path / "m.gguf", "Q8_0"), load_tokenizer(folder)
    texts = [text.builtin("held-out").text[:200_000], "<|user|>\nhi<|end_of_text|>", "ä ñ 日本 🦙\r\n\t x", ""]
    assert llama_process.tokenize(path, texts, bos=True) == [tokenizer(sample, verbose=False)["input_ids"] for sample in texts]


def test_llama_cpp_makes_the_same_tokens_with_sentencepiece(family_dirs: dict[str, Path], tmp_path: Path) -> None:
    path, tokenizer = written(family_dirs["llama"], tmp_path / "m.gguf"), load_tokenizer(family_dirs["llama"])
    texts = ["the tea", " in  the\n\ttin", "ä 日本", "it's 12345"]
    assert llama_process.tokenize(path, texts, bos=True) == [tokenizer(sample)["input_ids"] for sample in texts]


def test_scores_are_those_of_the_logits(family_dirs: dict[str, Path], tmp_path: Path) -> None:
    path = written(family_dirs["qwen2"], tmp_path / "m.gguf")
    found = llama_process.score(path, [TOKENS, TOKENS[::-1]], 10)
    expected = torch.log_softmax(torch.tensor(llama_process.logits(path, TOKENS), dtype=torch.float64), dim=-1)
    chosen = [-float(expected[position - 1, TOKENS[position]]) for position in range(10, len(TOKENS))]
    assert found[0] == pytest.approx(chosen, rel=1e-5)
    assert len(found[1]) == len(TOKENS) - 10


def test_a_file_that_llama_cpp_cannot_read_is_told_in_its_words(tmp_path: Path) -> None:
    (tmp_path / "m.gguf").write_bytes(b"GGUF" + bytes(100))
    with pytest.raises(RunFailed, match="failed with code 1"):
        llama_process.logits(tmp_path / "m.gguf", TOKENS)
