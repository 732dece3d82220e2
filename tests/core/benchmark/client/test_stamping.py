"""Bytes carry the moment at which they came, however late they are read."""

from __future__ import annotations

import asyncio
from itertools import pairwise
from types import SimpleNamespace
from typing import Any

import aiohttp
from hypothesis import given
from hypothesis import strategies as st

from core.benchmark.client.stamping import Arrivals, StampingConnector

GAP = 0.03


def arrivals_of(pieces: list[int]) -> Arrivals:
    body: Any = SimpleNamespace(total_bytes=0)
    arrivals = Arrivals(body)
    for moment, size in enumerate(pieces):
        body.total_bytes += size
        arrivals.mark(moment)
    return arrivals


@given(st.lists(st.integers(0, 5), max_size=20), st.data())
def test_no_byte_is_lost_and_each_has_its_own_moment(pieces: list[int], data: st.DataObject) -> None:
    whole = b"".join(bytes([moment]) * size for moment, size in enumerate(pieces))
    arrivals, at = arrivals_of(pieces), 0
    found: list[tuple[int, bytes]] = []
    while at < len(whole):
        size = data.draw(st.integers(1, len(whole) - at))
        found += arrivals.stamped(whole[at : at + size])
        at += size
    assert b"".join(part for _, part in found) == whole
    assert all(set(part) == {moment} for moment, part in found)


def test_bytes_that_nobody_marked_are_of_now() -> None:
    arrivals = arrivals_of([3])
    (first, a), (second, b) = arrivals.stamped(b"aaabb")
    assert (first, a, b) == (0, b"aaa", b"bb")
    assert second > 0


async def _slow(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    for _ in range(2):
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\n0\r\n")
        for number in (b"1", b"2"):
            await asyncio.sleep(GAP)
            writer.write(b"1\r\n" + number + b"\r\n")
        writer.write(b"0\r\n\r\n")
    writer.close()


def test_what_is_read_late_was_stamped_as_it_came_on_a_connection_that_is_used_again() -> None:
    async def read_late() -> list[list[tuple[int, bytes]]]:
        server = await asyncio.start_server(_slow, "127.0.0.1", 0)
        url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/"
        connector = StampingConnector(limit=1)
        answers = []
        async with server, aiohttp.ClientSession(connector=connector) as session:
            for _ in range(2):
                async with session.post(url) as response:
                    arrivals = connector.arrivals(response)
                    await asyncio.sleep(4 * GAP)
                    answers.append(arrivals.stamped(await response.content.readany()))
        return answers

    for answer in asyncio.run(read_late()):
        assert [data for _, data in answer] == [b"0", b"1", b"2"]
        for (before, _), (after, _) in pairwise(answer):
            assert after - before > 0.5e9 * GAP
