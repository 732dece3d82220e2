"""What goes before a text that is sent as tokens."""

from __future__ import annotations

from core.benchmark.server.target import FastTokenizer
from core.benchmark.workload.prompts import Tokenizer
from core.errors import RequestError
from core.models.load import load_tokenizer

_TEXT = "a"


def opened(tokenizer: Tokenizer, text: str) -> list[int]:
    """Tokens of a text as its model was trained to see them: its BOS token first, once, where the tokenizer puts one there."""
    tokens = list(tokenizer.encode(text))
    opening = _opening(tokenizer) if isinstance(tokenizer, FastTokenizer) else []
    return tokens if tokens[: len(opening)] == opening else opening + tokens


def _opening(tokenizer: FastTokenizer) -> list[int]:
    """The special tokens that transformers puts first, or tokenizer.json alone where transformers cannot read the folder."""
    if tokenizer.opening is None:
        try:
            whole = list(load_tokenizer(tokenizer.folder)(_TEXT)["input_ids"])
        except RequestError:
            whole = tokenizer.encode(_TEXT, special=True)
        own = tokenizer.encode(_TEXT)
        tokenizer.opening = next((whole[:first] for first in range(len(whole)) if whole[first : first + len(own)] == own), [])
    return tokenizer.opening
