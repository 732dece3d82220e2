"""What every detail event does with texts, lists and figures that do not fit."""

from __future__ import annotations

from typing import Annotated, ClassVar

import pytest

from core.event import DetailEvent, at_most, shown


class NoteEvent(DetailEvent):
    """A note."""

    kind: ClassVar[str] = "note"
    text: Annotated[str, shown(6)]
    places: Annotated[tuple[int, ...], at_most(3)] = ()
    share: float = 0.0


def test_texts_are_cleaned_and_lists_are_cut() -> None:
    found = NoteEvent.parse({"text": "\x1b[31m long", "places": [1, 2, 3, 4], "later": True})
    assert found is not None
    assert "\x1b" not in found.text
    assert len(found.text) <= 6
    assert found.places == (1, 2, 3)
    assert NoteEvent.parse(found.data()) == found


@pytest.mark.parametrize("data", [{}, {"text": 3}, {"text": "a", "places": 3}, {"text": "a", "places": ["x"]}, {"text": "a", "share": float("nan")}])
def test_what_is_no_event_is_none(data: dict[str, object]) -> None:
    assert NoteEvent.parse(data) is None
