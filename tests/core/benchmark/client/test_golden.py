"""Golden answers: one answer of known tokens and times, in every form in which servers send it, has the same exact metrics."""

from __future__ import annotations

import json
import socket
import threading
import time
from collections.abc import Sequence
from typing import Any

import pytest

from core.benchmark.client.load import Load, run_load
from core.benchmark.client.outcome import Outcome
from core.benchmark.client.raw import Raw
from core.benchmark.client.request import Request
from core.benchmark.client.sse import Read
from core.benchmark.metrics import OF_REQUEST, SAMPLES
from core.engine import Endpoint

MS = 1_000_000
USAGE = {"prompt_tokens": 7, "completion_tokens": 6}
TEXT = "über den Wolken"
PIECES = ("über", " d", "en Wol", "ken")
"""Six tokens in four pieces: the second holds half a token, the third its other half and two more."""
TIMES = (50, 70, 90, 130)
"""Milliseconds after the request was due at which the pieces came."""
DUE, SENT = 1_000 * MS, 1_002 * MS
EXACT = {
    "ttft_ms": [50.0],
    "ttft_sent_ms": [48.0],
    "tpot_ms": [16.0],
    "itl_ms": [20.0, 20.0, 40.0],
    "e2el_ms": [130.0],
    "normalized_ms": [130.0 / 6],
    "queue_ms": [2.0],
    "itl_of_request_ms": [80.0 / 3],
    "request_tokens_per_second": [6000.0 / 130.0],
}


def chunk(content: str | None, **more: Any) -> bytes:
    return json.dumps({"choices": [{"index": 0, "delta": {} if content is None else {"content": content}}], **more}, ensure_ascii=False).encode()


def event(data: bytes, end: bytes = b"\n") -> bytes:
    return b"data: " + data + 2 * end


def plain(end: bytes = b"\n", done: bytes = b"data: [DONE]") -> list[tuple[float, bytes]]:
    """(milliseconds, bytes): a role first, the pieces, nothing but usage, the end."""
    role = event(json.dumps({"choices": [{"delta": {"role": "assistant", "content": ""}}]}).encode(), end)
    parts = [(10.0, role), *((float(t), event(chunk(piece), end)) for t, piece in zip(TIMES, PIECES, strict=True))]
    return [*parts, (160.0, event(json.dumps({"choices": [], "usage": USAGE}).encode(), end)), *([(170.0, done + 2 * end)] if done else [])]


def replaced(parts: Sequence[tuple[float, bytes]], index: int, *others: tuple[float, bytes]) -> list[tuple[float, bytes]]:
    return [*parts[:index], *others, *parts[index + 1 :]]


def split_in_a_character() -> list[tuple[float, bytes]]:
    """The line of the first piece is cut within the two bytes of its first letter, the rest comes at its time."""
    whole = plain()[1][1]
    cut = whole.index("ü".encode()) + 1
    return replaced(plain(), 1, (45.0, whole[:cut]), (50.0, whole[cut:]))


def two_events_a_read() -> list[tuple[float, bytes]]:
    """The last piece, its usage and the end come in one read."""
    parts = plain()
    return [*parts[:4], (130.0, b"".join(data for _, data in parts[4:]))]


FORMS: dict[str, list[tuple[float, bytes]]] = {
    "as documented": plain(),
    "CRLF": plain(b"\r\n"),
    "CR alone": plain(b"\r"),
    "no [DONE]": plain(done=b""),
    "cut within a character": split_in_a_character(),
    "several events a read": two_events_a_read(),
    "comments between": [part for t, data in plain() for part in ((t - 3, b": ping\n\n"), (t, data))],
    "a comment of a megabyte": [(5.0, b":" + b"x" * (1 << 20) + b"\n\n"), *plain()],
    "a line of a megabyte": replaced(plain(), 3, (90.0, event(chunk(PIECES[2], padding="x" * (1 << 20))))),
    "usage in every chunk": [(t, data.replace(b'"choices"', b'"usage": {"completion_tokens": 6}, "choices"', 1)) for t, data in plain()],
    "no space behind the colon": [(t, data.replace(b"data: ", b"data:")) for t, data in plain()],
    "empty pieces between": [*plain()[:2], (55.0, event(chunk(""))), (60.0, event(chunk(None))), *plain()[2:]],
    "two lines an event": replaced(plain(), 2, (70.0, event(chunk(PIECES[1]).replace(b', "delta"', b',\ndata: "delta"')))),
}


