"""Nothing that came from outside can move a terminal's cursor, colour it or turn its text around."""

from __future__ import annotations

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.sanitize import clean

HOSTILE = st.text(st.characters(codec=None, exclude_categories=()))


@given(HOSTILE, st.booleans())
def test_no_control_character_survives(text: str, multiline: bool) -> None:
    cleaned = clean(text, multiline=multiline)
    kept = {"\n", "\t"} if multiline else set()
    assert not {character for character in cleaned if unicodedata.category(character) in {"Cc", "Cs", "Zl", "Zp"}} - kept
    assert not set(cleaned) & set("\u200e\u200f\u061c\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")
    cleaned.encode()


@given(st.text(st.characters(codec="utf-8", categories=("L", "N", "P", "S"))))
def test_plain_text_passes_unchanged(text: str) -> None:
    assert clean(text) == text


@given(HOSTILE, st.booleans())
def test_cleaning_twice_is_cleaning_once(text: str, multiline: bool) -> None:
    once = clean(text, multiline=multiline)
    assert clean(once, multiline=multiline) == once


@given(HOSTILE, st.integers(0, 20))
def test_a_limit_is_kept_and_the_cut_is_seen(text: str, limit: int) -> None:
    cleaned = clean(text, limit=limit)
    assert len(cleaned) <= max(limit, 1)
    if len(text) > limit:
        assert cleaned.endswith("…")
    else:
        assert cleaned == clean(text)


@pytest.mark.parametrize(
    ("hostile", "harmless"),
    [
        ("\x1b[2Jname", "�[2Jname"),
        ("\x9b31mred", "�31mred"),
        ("\x1b]0;title\x07", "�]0;title�"),
        ("two\nlines\tand a tab", "two lines and a tab"),
        ("over\rwritten", "over�written"),
        ("gpt\u202etxt.exe", "gpt�txt.exe"),
        ("a\u2028b\u2029c", "a�b�c"),
        ("half \ud83d of a pair", "half � of a pair"),
        ("naïve 模型 ✓", "naïve 模型 ✓"),
    ],
)
def test_what_becomes_of_known_attacks(hostile: str, harmless: str) -> None:
    assert clean(hostile) == harmless


def test_lines_and_tabs_can_be_kept() -> None:
    assert clean("a\n\tb\r\n", multiline=True) == "a\n\tb�\n"
