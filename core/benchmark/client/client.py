"""Send requests and stamp what comes back, and nothing else: answers are taken apart later, by another process.

Bytes are stamped as they come off the network (`core.benchmark.client.stamping`); that, and that a read is but kept, is what keeps
the client's own time out of what it measures.
"""

from __future__ import annotations

import asyncio
import os
import socket
import ssl
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from time import monotonic_ns
from types import SimpleNamespace
from typing import Any, Self

import aiohttp

from core.benchmark.client.held import Held
from core.benchmark.client.raw import Raw
from core.benchmark.client.refusal import of_tls, reason_in, redirected
from core.benchmark.client.request import Request, address_of, headers_of
from core.benchmark.client.stamping import Arrivals, StampingConnector
from core.engine import Endpoint

_ERROR_BODY = 4096
_TAIL = 24
_GRACE = 1.0
"""Seconds that a server gets to end a response after its `[DONE]`."""
_LONGEST_PAUSE = 30.0


@dataclass(frozen=True)
class Patience:
    """How long is waited for what, in seconds."""

    total: float = 600.0
    """From the moment a request is sent, or first tried, to the end of its answer."""
    silence: float = 120.0
    """Between two reads, the first included."""
    connect: float = 10.0
    retries: int = 0
    """How often a request that was turned away with 429 or 503 is sent again, after as long as the server asks for."""


class Client:
    """Keeps at most `connections` open to a server and sends requests over them."""

    def __init__(self, target: Endpoint, connections: int, patience: Patience, held: Held) -> None:
        self._target, self._connections, self._patience, self._held = target, connections, patience, held
        self._session: aiohttp.ClientSession | None = None
        self._connector: StampingConnector
        self.opened = 0
        """Connections that were opened."""

    async def __aenter__(self) -> Self:
        trace = aiohttp.TraceConfig()
        trace.on_connection_create_end.append(self._connected)
        # Of the body: requests that begin together are written one after the other, and headers only with it.
        trace.on_request_chunk_sent.append(_sent)
        self._connector = StampingConnector(limit=self._connections, ssl=self._target.verify, socket_factory=_socket)
        timeout = aiohttp.ClientTimeout(total=None, sock_connect=self._patience.connect, sock_read=self._patience.silence)
        self._session = aiohttp.ClientSession(
            connector=self._connector, timeout=timeout, trace_configs=[trace], auto_decompress=True, headers=headers_of(self._target), trust_env=False
        )
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._session is not None:
            await self._session.close()

    async def send(self, request: Request, begin: int) -> Raw:
        """One request, to its end or its time limit. Nothing is raised but the cancellation of the load."""
        raw = Raw(request.index, begin + request.due, free=monotonic_ns())
        try:
            async with asyncio.timeout(self._patience.total):
                await self._with_retries(request, raw)
        except aiohttp.ConnectionTimeoutError as error:
            raw.status, raw.reason = "failed", _words(error, self._target)
        except aiohttp.SocketTimeoutError:
            raw.status, raw.reason = "timed_out", f"no data for {self._patience.silence:g} s"
        except TimeoutError:
            raw.status, raw.reason = "timed_out", raw.reason or f"no complete response within {self._patience.total:g} s"
        except asyncio.CancelledError:
            raw.status, raw.reason = "cancelled", "the load was stopped"
        except Exception as error:
            raw.status, raw.reason = "failed", _words(error, self._target)
        raw.ended = monotonic_ns()
        return raw

    async def _with_retries(self, request: Request, raw: Raw) -> None:
        for attempt in range(self._patience.retries + 1):
            raw.retries = attempt
            pause = await self._over_any(request, raw)
            if pause is None or attempt == self._patience.retries:
                return
            await asyncio.sleep(min(pause, _LONGEST_PAUSE))
            raw.status, raw.reason, raw.reads, raw.http = "done", "", [], None

    async def _over_any(self, request: Request, raw: Raw) -> float | None:
        """One attempt. A connection that was kept may have been closed since: a request that meets one, and hears nothing, takes the next."""
        while True:
            before, raw.connected = raw.connected, False
            try:
                return await self._once(request, raw)
            except aiohttp.ClientConnectorError:
                raise
            except (aiohttp.ServerDisconnectedError, aiohttp.ClientOSError, ConnectionError):
                if raw.connected or raw.http is not None:
                    raise
            finally:
                raw.connected |= before

    async def _once(self, request: Request, raw: Raw) -> float | None:
        """One attempt; how long to wait before the next when the server turned it away."""
        assert self._session is not None
        async with self._session.post(address_of(self._target), data=request.body, allow_redirects=False, trace_request_ctx=raw) as response:
            arrivals = self._connector.arrivals(response)
            raw.http, raw.content_type = response.status, response.headers.get("Content-Type", "")
            if 300 <= response.status < 400:
                raw.status = "failed"
                raw.reason = redirected(address_of(self._target), response.status, response.headers.get("Location", ""))
                return None
            if response.status != 200:
                body = await response.content.read(_ERROR_BODY)
                raw.status, raw.reason = "failed", f"HTTP {response.status}: {reason_in(body.decode(errors='replace')) or response.reason or ''}"
                return _retry_after(response) if response.status in (429, 503) else None
            await self._read(response, arrivals, raw)
        return None

    async def _read(self, response: aiohttp.ClientResponse, arrivals: Arrivals, raw: Raw) -> None:
        """Keep every piece with the moment at which it came, until the response ends."""
        read, stamped, keep, add = response.content.readany, arrivals.stamped, raw.reads.extend, self._held.add
        while data := await read():
            try:
                raw.held = add(raw.held, data)
            except ValueError:
                raw.reads.clear()
                raise
            keep(stamped(data))
            if b"[DONE]" in data[-_TAIL:] and not response.content.at_eof():
                with suppress(TimeoutError):
                    await asyncio.wait_for(_drain(read), _GRACE)
                return

    async def _connected(self, _session: aiohttp.ClientSession, context: SimpleNamespace, _params: Any) -> None:
        self.opened += 1
        context.trace_request_ctx.connected = True


