"""Tokens of a text that is to be continued."""

from __future__ import annotations

from typing import Any


def prompt_tokens(tokenizer: Any, text: str) -> list[int]:
    """Tokens of a prompt: with what the tokenizer puts before a text, without what it puts after one.

    An end token after the prompt has the model begin another document; one that the user wrote stays.
    """
    tokens: list[int] = list(tokenizer(text, verbose=False)["input_ids"])
    return tokens[: len(tokens) - _appended(tokenizer)]


def _appended(tokenizer: Any) -> int:
    """How many tokens a tokenizer puts after a text."""
    plain, whole = (list(tokenizer("x", add_special_tokens=special, verbose=False)["input_ids"]) for special in (False, True))
    last = range(len(whole) - len(plain), -1, -1)
    return next((len(whole) - begin - len(plain) for begin in last if whole[begin : begin + len(plain)] == plain), 0)
