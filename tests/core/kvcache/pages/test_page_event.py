"""Events go through a file of JSON lines and come back, however large the pool and whatever stands in it."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.kvcache.pages import events as page_event
from core.kvcache.pages.events import Block, Change, PageEvent, Sequence
from core.kvcache.pages.schedule import events as schedule_event
from core.kvcache.pages.schedule.events import RequestState, ScheduleEvent

counts = st.integers(0, 5000)
blocks = st.builds(Block, counts, counts, st.booleans())
sequences = st.builds(
    Sequence,
    counts,
    st.text("ab c", max_size=9),
    st.sampled_from(["running", "waiting"]),
    counts,
    counts,
    counts,
    st.none() | counts,
    st.lists(counts, max_size=9).map(tuple),
    st.text("ab c", max_size=9),
)
changes = st.builds(Change, st.sampled_from(page_event.CHANGES), counts, counts, counts)


def event(found: list[Block], told: list[Sequence], changed: list[Change], seconds: float = 1.5, phase: str = "decode") -> PageEvent:
    return PageEvent(3, seconds, phase, 16, tuple(found), tuple(told), tuple(changed), 2, 30, 20, 0.25, 4096, 1024, 0.9, {"copies": 1}, 0)


@given(st.lists(blocks, max_size=20), st.lists(sequences, max_size=4), st.lists(changes, max_size=9))
def test_what_is_told_is_what_is_read(found: list[Block], told: list[Sequence], changed: list[Change]) -> None:
    sent = event(found, told, changed)
    assert page_event.parse(json.loads(json.dumps(sent.data()))) == replace(sent, total=len(found))


@pytest.mark.parametrize(("pool", "running"), [(2048, 32), (70_000, 96), (16, 96), (100_000, 1)])
def test_an_event_of_any_size_fits_its_line(pool: int, running: int) -> None:
    told = [Sequence(index, f"prompt {index}", "running", 1024, 900, 500, None, tuple(range(2000)), "x" * 48) for index in range(running)]
    sent = event([Block(31, 16, True)] * pool, told, [Change("take", 1, 2, 3)] * 5000)
    data = sent.data()
    assert len(json.dumps(data)) <= page_event.MOST_BYTES
    assert data["left_out"] >= 5000 - page_event.MOST_CHANGES
    read = page_event.parse(data)
    assert read is not None
    assert read.pool == pool
    assert read.utilization == sent.utilization
    assert read.sequences


@pytest.mark.parametrize("spoil", [{"blocks": [[1, 2]]}, {"sequences": [{}]}, {"used": None}, {"changes": 3}, {"totals": []}, {"seconds": "x"}])
def test_a_damaged_event_is_none(spoil: dict[str, object]) -> None:
    data = event([Block(1, 2, True)], [], []).data() | spoil
    assert page_event.parse(data) is None
    assert page_event.parse({}) is None


def test_texts_are_safe_to_show_and_unknown_changes_are_passed_over() -> None:
    data = event([], [Sequence(0, "n", "running", 1, 1, 0, None, (), "x")], []).data()
    data["sequences"][0]["text"] = "\x1b[31mred\u202e"
    data["changes"] = [["explode", 1, 2, 3], ["take", 1, 2, -1]]
    read = page_event.parse(data)
    assert read is not None
    assert "\x1b" not in read.sequences[0].text
    assert "\u202e" not in read.sequences[0].text
    assert read.changes == (Change("take", 1, 2),)


@given(st.lists(st.builds(RequestState, counts, st.sampled_from(["prefill", "decode", "waiting"]), counts, counts, counts, counts), max_size=70))
def test_schedules_too(requests: list[RequestState]) -> None:
    sent = ScheduleEvent("static", 1.5, 3, 1, 2, 3, 4, 100, 50, 0.5, 0.9, 1000, 66.0, tuple(requests))
    read = schedule_event.parse(json.loads(json.dumps(sent.data())))
    assert read is not None
    assert read.requests == tuple(requests[: schedule_event.MOST_REQUESTS])
    assert schedule_event.parse({"policy": "static"}) is None
