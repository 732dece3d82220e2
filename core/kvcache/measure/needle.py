"""Retrieval: is an entry that occurs once in a long text found again through the cache?

A small code model can do this: a text of source code holds one dictionary entry whose key and value are words that do not belong together; at the
end the key is mentioned in a comment, then the entry is begun again. What counts is not whether the value is the likeliest word (a small model
prefers what is usual) but whether the entry raised its probability more than that of any other candidate.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from core.errors import RequestError
from core.kvcache.result import NeedleConvention, NeedleFigure
from core.runtime.decoder import Decoder
from core.runtime.prefill import prefill

CANDIDATES = 64
_WORDS_IN_A_KEY = 3
_LONGEST = 512
"""Tokens of a text at most."""
_LOOKED_AT = 50_000
_SPACES = ("\u0120", "\u2581")

DEFINITION = (
    f'A text holds one line "KEY": VALUE, with a KEY of {_WORDS_IN_A_KEY} random words and a VALUE of one random word (one token). At its end stands '
    f"a comment with KEY, then KEY again and a colon, whose tokens are fed one by one. Hit: of {CANDIDATES} random words the VALUE is the one "
    "whose log-probability gained most against the same text without the line"
)


@dataclass(frozen=True)
class Needles:
    """Texts with and without needles.

    without: int64 [trials, T]. at_depth: depth in percent to int64 [trials, T]. candidates: int64 [trials, CANDIDATES], the value first. fed: how
    many of the last tokens are given one by one.
    """

    without: Tensor
    at_depth: dict[int, Tensor]
    candidates: Tensor
    fed: int

    @property
    def texts(self) -> int:
        """All texts."""
        return len(self.without) * (1 + len(self.at_depth))

    @property
    def convention(self) -> NeedleConvention:
        """How it is measured."""
        return NeedleConvention(
            definition=DEFINITION, tokens=self.without.shape[1], fed=self.fed, candidates=CANDIDATES, chance=1 / self.candidates.shape[1]
        )


def make_needles(tokenizer: Any, tokens: Tensor, depths: tuple[int, ...], trials: int, context: int, seed: int) -> Needles:
    """Hide entries in a text.

    Args:
        tokenizer: a transformers tokenizer.
        tokens: of the text, int64 [n].
        depths: percent of the text before the needle.
        trials: texts at each depth.
        context: most tokens of a text; at most 512 are taken.
        seed: of what is drawn.

    Raises:
        RequestError: the tokenizer has too few words of one token, or the context or the text has no room for a needle.
    """
    length, draw = min(context, _LONGEST), random.Random(seed)
    words = _words(tokenizer, draw)
    without, found, candidates = [], {depth: list[list[int]]() for depth in depths}, []
    fed = length
    if len(tokens) < length:
        raise RequestError(f"a text of {len(tokens)} tokens has no room for a needle: give a longer text, or --no-needle")
    for _ in range(trials):
        start = draw.randrange(len(tokens) - length + 1)
        row = tokens[start : start + length].tolist()
        unused = set(words.values()) - set(row)
        drawn = draw.sample([word for word, token in words.items() if token in unused], CANDIDATES + _WORDS_IN_A_KEY)
        chosen = drawn[:CANDIDATES]
        key = "_".join(word.strip() for word in drawn[CANDIDATES:])
        begun, mention, end = (_encode(tokenizer, text) for text in (f'\n    "{key}":', f"\n# {key}\n", ",\n"))
        needle, question = [*begun, words[chosen[0]], *end], [*mention, *begun]
        hay = length - len(needle) - len(question)
        if hay < length // 4:
            raise RequestError(f"a text of {length} tokens has no room for a needle: raise context, or give --no-needle")
        without.append(row[: length - len(question)] + question)
        for depth in depths:
            at = round(hay * depth / 100)
            found[depth].append(row[:at] + needle + row[at:hay] + question)
        candidates.append([words[word] for word in chosen])
        fed = min(fed, len(begun))
    return Needles(torch.tensor(without), {depth: torch.tensor(rows) for depth, rows in found.items()}, torch.tensor(candidates), fed)


def retrieve(decoder_for: Callable[[int], Decoder], needles: Needles, batch: int, on_text: Callable[[int], None]) -> tuple[NeedleFigure, ...]:
    """How often the needles are found through a cache, by depth.

    Args:
        decoder_for: a decoder for that many rows; it may be one that was used before.
        needles: the texts.
        batch: rows at a time.
        on_text: called after each forward pass over how many texts it went.
    """
    ask = _Asker(decoder_for, needles.fed, batch, on_text)
    answers = torch.split(ask(torch.cat([needles.without, *needles.at_depth.values()])), len(needles.without))
    before = answers[0].gather(1, needles.candidates)
    return tuple(_figure(depth, after, before, needles.candidates) for depth, after in zip(needles.at_depth, answers[1:], strict=True))


@dataclass(frozen=True)
class _Asker:
    decoder_for: Callable[[int], Decoder]
    fed: int
    batch: int
    on_text: Callable[[int], None]

    def __call__(self, texts: Tensor) -> Tensor:
        """Log-probabilities float32 [texts, V] of what follows each text."""
        return torch.cat([self._ask(part) for part in torch.split(texts, self.batch)])

    def _ask(self, texts: Tensor) -> Tensor:
        decoder = self.decoder_for(len(texts))
        texts = texts.to(decoder.device)
        decoder.reset(len(texts))
        logits = prefill(decoder, texts[:, : -self.fed])
        for position in range(texts.shape[1] - self.fed, texts.shape[1]):
            logits = decoder.forward(texts[:, position : position + 1], last=True)[:, -1]
        self.on_text(len(texts))
        return logits.float().log_softmax(-1).cpu()


def _figure(depth: int, after: Tensor, before: Tensor, candidates: Tensor) -> NeedleFigure:
    gains = after.gather(1, candidates) - before
    hits = int((gains[:, 0] > gains[:, 1:].amax(1)).sum())
    return NeedleFigure(
        depth=depth,
        trials=len(gains),
        hits=hits,
        hit_rate=hits / len(gains),
        likeliest_rate=float((after.argmax(1) == candidates[:, 0]).double().mean()),
        gain=float(gains[:, 0].double().mean()),
    )


def _words(tokenizer: Any, draw: random.Random) -> dict[str, int]:
    """Words of one token, a space in front, four to eight small letters, in a random order."""
    ids = list(range(len(tokenizer)))
    draw.shuffle(ids)
    words: dict[str, int] = {}
    for token in ids[:_LOOKED_AT]:
        text = _text(tokenizer, token)
        if 5 <= len(text) <= 9 and text[0] == " " and text[1:].isascii() and text[1:].isalpha() and text[1:].islower():
            words[text] = token
        if len(words) == 8 * CANDIDATES + _LONGEST:
            break
    if len(words) < 8 * CANDIDATES:
        raise RequestError(f"the tokenizer has {len(words)} words of one token, too few for needles: give --no-needle")
    return words


def _text(tokenizer: Any, token: int) -> str:
    """The text of a token within a text; the marks that byte-level and SentencePiece vocabularies have for a space are read as one."""
    piece = tokenizer.convert_ids_to_tokens(token)
    return " " + piece[1:] if isinstance(piece, str) and piece[:1] in _SPACES and piece else ""


def _encode(tokenizer: Any, text: str) -> list[int]:
    ids: list[int] = tokenizer(text, add_special_tokens=False)["input_ids"]
    return ids
