"""The prompts of a live decode: a common beginning, mixed lengths, follow-ups that go on with what another sequence said."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass

from core.kvcache.pages.spec import PagesSpec

_SAMPLED, _FOLLOWING = 4, 3
"""Every fourth prompt is sampled several times; every third continues with the one two before it."""


@dataclass(frozen=True)
class Request:
    """One prompt."""

    index: int
    tokens: tuple[int, ...]
    """Behind the common beginning, or behind the text that it follows."""
    follows: int | None
    """Index of the request whose text it continues with."""
    samples: int
    new_tokens: int
    """At most, of each sample."""


def follows(index: int) -> int | None:
    """Which request a request continues with."""
    return index - 2 if index % _FOLLOWING == _FOLLOWING - 1 else None


def samples_of(spec: PagesSpec, index: int) -> int:
    """How often a request is sampled."""
    return spec.samples if index % _SAMPLED == 0 else 1


def longest(spec: PagesSpec) -> int:
    """Tokens that a sequence can have at most."""
    turns = 2 if spec.requests >= _FOLLOWING else 1
    return spec.system_tokens + turns * (spec.prompt_tokens + spec.new_tokens)


def text_tokens(spec: PagesSpec) -> int:
    """Tokens of text that the prompts are cut from."""
    return spec.system_tokens + 4 * spec.requests * spec.prompt_tokens + 16


def requests_of(spec: PagesSpec, text: Sequence[int]) -> tuple[tuple[int, ...], list[Request]]:
    """The common beginning, and the requests; lengths and places by the seed.

    Args:
        spec: how many, how long.
        text: tokens, as many as `text_tokens` where there are so many, and more than the common beginning.
    """
    draw = random.Random(spec.seed)
    system = tuple(text[: spec.system_tokens])
    rest = text[spec.system_tokens :]
    found = []
    for index in range(spec.requests):
        length = min(draw.randint(max(spec.prompt_tokens // 4, 1), spec.prompt_tokens), len(rest))
        new = draw.randint(max(spec.new_tokens // 4, 1), spec.new_tokens)
        begin = int(draw.random() * (len(rest) - length + 1))
        found.append(Request(index, tuple(rest[begin : begin + length]), follows(index), samples_of(spec, index), new))
    return system, found


def default_blocks(spec: PagesSpec) -> int:
    """Blocks of a pool that gets crowded: nine twentieths of what the longest sequences would fill without sharing, and in any case room for one."""
    each = -(-longest(spec) // spec.block_size)
    return max(-(-9 * spec.at_once * each // 20), each + spec.samples)
