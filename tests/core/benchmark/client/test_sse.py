"""Events out of raw reads, whatever the server does to its lines and the network to its reads."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from core.benchmark.client.sse import Read, events

DATA = st.binary(min_size=0, max_size=20).map(lambda data: data.replace(b"\r", b".").replace(b"\n", b"."))
ENDINGS = st.sampled_from([b"\n", b"\r\n", b"\r"])


def cut(body: bytes, places: list[int]) -> list[Read]:
    ends = sorted({min(place, len(body)) for place in places} | {len(body)})
    firsts = [0, *ends[:-1]]
    return [(10 * index, body[first:last]) for index, (first, last) in enumerate(zip(firsts, ends, strict=True))]


@given(st.lists(st.lists(DATA, min_size=1, max_size=3), max_size=5), ENDINGS, st.lists(st.integers(0, 400), max_size=12), st.booleans())
def test_every_event_comes_back_whatever_the_cuts(messages: list[list[bytes]], ending: bytes, places: list[int], comments: bool) -> None:
    body = b""
    for lines in messages:
        body += (b": keep-alive" + ending + ending) if comments else b""
        body += b"".join(b"data: " + line + ending for line in lines) + ending
    reads = cut(body, places)
    found = events(reads)
    assert [event.data for event in found] == [b"\n".join(lines) for lines in messages]
    times = [event.t for event in found]
    assert times == sorted(times)


@given(st.lists(st.integers(0, 80), max_size=8))
def test_an_event_counts_from_the_read_that_completes_its_line(places: list[int]) -> None:
    body = b'data: {"a": 1}\n\ndata: {"b": 2}\n\ndata: [DONE]\n\n'
    reads = cut(body, places)
    seen, naive = b"", []
    for t, data in reads:
        before = seen.count(b"}\n") + seen.count(b"]\n")
        seen += data
        naive += [t] * (seen.count(b"}\n") + seen.count(b"]\n") - before)
    assert [event.t for event in events(reads)] == naive


def test_the_quirks_of_servers() -> None:
    body = b'\xef\xbb\xbf:comment\r\n\r\nevent: error\r\ndata:{"no space": 1}\r\n\r\nretry: 5\nid: 3\n\ndata\n\ndata: last without a blank line'
    found = events([(7, body)])
    assert [(event.kind, event.data) for event in found] == [
        ("error", b'{"no space": 1}'),
        ("", b""),
        ("", b"last without a blank line"),
    ]


def test_a_line_of_a_megabyte_is_whole() -> None:
    body = b"data: " + b"x" * 2**20 + b"\n\n"
    (event,) = events(cut(body, list(range(0, len(body), 65536))))
    assert len(event.data) == 2**20


def test_nothing_is_nothing() -> None:
    assert events([]) == []
    assert events([(1, b"")]) == []
    assert events([(1, b": only a comment\n\n")]) == []
