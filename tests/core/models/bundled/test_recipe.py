"""Shapes, tokenizer and data of the bundled models."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from tokenizers import Tokenizer
from transformers import LlamaConfig, LlamaForCausalLM

from core.models.bundled import recipe

DOCUMENTS = [
    ("zipfile.py", "import zipfile\nnaïve = 1\n" * 40),
    ("test/test_zipfile.py", "assert zipfile\n" * 40),
    ("cmd.py", "class Cmd:\n    pass\n" * 40),
]


@pytest.fixture
def few_documents(monkeypatch: pytest.MonkeyPatch) -> None:
    def documents_of(split: str) -> Iterator[tuple[str, str]]:
        assert split == "train", "nothing held out may be seen"
        yield from DOCUMENTS

    monkeypatch.setattr("core.text.documents_of", documents_of)
    monkeypatch.setattr(recipe, "VOCABULARY", 300)


@pytest.fixture
def tokenizer(few_documents: None) -> Tokenizer:
    return recipe.train_tokenizer()


def parameters(name: str) -> int:
    with torch.device("meta"):
        return LlamaForCausalLM(LlamaConfig(**recipe.CONFIGS[name])).num_parameters()


def test_sizes_are_those_that_were_asked_for() -> None:
    assert 6e6 <= parameters("base") <= 10e6
    assert parameters("draft") < parameters("base") / 2
    assert 2 * (parameters("base") + parameters("draft")) < 24e6


@pytest.mark.parametrize("name", ["base", "draft"])
def test_every_row_of_a_linear_is_a_multiple_of_256_and_heads_are_grouped(name: str) -> None:
    with torch.device("meta"):
        model = LlamaForCausalLM(LlamaConfig(**recipe.CONFIGS[name]))
    assert {module.in_features % 256 for module in model.modules() if isinstance(module, torch.nn.Linear)} == {0}
    assert model.config.num_key_value_heads < model.config.num_attention_heads  # type: ignore[operator]
    assert model.config.tie_word_embeddings


def test_any_text_comes_back_from_its_tokens(tokenizer: Tokenizer) -> None:
    for text in ("", "def f(x):\n\treturn x ** 2\n", "naïve 模型 🙂\r\n  \x00"):
        ids = tokenizer.encode(text).ids
        assert ids[0] == 0
        assert tokenizer.decode(ids) == text


def test_special_tokens_stand_first(tokenizer: Tokenizer) -> None:
    assert [tokenizer.token_to_id(token) for token in recipe.SPECIAL] == [0, 1, 2, 3, 4]
    assert tokenizer.get_vocab_size() <= 300


def test_library_documents_stand_twice_in_the_stream_and_tests_once_each_opened_by_bos(tokenizer: Tokenizer, tmp_path: Path) -> None:
    stream = recipe.token_stream(tokenizer, tmp_path / "cache" / "tokens.npy")
    assert stream.dtype == np.uint16
    assert stream[0] == 0
    documents = [tokenizer.decode(part.tolist()) for part in np.split(stream, np.flatnonzero(stream == 0))[1:]]
    assert sorted(documents) == sorted([DOCUMENTS[0][1]] * 2 + [DOCUMENTS[1][1]] + [DOCUMENTS[2][1]] * 2)
    again = recipe.token_stream(tokenizer, tmp_path / "cache" / "tokens.npy")
    assert np.array_equal(stream, again)


@given(st.integers(0, 30))
def test_a_batch_is_a_function_of_its_step_and_its_rows_are_pieces_of_the_stream(step: int) -> None:
    stream = np.arange(30_000, dtype=np.uint16)
    batch = recipe.batches(stream, steps=40, tokens_per_step=4096)
    rows = batch(step)
    context = 1024 if step >= 26 else 512
    assert rows.shape == (4096 // context, context + 1)
    assert bool((rows.diff(dim=1) == 1).all())
    assert torch.equal(rows, recipe.batches(stream, steps=40, tokens_per_step=4096)(step))


def test_no_window_is_drawn_twice_in_an_epoch() -> None:
    stream = np.arange(30_000, dtype=np.uint16)
    batch = recipe.batches(stream, steps=1000, tokens_per_step=4096)
    steps = ((len(stream) - 1024 - 1) // 512) // 8
    begins = [row[0].item() for step in range(steps) for row in batch(step)]
    assert len(set(begins)) == len(begins)
