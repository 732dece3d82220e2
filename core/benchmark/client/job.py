"""What a worker process of a load gets, and how. It comes over a pipe, so that a key is never in a command line or a file."""

from __future__ import annotations

import asyncio
import base64
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import BinaryIO

from core.benchmark.client.client import Patience
from core.benchmark.client.request import Request
from core.engine import Endpoint

_LENGTH = 8
PAUSE = b"pause"
"""Order to a worker: send nothing new. Requests in flight are finished."""
GO_ON = b"go on "
"""Order to a worker: send again. Behind it stand the nanoseconds by which everything that was not sent is later by now."""


@dataclass(frozen=True)
class Job:
    """The share of one worker process."""

    target: Endpoint
    requests: Sequence[Request]
    """Those that it paces itself; of a closed load all, of which it takes those that it draws a ticket for."""
    slots: int
    """Requests that are under way at once."""
    closed: bool
    """Whether the next request is due when a slot is free, instead of at a time."""
    patience: Patience
    tokens: int
    """Most tokens that a request asks for."""

    def packed(self) -> bytes:
        """As one frame."""
        target = asdict(self.target)
        document = {
            "target": target,
            "requests": [[request.index, request.due, base64.b64encode(request.body).decode()] for request in self.requests],
            "slots": self.slots,
            "closed": self.closed,
            "patience": asdict(self.patience),
            "tokens": self.tokens,
        }
        return framed(json.dumps(document).encode())

    @classmethod
    def unpacked(cls, frame: bytes) -> Job:
        """What was packed, without its length."""
        document = json.loads(frame)
        requests = [Request(index, due, base64.b64decode(body)) for index, due, body in document["requests"]]
        target, patience = Endpoint(**document["target"]), Patience(**document["patience"])
        return cls(target, requests, document["slots"], document["closed"], patience, document["tokens"])


def framed(data: bytes) -> bytes:
    """Data behind its length."""
    return len(data).to_bytes(_LENGTH, "little") + data


def read_frame(stream: BinaryIO) -> bytes | None:
    """The data of the next frame; None at the end, also where it is cut off."""
    head = stream.read(_LENGTH)
    if len(head) < _LENGTH:
        return None
    size = int.from_bytes(head, "little")
    data = stream.read(size)
    return data if len(data) == size else None


async def read_order(stream: asyncio.StreamReader) -> bytes | None:
    """As `read_frame`, of a stream."""
    try:
        size = int.from_bytes(await stream.readexactly(_LENGTH), "little")
        return await stream.readexactly(size)
    except asyncio.IncompleteReadError:
        return None
