"""A server whose answers come at known times: `python -m core.benchmark.calibrate.server PORT TTFT_MS RATE`, what a client is held against.

Every piece of an answer has its moment, counted from the request and not from the piece before, and carries the moment at which it
was really written (`t`, nanoseconds of the monotonic clock). How late it was itself the server says at `/lateness`, what it really did to
each request at `/truth`, and when each came at `/arrivals`: a client is only judged by times that the server kept, or by those that it says
it had instead.
"""

from __future__ import annotations

import asyncio
import gc
import json
import sys
from itertools import pairwise
from math import ceil
from statistics import median
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
        self.requests: list[list[int]] = []
        """Of each request the moment at which it was whole, then those at which its pieces were written, in nanoseconds."""
        self.opened = 0
        """Connections on which a request came."""

    def truth(self) -> dict[str, object]:
        """What a client that costs nothing would have measured, in milliseconds; None where there was nothing to measure.

        `ttft_p50_ms` is from the whole request to its first piece, `itl_p50_ms` a gap between pieces, `tpot_p50_ms` the mean gap of a request.
        """
        answered = [stamps for stamps in self.requests if len(stamps) > 1]
        gaps = [after - before for stamps in answered for before, after in pairwise(stamps[1:])]
        means = [(stamps[-1] - stamps[1]) / (len(stamps) - 2) for stamps in answered if len(stamps) > 2]
        return {
            "requests": len(self.requests),
            "connections": self.opened,
            "pieces": sum(len(stamps) - 1 for stamps in answered),
            "ttft_p50_ms": _median([stamps[1] - stamps[0] for stamps in answered]),
            "itl_p50_ms": _median(gaps),
            "tpot_p50_ms": _median(means),
            "late_p50_ms": None if not self.late else 1000 * median(self.late),
            "late_p99_ms": None if not self.late else 1000 * sorted(self.late)[ceil(0.99 * len(self.late)) - 1],
        }


class _Connection(asyncio.Protocol):
    """One client; requests one after the other."""

    def __init__(self, server: Calibrated) -> None:
        self._server = server
        self._loop = asyncio.get_running_loop()
        self._buffer = b""
        self._timer: asyncio.TimerHandle | None = None
        self._asked = False

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
        document: dict[str, object]
        if b" /lateness" in head:
            document = {"late": self._server.late}
        elif b" /truth" in head:
            document = self._server.truth()
        elif b" /arrivals" in head:
            document = {"arrivals": [stamps[0] for stamps in self._server.requests]}
        else:
            document = {"object": "list", "data": [{"id": "calibrated", "object": "model"}]}
        body = json.dumps(document).encode()
        self._transport.write(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n" % len(body) + body)

    def _begin(self, body: bytes) -> None:
        self._start, self._piece, self._stamps = self._loop.time() + self._server.first, 0, [monotonic_ns()]
        self._server.requests.append(self._stamps)
        self._server.opened += not self._asked
        self._asked = True
        request = json.loads(body)
        self._pieces = int(request.get("max_tokens") or request.get("max_completion_tokens") or 16)
        self._prompt = len(body) // 4
        self._timer = self._loop.call_at(self._start, self._send)

    def _send(self) -> None:
        self._server.late.append(self._loop.time() - self._start - self._piece * self._server.gap)
        now = monotonic_ns()
        self._stamps.append(now)
        self._transport.write((b"" if self._piece else _OK) + _chunk(_PIECE % now))
        self._piece += 1
        if self._piece < self._pieces:
            self._timer = self._loop.call_at(self._start + self._piece * self._server.gap, self._send)
        else:
            self._transport.write(_chunk(_LAST % (self._prompt, self._pieces)) + b"0\r\n\r\n")


def _chunk(data: bytes) -> bytes:
    return b"%x\r\n%s\r\n" % (len(data), data)


def _median(nanoseconds: list[int] | list[float]) -> float | None:
    return median(nanoseconds) / 1e6 if nanoseconds else None


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
    """Serve as the arguments say: port, milliseconds to the first token, tokens per second of each stream."""
    port, first, rate = int(sys.argv[1]), float(sys.argv[2]) / 1000, float(sys.argv[3])
    # A collection of everything takes milliseconds, in which nothing is written.
    gc.freeze()
    gc.disable()
    asyncio.run(serve(port, first, 1 / rate))


if __name__ == "__main__":
    main()
