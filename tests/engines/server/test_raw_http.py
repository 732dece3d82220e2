"""What is not HTTP, or breaks off, is an error of the client too: 400 in JSON, no traceback in the log, and the next is answered."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import AsyncIterator, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from aiohttp.test_utils import TestClient, TestServer

from engines.server import app
from engines.server.app import make_app
from engines.server.backends.runtime import RuntimeBackend
from engines.server.worker import Worker

GOOD = b'{"prompt":"a","max_tokens":1}'
CHUNKED = b"Transfer-Encoding: chunked\r\n\r\n"


@pytest.fixture(scope="module")
def worker(tiny_llama_dir: Path) -> Iterator[Worker]:
    worker = Worker(RuntimeBackend(str(tiny_llama_dir), 100, "float32", "cpu"))
    yield worker
    worker.close()


@pytest.fixture
async def server(worker: Worker) -> AsyncIterator[TestServer]:
    made = TestServer(make_app(worker))
    async with TestClient[Any, Any](made):
        yield made


async def answered(server: TestServer, parts: Sequence[bytes]) -> tuple[int, str]:
    """Status and text of the error, after the parts were sent one by one."""
    reader, writer = await asyncio.open_connection(server.host, server.port)
    for part in parts:
        writer.write(part)
        await writer.drain()
        await asyncio.sleep(0.05 if len(parts) > 1 else 0)
    head = (await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 10)).lower()
    body = await asyncio.wait_for(reader.readexactly(int(head.partition(b"content-length:")[2].split()[0])), 10)
    writer.close()
    return int(head.split()[1]), json.loads(body)["error"]["message"]


def post(more: bytes) -> bytes:
    return b"POST /v1/completions HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Type: application/json\r\n" + more


def chunk(data: bytes) -> bytes:
    return b"%x\r\n%s\r\n" % (len(data), data)


WRONG: dict[str, Sequence[bytes]] = {
    "a chunk size that is no number": [post(CHUNKED) + b"zz\r\nabc\r\n0\r\n\r\n"],
    "a negative chunk size": [post(CHUNKED) + b"-5\r\nabc\r\n0\r\n\r\n"],
    "a chunk size of 80 bits": [post(CHUNKED) + b"f" * 20 + b"\r\nabc\r\n0\r\n\r\n"],
    "a chunk without its end": [post(CHUNKED) + b"3\r\nabcXX0\r\n\r\n"],
    "a wrong chunk after a right one": [post(CHUNKED), chunk(GOOD), b"zz\r\nabc\r\n0\r\n\r\n"],
    "a chunk that breaks its length": [post(CHUNKED), b"2\r\n", b"abcdef\r\n0\r\n\r\n"],
    "a trailer beyond all bounds": [post(CHUNKED) + chunk(GOOD) + b"0\r\nX: " + b"a" * 100_000 + b"\r\n\r\n"],
    "two lengths": [post(b"Content-Length: 5\r\nContent-Length: 6\r\n\r\n") + GOOD],
    "a length and chunks": [post(b"Content-Length: 5\r\n" + CHUNKED) + chunk(GOOD) + b"0\r\n\r\n"],
    "an unknown transfer": [post(b"Transfer-Encoding: bogus\r\n\r\n") + GOOD],
    "a negative length": [post(b"Content-Length: -5\r\n\r\n") + GOOD],
    "a length in words": [post(b"Content-Length: abc\r\n\r\n") + GOOD],
    "a header without a colon": [post(b"Bad Header\r\nContent-Length: 2\r\n\r\n") + b"{}"],
    "a NUL in a header": [post(b"X: a\x00b\r\nContent-Length: 2\r\n\r\n") + b"{}"],
    "a header beyond all bounds": [post(b"X: " + b"a" * 100_000 + b"\r\nContent-Length: 2\r\n\r\n") + b"{}"],
    "thousands of headers": [post(b"".join(b"X%d: a\r\n" % number for number in range(5000)) + b"Content-Length: 2\r\n\r\n") + b"{}"],
    "a URL beyond all bounds": [b"GET /" + b"a" * 100_000 + b" HTTP/1.1\r\nHost: x\r\n\r\n"],
    "a URL that is none": [b"GET http://[::1/health HTTP/1.1\r\nHost: x\r\n\r\n"],
    "an unknown method": [b"FOO /health HTTP/1.1\r\nHost: x\r\n\r\n"],
    "an unknown version": [b"GET /health HTTP/3.0\r\nHost: x\r\n\r\n"],
    "TLS": [b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(50)],
}


@pytest.mark.parametrize("parts", WRONG.values(), ids=WRONG.keys())
async def test_what_is_not_http_is_said_in_one_line(server: TestServer, parts: Sequence[bytes], caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO, "aiohttp.server"):
        status, sentence = await answered(server, parts)
    assert status == 400
    assert sentence.startswith(("the request is not valid HTTP: ", "the body cannot be read: "))
    assert "\n" not in sentence
    assert len(sentence) < 400
    assert caplog.records == []


async def test_a_body_that_does_not_come_is_not_waited_for(server: TestServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(app, "_PATIENCE", 0.2)
    assert await answered(server, [post(b"Content-Length: 100\r\n\r\n") + GOOD]) == (408, "the body did not arrive within 0 s")
    assert await answered(server, [post(CHUNKED) + chunk(GOOD)]) == (408, "the body did not arrive within 0 s")
