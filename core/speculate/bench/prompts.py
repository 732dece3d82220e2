"""What models are given to go on with: pieces of a text, an editing task made of them, or a user's own words."""

from __future__ import annotations

import keyword
import re
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from core import text
from core.errors import RequestError
from core.evaluate.encoding import encode
from core.runtime.prompts import prompt_tokens
from core.sanitize import clean
from core.speculate.spec import Task

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

_NAME = re.compile(r"[^\W\d]\w{3,}")
_HEAD_SHARE = 6
"""Of an editing prompt one part in so many is the new version's beginning, from which the model continues."""


@dataclass(frozen=True)
class Prompts:
    """Prompts of one length, int64 [N, n], and where they are from."""

    tokens: Tensor
    corpus: str
    sha256: str


def prompts_of(tokenizer: PreTrainedTokenizerBase, *, source: str, own: str | None, task: Task, count: int, length: int, spacing: int = 0) -> Prompts:
    """Prompts for a run.

    Args:
        tokenizer: the target's; a token that it puts in front of every text is in front of every prompt.
        source: `builtin`, whose held-out part no bundled model has seen, or a file.
        own: a user's prompt in place of the text; it is the only one, whatever `count` says.
        task: go on with a piece, or write it again with one name changed.
        count: prompts.
        length: tokens of a prompt.
        spacing: tokens of the text between two prompts, so that no prompt holds what follows another.

    Raises:
        RequestError: a text that is too short for one prompt, or an empty prompt.
    """
    if own is not None:
        ids = prompt_tokens(tokenizer, own)
        if not ids:
            raise RequestError("the prompt has no tokens: give at least one word, or omit it to use pieces of the text")
        return Prompts(torch.tensor([ids]), "a prompt of your own", text.Corpus("prompt", own).sha256)
    corpus = text.load(source)
    encoding = encode(corpus, tokenizer, count * (length + spacing) + length)
    opening = encoding.tokens[:1] if encoding.bos else encoding.tokens[:0]
    body = encoding.tokens[len(opening) :]
    wanted = length - len(opening)
    last = len(body) - wanted
    if last < 0 or wanted < 1:
        raise RequestError(f"the text {clean(corpus.name)} has {len(encoding.tokens)} tokens, and a prompt needs {length}: give a longer text")
    step = min(length + spacing, last // max(count - 1, 1))
    pieces = [body[place * step : place * step + wanted] for place in range(count)]
    if task == "edit":
        pieces = [_editing(piece, tokenizer) for piece in pieces]
    return Prompts(torch.stack([torch.cat((opening, piece)) for piece in pieces]), corpus.name, corpus.sha256)


def _editing(piece: Tensor, tokenizer: PreTrainedTokenizerBase) -> Tensor:
    """A text, then its beginning with one name changed: as many tokens as the piece."""
    whole = len(piece)
    head = max(whole // _HEAD_SHARE, 1)
    given = str(tokenizer.decode(piece[: whole - head]))
    changed = renamed(given)
    rest = tokenizer("\n" + changed, add_special_tokens=False, verbose=False)["input_ids"]
    return torch.cat((piece[: whole - head], torch.tensor(rest[:head], dtype=torch.int64)))[:whole]


def renamed(source: str) -> str:
    """A text with its most frequent name changed in every place: the change that an editing task asks for."""
    names = Counter(word for word in _NAME.findall(source) if not keyword.iskeyword(word))
    if not names:
        return source
    name = max(names, key=lambda word: (names[word], len(word)))
    return re.sub(rf"\b{re.escape(name)}\b", f"{name}_new", source)
