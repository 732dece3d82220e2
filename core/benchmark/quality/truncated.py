"""How far two servers' predictions are apart by the few likeliest tokens that each of them gives."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from core.engine import TokenScore, TopToken

_LEAST = 1e-6
"""Of what is left for all other tokens: log-probabilities come rounded, and their sum may pass 1."""

DEFINITION = (
    "truncated KL divergence: over the tokens that both list in a place, with all others taken as one; a lower bound of the whole, in nat, "
    "the mean of all scored places"
)

Key = int | str


def truncated_kl(reference: Mapping[Key, float], other: Mapping[Key, float]) -> float:
    """sum over S of p ln(p/q) + (1 - P) ln((1 - P) / (1 - Q)), S the tokens that both list, P and Q their sums.

    Merging tokens never raises a divergence (the log sum inequality), so this is a lower bound of KL(reference || other) over the whole
    vocabulary, and equals it where S is the whole vocabulary.

    Args:
        reference: log-probabilities, natural, by token.
        other: the same of the other model.
    """
    total = held_reference = held_other = 0.0
    for token in reference.keys() & other.keys():
        p = math.exp(reference[token])
        held_reference, held_other = held_reference + p, held_other + math.exp(other[token])
        if p > 0.0:
            total += p * (reference[token] - other[token])
    rest = max(1.0 - held_reference, 0.0)
    if rest > _LEAST:
        total += rest * math.log(rest / max(1.0 - held_other, _LEAST))
    return max(total, 0.0)


def divergences(reference: Sequence[TokenScore], other: Sequence[TokenScore]) -> list[float]:
    """Of every place of the same text; empty where the two do not cut the text alike, or one names no likeliest tokens."""
    if len(reference) != len(other):
        return []
    by_number = all(each.token is not None for score in (*reference, *other) for each in (score, *score.top))
    if [_key(score, by_number) for score in reference] != [_key(score, by_number) for score in other]:
        return []
    if not all(score.top for score in (*reference, *other)):
        return []
    return [truncated_kl(_listed(one, by_number), _listed(two, by_number)) for one, two in zip(reference, other, strict=True)]


def _listed(score: TokenScore, by_number: bool) -> dict[Key, float]:
    return {_key(each, by_number): each.logprob for each in (*score.top, score)}


def _key(token: TopToken, by_number: bool) -> Key:
    return token.token if by_number and token.token is not None else token.text
