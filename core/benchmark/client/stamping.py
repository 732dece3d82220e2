"""When bytes came off the network, noted as they do: the task that reads them is woken a turn of the event loop later.

In that turn everything else that came at the same time is handled, so that stamps of the reading task are late by as much as there is to do:
12 ms where 128 answers begin together.
"""

from __future__ import annotations

import asyncio
from functools import partial
from time import monotonic_ns
from typing import Any

import aiohttp
from aiohttp.client_proto import ResponseHandler

Read = tuple[int, bytes]
"""Nanoseconds of the monotonic clock, and what came then."""


class Arrivals:
    """At which moment how much of a body was there."""

    __slots__ = ("_body", "_marks", "_next", "_taken")

    def __init__(self, body: aiohttp.StreamReader) -> None:
        self._body = body
        self._marks: list[tuple[int, int]] = []
        self._next = self._taken = 0

    def mark(self, moment: int) -> None:
        """What the body holds beyond the last mark came at this moment."""
        held = self._body.total_bytes
        if not self._marks or held > self._marks[-1][1]:
            self._marks.append((moment, held))

    def stamped(self, data: bytes) -> list[Read]:
        """The next bytes of the body by the moments at which they came, in one piece where they came at once."""
        begin, end = self._taken, self._taken + len(data)
        found: list[Read] = []
        while self._taken < end:
            while self._next < len(self._marks) and self._marks[self._next][1] <= self._taken:
                self._next += 1
            moment, held = self._marks[self._next] if self._next < len(self._marks) else (monotonic_ns(), end)
            upto = min(held, end)
            found.append((moment, data[self._taken - begin : upto - begin]))
            self._taken = upto
        return found


class _Stamping(ResponseHandler):
    """A connection that notes when it was given bytes."""

    def __init__(self, loop: asyncio.AbstractEventLoop, bodies: dict[int, Arrivals]) -> None:
        super().__init__(loop=loop)
        self._bodies = bodies
        self._arrivals: Arrivals | None = None

    def data_received(self, data: bytes) -> None:
        moment = monotonic_ns()
        super().data_received(data)
        if self._arrivals is not None:
            self._arrivals.mark(moment)

    def feed_data(self, data: Any, size: int = 0) -> None:
        """The head of an answer, with the body that is yet to come."""
        _, body = data
        if isinstance(body, aiohttp.StreamReader):
            self._arrivals = self._bodies[id(body)] = Arrivals(body)
        super().feed_data(data, size)


class StampingConnector(aiohttp.TCPConnector):
    """Makes connections that note when bytes came; `arrivals` gives the notes of a body once."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self._bodies: dict[int, Arrivals] = {}
        self._factory: Any = partial(_Stamping, loop=self._loop, bodies=self._bodies)

    def arrivals(self, response: aiohttp.ClientResponse) -> Arrivals:
        """The notes of the body of a response."""
        return self._bodies.pop(id(response.content), None) or Arrivals(response.content)