async def _drain(read: Callable[[], Awaitable[bytes]]) -> None:
    """Nothing that follows the end is kept."""
    while await read():
        pass


async def _sent(_session: aiohttp.ClientSession, context: SimpleNamespace, _params: Any) -> None:
    context.trace_request_ctx.sent = monotonic_ns()


def _socket(info: tuple[Any, ...]) -> socket.socket:
    family, kind, protocol, _, _ = info
    made = socket.socket(family, kind, protocol)
    if family in (socket.AF_INET, socket.AF_INET6):
        made.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return made


def _retry_after(response: aiohttp.ClientResponse) -> float:
    """Seconds that the server asks for, as a number or as a date (RFC 9110, section 10.2.3); 1 where it asks for nothing that is understood."""
    wait = response.headers.get("Retry-After", "1")
    try:
        return max(0.0, float(wait))
    except ValueError:
        pass
    try:
        return max(0.0, (parsedate_to_datetime(wait) - datetime.now(UTC)).total_seconds())
    except (ValueError, TypeError, OverflowError):
        return 1.0


def _words(error: Exception, target: Endpoint) -> str:
    """What went wrong, and where."""
    where = target.url
    if isinstance(error, aiohttp.ConnectionTimeoutError):
        return f"no connection to {where} in time"
    if (tls := _tls(error)) is not None:
        return of_tls(where, tls)
    if isinstance(error, aiohttp.ClientConnectorError):
        number = error.os_error.errno
        return f"no connection to {where}: {os.strerror(number) if number else error.os_error}"
    if isinstance(error, aiohttp.ServerDisconnectedError | aiohttp.ClientPayloadError | ConnectionError | aiohttp.ClientOSError):
        return "the server closed the connection mid-response"
    return str(error) if isinstance(error, ValueError) and str(error) else f"{type(error).__name__}: {error}"


def _tls(error: Exception) -> ssl.SSLError | None:
    if isinstance(error, aiohttp.ClientConnectorCertificateError):
        error = error.certificate_error
    elif isinstance(error, aiohttp.ClientConnectorError):
        error = error.os_error
    return error if isinstance(error, ssl.SSLError) else None
