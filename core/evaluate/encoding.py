"""Text to tokens, with the number of bytes of each token."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from tokenizers import Tokenizer, decoders
from torch import Tensor

from core.text import Corpus

_MARGIN = 64
_CHARACTERS_A_TOKEN = 8


@dataclass(frozen=True)
class Encoding:
    """The first tokens of a corpus.

    tokens: int64 [n]. token_bytes: int64 [n], UTF-8 bytes of the text of each token, 0 for special tokens; None when the
    tokenizer does not say where its tokens stand. bos: whether the first token is the tokenizer's BOS, put there by it.
    """

    tokens: Tensor
    token_bytes: Tensor | None
    bos: bool


def encode(corpus: Corpus, tokenizer: Any, tokens: int | None = None) -> Encoding:
    """The first `tokens` tokens of a corpus, all by default, with the special tokens that the tokenizer adds to the start of a text.

    Args:
        corpus: text.
        tokenizer: a transformers tokenizer.
        tokens: at most this many; a long text is only read as far as they need.
    """
    length = corpus.length if tokens is None else (tokens + _MARGIN) * _CHARACTERS_A_TOKEN
    while True:
        text = corpus.piece(0, length)
        ids, ends = _encode(text, tokenizer)
        if length >= corpus.length or (tokens is not None and len(ids) >= tokens + _MARGIN):
            break
        length *= 2
    token_bytes = None if ends is None else _bytes_of(text, ids, ends, tokenizer)
    row = torch.tensor(ids[:tokens], dtype=torch.int64)
    bos = getattr(tokenizer, "bos_token_id", None)
    return Encoding(row, None if token_bytes is None else token_bytes[:tokens], bos is not None and len(ids) > 0 and ids[0] == bos)


def differs_from_its_file(tokenizer: Any, file: Path, sample: str) -> bool:
    """Whether a tokenizer cuts text otherwise than its tokenizer.json: transformers' class for a family may put rules of its own in their place."""
    if not file.is_file():
        return False
    try:
        stated = Tokenizer.from_file(str(file))
    except Exception:  # of another version of the package: transformers has read it in a way of its own
        return False
    stated.no_truncation()
    stated.no_padding()
    found: list[int] = tokenizer(sample, add_special_tokens=False, verbose=False)["input_ids"]
    return stated.encode(sample, add_special_tokens=False).ids != found


def tokenize(corpus: Corpus, tokenizer: Any, tokens: int | None = None) -> Tensor:
    """The tokens of `encode` alone, int64 [n]."""
    return encode(corpus, tokenizer, tokens).tokens


def vocabulary_hash(tokenizer: Any, embeddings: int | None = None) -> str:
    """SHA-256 of the mapping from token strings to ids: two models can be compared token by token when it is the same.

    Args:
        tokenizer: a transformers tokenizer.
        embeddings: tokens that the model knows; further ones, which it can never read, do not count. None: all count.
    """
    known = ((token, index) for token, index in tokenizer.get_vocab().items() if embeddings is None or index < embeddings)
    return hashlib.sha256(json.dumps(sorted(known)).encode()).hexdigest()


def _encode(text: str, tokenizer: Any) -> tuple[list[int], list[int] | None]:
    """Token ids, and the index of the character after each token when the tokenizer is a fast one."""
    if not getattr(tokenizer, "is_fast", False):
        return tokenizer(text, verbose=False)["input_ids"], None
    found = tokenizer(text, return_offsets_mapping=True, return_attention_mask=False, verbose=False)
    return found["input_ids"], [end for _, end in found["offset_mapping"]]


def _bytes_of(text: str, ids: list[int], ends: list[int], tokenizer: Any) -> Tensor:
    """UTF-8 bytes of each token, which sum to the bytes of the text.

    A byte-level tokenizer's words are written with one character a byte. Of any other, a token has the bytes from where the text of the
    tokens before it ends to where its own text ends; a character cut into several tokens counts with the first of them.
    """
    total = len(text.encode())
    if isinstance(tokenizer.backend_tokenizer.decoder, decoders.ByteLevel):
        special = set(tokenizer.all_special_ids)
        words = tokenizer.convert_ids_to_tokens(ids)
        lengths = torch.tensor([0 if token in special else len(word) for token, word in zip(ids, words, strict=True)])
        if int(lengths.sum()) == total:
            return lengths
    points = np.frombuffer(text.encode("utf-32-le"), dtype=np.uint32)
    width = 1 + (points >= 0x80).astype(np.int64) + (points >= 0x800) + (points >= 0x10000)
    until = np.concatenate([[0], np.cumsum(width)])
    reached = np.maximum.accumulate(until[np.asarray(ends, dtype=np.int64)])
    return torch.from_numpy(np.diff(reached, prepend=0))
