"""Events are appended a line at a time and read while they are being written."""

from __future__ import annotations

import threading
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from core.runs.state import events
from core.runs.state.events import Artifact, Detail, EventWriter, Log, Metric, Progress, StateChange

TIMES = st.floats(0, 2e9)
COUNTS = st.integers(0, 2**40)
SAFE = st.text(st.characters(categories=("L", "N", "P", "Zs")), max_size=30)
JSON = st.recursive(
    st.none() | st.booleans() | COUNTS | st.floats(allow_nan=False, allow_infinity=False) | SAFE,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(SAFE, inner, max_size=3),
    max_leaves=8,
)
EVENTS = st.one_of(
    st.builds(Detail, TIMES, SAFE, st.dictionaries(SAFE, JSON, max_size=3)),
    st.builds(Progress, TIMES, COUNTS, COUNTS, SAFE),
    st.builds(Metric, TIMES, SAFE, st.none() | st.floats(allow_nan=False, allow_infinity=False), COUNTS, SAFE),
    st.builds(Log, TIMES, SAFE),
    st.builds(Artifact, TIMES, SAFE, SAFE),
    st.builds(StateChange, TIMES, SAFE, SAFE),
)


@given(EVENTS)
def test_an_event_survives_its_line(event: events.Event) -> None:
    line = events.line(event)
    assert line.endswith(b"\n")
    assert line.count(b"\n") == 1
    assert events.parse(line) == event


@given(st.binary(max_size=200))
def test_any_line_is_an_event_or_nothing(line: bytes) -> None:
    events.parse(line)


def test_a_hostile_label_cannot_disturb_the_terminal() -> None:
    event = events.parse(events.line(Metric(1.0, "error", 0.5, 0, "\x1b]0;owned\x07layer\u202e")))
    assert isinstance(event, Metric)
    assert not set("\x1b\x07\u202e") & set(event.label)
    assert "layer" in event.label


def test_the_texts_of_a_detail_cannot_disturb_the_terminal_however_deep_they_stand() -> None:
    event = events.parse(events.line(Detail(1.0, "round", {"drafted": [{"te\x1bxt": "a\x1b[2Jb\n\tc"}], "n": 3})))
    assert isinstance(event, Detail)
    assert "x1b" not in repr(event.data)
    assert "b\n\tc" in next(iter(event.data["drafted"][0].values())), "lines of a text stay lines"
    assert event.data["n"] == 3


def test_a_detail_that_is_not_an_object_is_no_event() -> None:
    assert events.parse(b'{"t": 1.0, "type": "detail", "kind": "round", "data": [1]}') is None


def test_a_figure_that_is_no_number_arrives_as_none() -> None:
    event = events.parse(events.line(Metric(1.0, "ppl", float("inf"), 0, "")))
    assert isinstance(event, Metric)
    assert event.value is None


@given(st.lists(EVENTS, max_size=8), st.integers(0, 400))
def test_a_half_written_line_waits_for_its_other_half(written: list[events.Event], cut: int) -> None:
    import tempfile

    data = b"".join(events.line(event) for event in written)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "events.jsonl"
        path.write_bytes(data[:cut])
        first, offset = events.read(path)
        with path.open("ab") as file:
            file.write(data[cut:])
        second, end = events.read(path, offset)
    assert first + second == written
    assert end == len(data)


def test_foreign_and_broken_lines_are_passed_over(tmp_path: Path) -> None:
    path = tmp_path / "events.jsonl"
    good = Log(1.0, "still here")
    path.write_bytes(b'{"type": "hologram"}\n\xff\xfe\n[]\n{"type": "log"}\nnull\n' + events.line(good) + b"[" * 100_000 + b"\n")
    assert events.read_all(path) == [good]


def test_a_missing_file_has_no_events(tmp_path: Path) -> None:
    assert events.read(tmp_path / "none") == ([], 0)


def test_a_line_without_end_is_not_read_for_ever(tmp_path: Path) -> None:
    path = tmp_path / "events.jsonl"
    path.write_bytes(b"x" * (9 << 20) + b"\n" + events.line(Log(1.0, "after")))
    assert events.read_all(path) == [Log(1.0, "after")]


def test_two_writers_never_mix_their_lines(tmp_path: Path) -> None:
    path = tmp_path / "events.jsonl"

    def write(name: str) -> None:
        writer = EventWriter(path)
        for index in range(200):
            writer.write(Log(float(index), name * 50))
        writer.close()

    threads = [threading.Thread(target=write, args=(name,)) for name in "ab"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    found = events.read_all(path)
    assert len(found) == 400
    assert {event.text for event in found if isinstance(event, Log)} == {"a" * 50, "b" * 50}
