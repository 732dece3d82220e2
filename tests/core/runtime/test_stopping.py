"""Text as it becomes certain: characters whose bytes come apart, stop strings across tokens."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.models.load import load_tokenizer
from core.models.resolve import resolve
from core.runtime.stopping import TextStream

TOKENIZER = load_tokenizer(resolve("bundled:base"))
TEXTS = st.text(st.characters(exclude_categories=("Cs",)), max_size=40)  # type: ignore[arg-type]


def streamed(text: str, stops: tuple[str, ...] = ()) -> tuple[str, list[str], bool]:
    stream = TextStream(TOKENIZER, stops)
    parts = [stream.add(token) for token in TOKENIZER(text, add_special_tokens=False).input_ids]
    parts.append(stream.finish())
    assert "".join(parts) == stream.text
    return stream.text, parts, stream.stopped


@given(TEXTS)
def test_the_parts_make_the_whole(text: str) -> None:
    assert streamed(text)[0] == text


@given(st.text("abc ", max_size=30), st.lists(st.text("abc ", min_size=1, max_size=4), min_size=1, max_size=3))
def test_the_text_ends_before_the_first_stop_string_wherever_tokens_end(text: str, stops: list[str]) -> None:
    ends = [at for stop in stops if (at := text.find(stop)) >= 0]
    found, _, stopped = streamed(text, tuple(stops))
    assert stopped == bool(ends)
    # Of two stop strings the one that is complete first counts, which is not always the one that begins first.
    complete = min((text.find(stop) + len(stop) for stop in stops if stop in text), default=len(text))
    assert text.startswith(found)
    assert len(found) <= complete
    assert not any(stop in found for stop in stops)
    if len(stops) == 1 and ends:
        assert found == text[: ends[0]]


def test_a_character_is_given_when_its_last_byte_has_come() -> None:
    text, parts, _ = streamed("a漢b")
    assert text == "a漢b"
    assert not any("\ufffd" in part for part in parts)


def test_bytes_that_never_become_a_character_are_replaced_at_the_end() -> None:
    tokens = TOKENIZER("漢", add_special_tokens=False).input_ids
    stream = TextStream(TOKENIZER)
    assert [stream.add(token) for token in tokens[:-1]] == [""] * (len(tokens) - 1)
    assert set(stream.finish()) == {"\ufffd"}


def test_nothing_comes_after_the_stop() -> None:
    stream = TextStream(TOKENIZER, ("b",))
    for token in TOKENIZER("a b c d", add_special_tokens=False).input_ids:
        stream.add(token)
    assert stream.add(5) == ""
    assert stream.finish() == ""
    assert stream.text == "a "


@pytest.mark.parametrize("text", ["  two  spaces .", "a . b", "I 'm"])
def test_spaces_are_left_as_they_are(text: str, tmp_path: Path) -> None:
    assert streamed(text)[0] == text
