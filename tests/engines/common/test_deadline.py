"""Servers that never finish an answer, or fill it with numbers that no arithmetic takes."""

from __future__ import annotations

import contextlib
import json
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from core.benchmark.client.documents import read_json
from core.engine import Endpoint, look_up
from core.errors import RequestError
from engines.common import http, scoring

HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"


@contextmanager
def dripping(first: bytes, drop: bytes) -> Iterator[str]:
    """A server that answers with `first`, and then a drop every 50 ms."""
    over = threading.Event()

    def serve(connection: socket.socket) -> None:
        with connection, contextlib.suppress(OSError):
            connection.recv(65536)
            connection.sendall(first)
            while not over.wait(0.05):
                connection.sendall(drop)

    def accept() -> None:
        with contextlib.suppress(OSError):
            while True:
                threading.Thread(target=serve, args=(listener.accept()[0],), daemon=True).start()

    with socket.create_server(("127.0.0.1", 0)) as listener:
        threading.Thread(target=accept, daemon=True).start()
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
        over.set()
        listener.shutdown(socket.SHUT_RDWR)


@pytest.mark.parametrize(
    ("first", "drop"),
    [
        (HEAD + b"Content-Length: 1000000\r\n\r\n{", b" "),
        (HEAD + b"Transfer-Encoding: chunked\r\n\r\n", b"1\r\n \r\n"),
        (HEAD + b"\r\n[", b" "),
        (HEAD, b"X-More: a\r\n"),
        (b"HTTP/1.1 ", b"2"),
        (b"HTTP/1.1 500 Oops\r\nContent-Length: 1000000\r\n\r\n", b"x"),
    ],
    ids=["length", "chunks", "no length", "headers", "status", "error"],
)
def test_an_answer_that_drips_has_a_limit(first: bytes, drop: bytes) -> None:
    with dripping(first, drop) as url:
        began = time.monotonic()
        with pytest.raises(RequestError) as late:
            http.get_json(Endpoint(url), "/v1/models", timeout=0.4)
        assert time.monotonic() - began < 3
        assert "did not finish its answer within 0.4 s" in str(late.value) or "HTTP 500" in str(late.value)


def test_an_answer_in_time_is_not_late() -> None:
    body = b'{"data": [{"id": "m"}]}'
    with dripping(HEAD + b"Content-Length: %d\r\n\r\n" % len(body) + body, b"") as url:
        assert look_up("openai").models(Endpoint(url)) == ("m",)


@pytest.mark.parametrize("number", ["9" * 400, "-" + "9" * 400, "9" * 4000, "1e999"])
def test_numbers_beyond_all_bounds_are_no_figures(number: str) -> None:
    found = read_json(f'{{"a": {number}, "b": {2**53}, "c": 7}}')
    assert isinstance(found["a"], float)
    assert (found["b"], found["c"]) == (2**53, 7)
    held = read_json(f'{{"choices": [{{"logprobs": {{"tokens": ["a", "b"], "token_logprobs": [null, -{number.lstrip("-")}]}}}}]}}')
    assert scoring.of_echo(held, None)[0].logprob == -float("inf")


def test_a_number_of_ten_thousand_digits_is_read_too() -> None:
    assert read_json(json.dumps({"a": 1})[:-2] + "9" * 10_000 + "}") == {"a": float("inf")}
