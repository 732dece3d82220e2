"""Tokens of a text and the bytes that each stands for."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors
from transformers import AutoTokenizer, PreTrainedTokenizerFast

from core.evaluate.encoding import encode, tokenize, vocabulary_hash
from core.text import Corpus


@pytest.fixture(scope="module")
def byte_level(tiny_llama_dir: Path) -> PreTrainedTokenizerFast:
    return AutoTokenizer.from_pretrained(tiny_llama_dir)  # type: ignore[return-value]


@pytest.fixture(scope="module")
def word_level() -> PreTrainedTokenizerFast:
    """A tokenizer that lowers case, swallows spaces and knows few words."""
    tokenizer = Tokenizer(models.WordLevel({"[UNK]": 0, "über": 1, "allen": 2, ".": 3, "[B]": 4}, unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.Lowercase()
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.post_processor = processors.TemplateProcessing(single="[B] $A", special_tokens=[("[B]", 4)])
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, unk_token="[UNK]", bos_token="[B]")


@settings(max_examples=40)
@given(text=st.text(st.characters(codec="utf-8"), min_size=1, max_size=40))
def test_a_byte_level_token_has_its_own_bytes(byte_level: PreTrainedTokenizerFast, text: str) -> None:
    found = encode(Corpus("t", text), byte_level)
    assert found.token_bytes is not None
    assert found.token_bytes.tolist() == [0] + [1] * len(text.encode())
    assert found.bos


def test_any_other_token_has_the_bytes_since_the_token_before(word_level: PreTrainedTokenizerFast) -> None:
    found = encode(Corpus("t", "Über  allen Gipfeln."), word_level)
    assert found.tokens.tolist() == [4, 1, 2, 0, 3]
    assert found.token_bytes is not None
    assert found.token_bytes.tolist() == [0, 5, 7, 8, 1]


def test_a_long_text_is_read_as_far_as_needed_with_the_same_tokens(byte_level: PreTrainedTokenizerFast) -> None:
    text = "".join(f"line {index} is é\n" for index in range(9000))
    corpus = Corpus("t", text)
    every = encode(corpus, byte_level)
    for tokens in (1, 7, 20_000):
        some = encode(corpus, byte_level, tokens)
        assert some.tokens.tolist() == every.tokens[:tokens].tolist()
        assert some.token_bytes is not None
        assert every.token_bytes is not None
        assert some.token_bytes.tolist() == every.token_bytes[:tokens].tolist()
    assert tokenize(corpus, byte_level, 7).tolist() == every.tokens[:7].tolist()


def test_a_short_text_gives_what_it_has(byte_level: PreTrainedTokenizerFast) -> None:
    assert len(encode(Corpus("t", "abc"), byte_level, 100).tokens) == 4


def test_tokenizers_are_told_apart_by_their_words(byte_level: PreTrainedTokenizerFast, word_level: PreTrainedTokenizerFast) -> None:
    assert vocabulary_hash(byte_level) == vocabulary_hash(byte_level)
    assert vocabulary_hash(byte_level) != vocabulary_hash(word_level)
