"""Events of a live view: what was written comes back, what is hostile or damaged does no harm."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.speculate.events import PromptEvent, RoundEvent, token_text

WORDS = st.text(max_size=12).map(token_text)


@given(st.lists(WORDS, max_size=8), st.integers(0, 8), st.one_of(st.none(), WORDS), st.one_of(st.none(), WORDS))
def test_a_round_comes_back_through_json(drafted: list[str], accepted: int, corrected: str | None, bonus: str | None) -> None:
    event = RoundEvent(
        n=3,
        drafted=tuple(drafted),
        accepted=min(accepted, len(drafted)),
        corrected=corrected,
        bonus=bonus,
        prompt=1,
        row=2,
        gamma=4,
        temperature=0.5,
        drafter="model",
        candidates=9,
        ended="stop",
        draft_ms=1.5,
        verify_ms=2.5,
    )
    assert RoundEvent.parse(json.loads(json.dumps(event.data()))) == event


def test_a_prompt_comes_back_with_its_lines() -> None:
    event = PromptEvent(prompt=0, row=0, text="def f():\n\treturn", gamma=4, temperature=0.0, drafter="lookup", first=" 1")
    assert PromptEvent.parse(json.loads(json.dumps(event.data()))) == event


def test_what_a_round_adds_and_refuses() -> None:
    event = RoundEvent(n=0, drafted=("a", "b", "c"), accepted=1, corrected="x")
    assert event.emitted == ("a", "x")
    assert event.rejected == "b"
    whole = RoundEvent(n=0, drafted=("a", "b"), accepted=2, bonus="c")
    assert whole.emitted == ("a", "b", "c")
    assert whole.rejected is None
    assert RoundEvent(n=0, drafted=("a", "b"), accepted=1, ended="stop").rejected is None


def test_texts_are_fit_to_be_shown() -> None:
    event = RoundEvent.parse({"n": 0, "drafted": ["\x1b[31mred", "\n", "x" * 500], "accepted": 99, "corrected": "\u202ertl", "drafter": "\x07"})
    assert event is not None
    assert event.drafted[0] == "\ufffd[31mred"
    assert event.drafted[1] == "\u23ce"
    assert len(event.drafted[2]) == 80
    assert event.accepted == 3
    assert event.corrected == "\ufffdrtl"
    assert event.drafter == "\ufffd"


@pytest.mark.parametrize(
    "data",
    [
        {},
        {"n": float("inf"), "drafted": [], "accepted": 0},
        {"n": "x", "drafted": [], "accepted": 0},
        {"n": 0, "drafted": None, "accepted": 0},
        {"n": 0, "accepted": 1},
    ],
)
def test_what_is_no_round_is_none(data: dict[str, Any]) -> None:
    assert RoundEvent.parse(data) is None
    assert PromptEvent.parse(data) is None
