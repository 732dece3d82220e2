"""A text in pieces that a server scores, each for itself."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from core.benchmark.workload.prompts import Tokenizer
from core.errors import RequestError
from core.text import Corpus

_CHARACTERS = 3
"""Of a token, without a tokenizer: few, so that a piece fits into the window."""
_MARGIN = 64
_LONGEST = 8
"""Characters of a token at most, of a text that is cut before it is encoded."""


@dataclass(frozen=True)
class Passage:
    """One piece."""

    text: str
    tokens: tuple[int, ...] | None
    """By the model's own tokenizer, without special ones; None where there is none at hand."""


def passages_of(corpus: Corpus, tokenizer: Tokenizer | None, tokens: int, window: int) -> list[Passage]:
    """The first `tokens` tokens of a text in windows side by side; the rest that fills none is left out, as `core.evaluate.windows` has it.

    Without a tokenizer windows are so many characters as they probably are.

    Raises:
        RequestError: the text does not fill one window.
    """
    if tokenizer is None:
        step = window * _CHARACTERS
        count = max(tokens // window, 1)
        pieces = [corpus.text[first : first + step] for first in range(0, count * step, step)]
        found = [Passage(piece, None) for piece in pieces if len(piece) == step]
    else:
        row = _encoded(corpus.text, tokenizer, max(tokens, window))
        found = [Passage(tokenizer.decode(piece), piece) for piece in _windows(row, window)]
    if not found:
        raise RequestError(f"the text {corpus.name} does not fill one window of {window} tokens: give a longer text, or lower quality-tokens")
    return found


def _windows(row: Sequence[int], window: int) -> list[tuple[int, ...]]:
    return [tuple(row[first : first + window]) for first in range(0, len(row) - window + 1, window)]


def _encoded(text: str, tokenizer: Tokenizer, tokens: int) -> list[int]:
    """The first tokens; of a long text no more is read than they need."""
    row = tokenizer.encode(text[: (tokens + _MARGIN) * _LONGEST])
    if len(row) < tokens + _MARGIN and len(text) > (tokens + _MARGIN) * _LONGEST:
        row = tokenizer.encode(text)
    return list(row[:tokens])
