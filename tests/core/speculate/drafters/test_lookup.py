"""Prompt lookup against a search of the whole text."""

from __future__ import annotations

import torch
from hypothesis import given
from hypothesis import strategies as st

from core.speculate.drafters.lookup import LookupDrafter, NgramIndex


def searched(text: list[int], shortest: int, longest: int, count: int) -> list[int]:
    """By looking at every place: the longest n-gram first, the most recent occurrence, never the end itself."""
    for size in range(longest, shortest - 1, -1):
        if size >= len(text):
            continue
        end = text[-size:]
        for first in range(len(text) - size - 1, -1, -1):
            if text[first : first + size] == end:
                grown = list(text)
                for step in range(count):
                    grown.append(grown[first + size + step])
                return grown[len(text) :]
    return []


@given(st.lists(st.integers(0, 3), min_size=1, max_size=60), st.integers(1, 3), st.integers(0, 3), st.integers(1, 6), st.integers(0, 59))
def test_the_index_finds_what_a_search_finds(text: list[int], shortest: int, more: int, count: int, cut: int) -> None:
    index = NgramIndex(shortest, shortest + more)
    index.extend(text[:cut])
    index.extend(text[cut:])
    assert index.continuation(count) == searched(text, shortest, shortest + more, count)


def test_the_longest_ngram_wins_over_a_more_recent_shorter_one() -> None:
    index = NgramIndex(1, 3)
    index.extend([1, 2, 3, 7, 9, 3, 8, 1, 2, 3])
    assert index.continuation(1) == [7]


def test_the_most_recent_match_wins_and_a_repetition_goes_on() -> None:
    index = NgramIndex(2, 2)
    index.extend([5, 6, 1, 5, 6, 2, 5, 6])
    assert index.continuation(3) == [2, 5, 6]
    index = NgramIndex(1, 2)
    index.extend([4, 4])
    assert index.continuation(4) == [4, 4, 4, 4]


def test_rows_draft_apart_and_padding_is_no_text() -> None:
    drafter = LookupDrafter(1, 2)
    prompt = torch.tensor([[9, 9, 1, 2, 1], [1, 2, 3, 4, 5]])
    real = torch.tensor([[False, False, True, True, True], [True] * 5])
    drafter.begin(prompt, real)
    proposal = drafter.propose(2)
    assert proposal.tokens[0].tolist() == [2, 1]
    assert proposal.real is not None
    assert proposal.real.tolist() == [[True, True], [False, False]]
    drafter.accept([[], [3]])
    proposal = drafter.propose(2)
    assert proposal.real is not None
    assert proposal.real.tolist() == [[False, False], [True, True]]
    assert proposal.tokens[1].tolist() == [4, 5]


def test_a_text_without_repetition_drafts_nothing() -> None:
    drafter = LookupDrafter(1, 3)
    drafter.begin(torch.arange(10)[None])
    assert drafter.propose(4).tokens.shape == (1, 0)
