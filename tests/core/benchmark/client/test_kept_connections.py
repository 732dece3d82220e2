"""A server that closes every connection after its answer without announcing it, as llama-server does after a stream."""

from __future__ import annotations

import asyncio
from time import monotonic_ns

from core.benchmark.client.client import Client, Patience
from core.benchmark.client.held import Held
from core.benchmark.client.raw import Raw
from core.benchmark.client.request import Request
from core.engine import Endpoint

REQUESTS = 12
HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\nKeep-Alive: timeout=5, max=100\r\n\r\n"
EVENTS = b'data: {"choices":[{"text":"a"}]}\n\ndata: [DONE]\n\n'
ANSWER = HEAD + b"%x\r\n%s\r\n0\r\n\r\n" % (len(EVENTS), EVENTS)


class Closing:
    """Answers the first request of a connection, or none at all, and hangs up when the next one comes."""

    def __init__(self, *, answers: bool = True) -> None:
        self.answers, self.opened, self.read = answers, 0, 0

    async def __call__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.opened += 1
        await self._request(reader)
        if self.answers:
            writer.write(ANSWER)
            await writer.drain()
            await self._request(reader)
        writer.close()

    async def _request(self, reader: asyncio.StreamReader) -> None:
        try:
            head = await reader.readuntil(b"\r\n\r\n")
        except asyncio.IncompleteReadError:
            return
        self.read += 1
        length = next(line for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:"))
        await reader.readexactly(int(length.split(b":")[1]))


async def asked(server: Closing, at_once: int) -> list[Raw]:
    listening = await asyncio.start_server(server, "127.0.0.1", 0)
    port = listening.sockets[0].getsockname()[1]
    found: list[Raw] = []
    async with Client(Endpoint(f"http://127.0.0.1:{port}", style="completions"), at_once, Patience(total=10), Held(at_once, 8)) as client:

        async def stream(first: int) -> None:
            requests = (Request(index, 0, b"{}") for index in range(first, REQUESTS, at_once))
            found.extend([await client.send(ask, monotonic_ns()) for ask in requests])

        await asyncio.gather(*map(stream, range(at_once)))
    listening.close()
    return found


async def test_a_request_over_a_connection_that_is_gone_takes_another() -> None:
    for at_once in (1, 3):
        server = Closing()
        found = await asked(server, at_once)
        assert [raw.status for raw in found] == ["done"] * REQUESTS, [raw.reason for raw in found]
        assert server.opened == REQUESTS
        # Every connection but the last of each stream was tried a second time.
        assert server.read == 2 * REQUESTS - at_once
        assert sum(raw.connected for raw in found) == REQUESTS


async def test_a_new_connection_that_ends_without_an_answer_is_a_failure_and_asked_once() -> None:
    server = Closing(answers=False)
    found = await asked(server, 2)
    assert [raw.status for raw in found] == ["failed"] * REQUESTS
    assert server.read == REQUESTS
    assert "closed the connection" in found[0].reason
