"""A server whose answers come at known times: `python -m core.benchmark.calibrated PORT TTFT_MS RATE`, what a client is held against.

Every piece of an answer has its moment, counted from the request and not from the piece before, and carries the moment at which it
was really written (`t`, nanoseconds of the monotonic clock). How late it was itself the server says at `/lateness`: a client is only
judged where the server kept its times.
"""

from __future__ import annotations

import asyncio
import json
import sys
from time import monotonic_ns

_OK = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"
_PIECE = (
    b'data: {"id":"calibrated","object":"chat.completion.chunk","model":"calibrated","t":%d,"choices":[{"index":0,"delta":{"content":"tok "}}]}\n\n'
)
_LAST = b'data: {"choices":[],"usage":{"prompt_tokens":%d,"completion_tokens":%d}}\n\ndata: [DONE]\n\n'


class Calibrated:
    """The times of a server, and how it kept them."""

    def __init__(self, first: float, gap: float) -> None:
        self.first, self.gap = first, gap
        self.late: list[float] = []
        """Seconds between the moment a piece was due and the moment it was written."""


class _Connection(asyncio.Protocol):
    """One client; requests one after the other."""

    def __init__(self, server: Calibrated) -> None:
        self._server = server
        self._loop = asyncio.get_running_loop()
        self._buffer = b""
        self._timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002
        if self._timer is not None:
            self._timer.cancel()

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        end = self._buffer.find(b"\r\n\r\n")
        if end < 0:
            return
        head = self._buffer[:end].lower()
        at = head.find(b"content-length:")
        length = int(head[at + 15 :].split(b"\r\n", 1)[0]) if at >= 0 else 0
        if len(self._buffer) < end + 4 + length:
            return
        body, self._buffer = self._buffer[end + 4 : end + 4 + length], self._buffer[end + 4 + length :]
        if head.startswith(b"post"):
            self._begin(body)
        else:
            self._answer(head)

    def _answer(self, head: bytes) -> None:
        document = {"late": self._server.late} if b" /lateness" in head else {"data": [{"id": "calibrated", "object": "model"}]}
        body = json.dumps(document).encode()
        self._transport.write(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n" % len(body) + body)

    def _begin(self, body: bytes) -> None:
        asked = json.loads(body)
        self._start, self._piece, self._pieces = self._loop.time() + self._server.first, 0, int(asked.get("max_tokens") or 16)
        self._prompt = len(body) // 4
        self._transport.write(_OK)
        self._timer = self._loop.call_at(self._start, self._send)

    def _send(self) -> None:
        self._server.late.append(self._loop.time() - self._start - self._piece * self._server.gap)
        self._chunk(_PIECE % monotonic_ns())
        self._piece += 1
        if self._piece < self._pieces:
            self._timer = self._loop.call_at(self._start + self._piece * self._server.gap, self._send)
        else:
            self._chunk(_LAST % (self._prompt, self._pieces))
            self._transport.write(b"0\r\n\r\n")

    def _chunk(self, data: bytes) -> None:
        self._transport.write(b"%x\r\n%s\r\n" % (len(data), data))


async def serve(port: int, first: float, gap: float) -> None:
    """Serve on 127.0.0.1 until cancelled; the port, which may be 0, is printed when connections are taken.

    Args:
        port: 0 takes a free one.
        first: seconds to the first piece.
        gap: seconds between pieces.
    """
    times = Calibrated(first, gap)
    server = await asyncio.get_running_loop().create_server(lambda: _Connection(times), "127.0.0.1", port, backlog=1024)
    sys.stdout.write(f"{server.sockets[0].getsockname()[1]}\n")
    sys.stdout.flush()
    await server.serve_forever()


def main() -> None:
    """Serve as the arguments say: port, milliseconds to the first token, tokens a second of each stream."""
    port, first, rate = int(sys.argv[1]), float(sys.argv[2]) / 1000, float(sys.argv[3])
    asyncio.run(serve(port, first, 1 / rate))


if __name__ == "__main__":
    main()
