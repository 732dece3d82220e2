"""Events go through a file of JSON lines and come back, however large the pool and whatever stands in it."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.kvcache.pages import events as page_event
from core.kvcache.pages.events import Block, Change, PageEvent, Sequence, Totals
from core.kvcache.pages.schedule import events as schedule_event
from core.kvcache.pages.schedule.events import RequestState, ScheduleEvent

counts = st.integers(0, 5000)
blocks = st.builds(Block, counts, counts, st.booleans())
sequences = st.builds(
    Sequence,
    id=counts,
    name=st.text("ab c", max_size=9),
    state=st.sampled_from(["running", "waiting"]),
    tokens=counts,
    prompt=counts,
    hits=counts,
    parent=st.none() | counts,
    table=st.lists(counts, max_size=9).map(tuple),
    text=st.text("ab c", max_size=9),
)
changes = st.builds(Change, st.sampled_from(page_event.CHANGES), counts, counts, counts)


def event(found: list[Block], told: list[Sequence], changed: list[Change], seconds: float = 1.5, phase: str = "decode") -> PageEvent:
    return PageEvent(
        step=3,
        seconds=seconds,
        phase=phase,
        block_size=16,
        blocks=tuple(found),
        sequences=tuple(told),
        changes=tuple(changed),
        used=2,
        tokens=30,
        stored=20,
        waste=0.25,
        reserved=4096,
        reserved_each=1024,
        waste_contiguous=0.9,
        totals=Totals(copies=1),
    )


def sequence(index: int, table: range, **more: Any) -> Sequence:
    return Sequence(id=index, name=f"prompt {index}", state="running", tokens=1024, prompt=900, hits=500, table=tuple(table), **more)


@given(st.lists(blocks, max_size=20), st.lists(sequences, max_size=4), st.lists(changes, max_size=9))
def test_what_is_told_is_what_is_read(found: list[Block], told: list[Sequence], changed: list[Change]) -> None:
    sent = event(found, told, changed)
    assert PageEvent.parse(json.loads(json.dumps(sent.data()))) == sent.model_copy(update={"total": len(found)})


@pytest.mark.parametrize(("pool", "running"), [(2048, 32), (70_000, 96), (16, 96), (100_000, 1)])
def test_an_event_of_any_size_fits_its_line(pool: int, running: int) -> None:
    told = [sequence(index, range(2000), text="x" * 48) for index in range(running)]
    sent = event([Block(31, 16, True)] * pool, told, [Change("take", 1, 2, 3)] * 5000)
    data = sent.data()
    assert len(json.dumps(data)) <= page_event.MOST_BYTES
    assert data["left_out"] >= 5000 - page_event.MOST_CHANGES
    read = PageEvent.parse(data)
    assert read is not None
    assert read.pool == pool
    assert read.utilization == sent.utilization
    assert read.sequences


@pytest.mark.parametrize("spoil", [{"blocks": [[1, 2]]}, {"sequences": [{}]}, {"used": None}, {"changes": 3}, {"totals": []}, {"seconds": "x"}])
def test_a_damaged_event_is_none(spoil: dict[str, object]) -> None:
    data = event([Block(1, 2, True)], [], []).data() | spoil
    assert PageEvent.parse(data) is None
    assert PageEvent.parse({}) is None


def test_texts_are_safe_to_show_and_unknown_changes_are_passed_over() -> None:
    data = event([], [sequence(0, range(0), text="x")], []).data()
    data["sequences"][0]["text"] = "\x1b[31mred\u202e"
    data["changes"] = [["explode", 1, 2, 3], ["take", 1, 2, -1]]
    read = PageEvent.parse(data)
    assert read is not None
    assert "\x1b" not in read.sequences[0].text
    assert "\u202e" not in read.sequences[0].text
    assert read.changes == (Change("take", 1, 2),)


@given(st.lists(st.builds(RequestState, counts, st.sampled_from(["prefill", "decode", "waiting"]), counts, counts, counts, counts), max_size=70))
def test_schedules_too(requests: list[RequestState]) -> None:
    sent = ScheduleEvent(
        policy="static",
        time=1.5,
        step=3,
        running=1,
        waiting=2,
        finished=3,
        preempted=4,
        blocks=100,
        used=50,
        utilization=0.5,
        filled=0.9,
        tokens=1000,
        rate=66.0,
        requests=tuple(requests),
    )
    read = ScheduleEvent.parse(json.loads(json.dumps(sent.data())))
    assert read is not None
    assert read.requests == tuple(requests[: schedule_event.MOST_REQUESTS])
    assert ScheduleEvent.parse({"policy": "static"}) is None