def outcome_of(parts: Sequence[tuple[float, bytes]]) -> Outcome:
    reads: list[Read] = [(DUE + round(t * MS), data) for t, data in parts]
    return Raw(0, DUE, free=DUE, sent=SENT, ended=reads[-1][0], reads=reads, http=200, content_type="text/event-stream").outcome("openai")


@pytest.mark.parametrize("form", FORMS)
def test_every_form_of_the_answer_has_the_same_metrics(form: str) -> None:
    outcome = outcome_of(FORMS[form])
    assert (outcome.status, outcome.reason, outcome.text, outcome.tokens) == ("done", "", TEXT, 6)
    assert {metric.tag: pytest.approx(metric.sample([outcome]), rel=1e-12) for metric in (*SAMPLES, *OF_REQUEST)} == EXACT


def test_every_quirk_at_once_has_the_same_metrics() -> None:
    """In reads of 1000 bytes, all that belong to a part at its time: one event is far larger than a read."""
    crowded = [(t, data.replace(b"\n", b"\r\n")) for t, data in FORMS["a line of a megabyte"]]
    reads = [(t, (b": ping\r\n\r\n" + data)[at : at + 1000]) for t, data in crowded for at in range(0, len(data) + 11, 1000)]
    outcome = outcome_of(reads)
    assert (outcome.text, outcome.tokens) == (TEXT, 6)
    assert {metric.tag: pytest.approx(metric.sample([outcome]), rel=1e-12) for metric in (*SAMPLES, *OF_REQUEST)} == EXACT


class Server(threading.Thread):
    """Sends one answer by the clock, in pieces of HTTP's chunked form, and keeps when it really sent what."""

    def __init__(self, parts: Sequence[tuple[float, bytes]]) -> None:
        super().__init__(daemon=True)
        self._parts = parts
        self._socket = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._socket.getsockname()[1]}"
        self.written: list[int] = []
        self.start()

    def run(self) -> None:
        connection, _ = self._socket.accept()
        with connection, self._socket:
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            connection.recv(1 << 16)
            connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n")
            begin = time.monotonic()
            for t, data in self._parts:
                time.sleep(max(0.0, begin + t / 1000 - time.monotonic()))
                self.written.append(time.monotonic_ns())
                connection.sendall(b"%x\r\n%s\r\n" % (len(data), data))
            connection.sendall(b"0\r\n\r\n")
            connection.recv(1)


@pytest.mark.parametrize("form", ["as documented", "cut within a character", "a line of a megabyte", "no [DONE]"])
def test_over_a_wire_the_answer_is_the_same_and_its_times_are_the_servers(form: str) -> None:
    parts = FORMS[form]
    server = Server(parts)
    (outcome,) = run_load(Load(Endpoint(server.url), [Request(0, 0, b"{}")], concurrency=1, closed=True)).outcomes
    assert (outcome.status, outcome.text, outcome.tokens, len(outcome.pieces)) == ("done", TEXT, 6, len(PIECES))
    written = [stamp for (t, _), stamp in zip(parts, server.written, strict=True) if t in TIMES]
    late = [(piece.t - stamp) / 1e6 for piece, stamp in zip(outcome.pieces, written, strict=True)]
    assert all(0 <= each < 50 for each in late), late
    assert sorted(late)[1] < 10, "half of the pieces are stamped as they come, even on a busy machine"
