"""Requests to a server that speaks OpenAI's chat completions, over connections that are kept."""

from __future__ import annotations

import asyncio
import json
from types import TracebackType
from typing import Any, Self

import aiohttp

from core.distill.data.client.request import Reply, Request, RequestFailed
from core.distill.data.client.stream import Completion, error_in
from core.distill.data.conversation import documents
from core.engine import Endpoint
from core.sanitize import HIDDEN, clean

_BUSY = (408, 409, 425, 429, 500, 502, 503, 504, 529)
"""Statuses after which the same request may succeed."""
_FATAL = (401, 402, 403, 404)
_LARGEST = 64 << 20
_ERROR_BODY = 4096
_SHOWN = 300
_LONGEST_PAUSE = 120.0


class AddressClient:
    """Sends requests to one server. To be used as an asynchronous context manager; `send` is a `Send`.

    Args:
        endpoint: of the server; its key is sent and never shown or returned.
        connections: at once.
        timeout: seconds for a whole reply.
        silence: seconds without any data.
    """

    def __init__(self, endpoint: Endpoint, connections: int, timeout: float, silence: float) -> None:
        self._endpoint, self._connections, self._timeout, self._silence = endpoint, connections, timeout, silence
        self._session: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> Self:
        key = self._endpoint.key
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=self._connections, ssl=self._endpoint.verify),
            timeout=aiohttp.ClientTimeout(total=self._timeout, sock_connect=min(10.0, self._timeout), sock_read=self._silence),
            headers={"Content-Type": "application/json"} | ({"Authorization": f"Bearer {key}"} if key else {}),
            trust_env=False,
        )
        return self

    async def __aexit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        if self._session is not None:
            await self._session.close()

    async def send(self, request: Request) -> Reply:
        """One request, once. Raises RequestFailed."""
        assert self._session is not None
        body = json.dumps(self._body(request), ensure_ascii=False).encode()
        url = self._endpoint.at("/v1/chat/completions")
        try:
            async with self._session.post(url, data=body, allow_redirects=False) as response:
                if response.status != 200:
                    raise await self._refused(response)
                return self._without_key(await _read(response))
        except TimeoutError as error:
            raise RequestFailed(f"no complete response in time ({self._timeout:g} s, {self._silence:g} s of silence)") from error
        except aiohttp.ClientConnectorError as error:
            raise RequestFailed(clean(f"no connection to {self._endpoint.url}: {_why(error)}", limit=_SHOWN)) from error
        except (aiohttp.ClientError, ConnectionError, asyncio.IncompleteReadError) as error:
            raise RequestFailed("the server closed the connection mid-response") from error

    def _body(self, request: Request) -> dict[str, Any]:
        limit = "max_completion_tokens" if "max_tokens" in self._endpoint.refuses else "max_tokens"
        body = {
            "model": request.model,
            "messages": documents(request.messages),
            limit: request.max_tokens,
            "temperature": request.temperature,
            "top_p": request.top_p,
            **({} if request.seed is None else {"seed": request.seed}),
            "stream": True,
            "stream_options": {"include_usage": True},
        }
        return {name: value for name, value in body.items() if name not in self._endpoint.refuses}

    async def _refused(self, response: aiohttp.ClientResponse) -> RequestFailed:
        raw = (await response.content.read(_ERROR_BODY)).decode(errors="replace")
        try:
            words = error_in(json.loads(raw))
        except (ValueError, RecursionError):
            words = clean(" ".join(raw.split()), limit=_SHOWN)
        status = response.status
        if status in (401, 403):
            return RequestFailed(f"the server refuses the key (HTTP {status}): name the variable that holds the right one with key-env", fatal=True)
        reason = f"HTTP {status}{': ' + words if words else ''}"
        if 300 <= status < 400:
            return RequestFailed(f"{reason}: the server redirects, give the address that it redirects to", fatal=True)
        return RequestFailed(reason, again=status in _BUSY, wait=_retry_after(response), fatal=status in _FATAL)

    def _without_key(self, reply: Reply) -> Reply:
        key = self._endpoint.key
        if not key or key not in reply.text:
            return reply
        return Reply(reply.text.replace(key, HIDDEN), reply.finish, reply.prompt_tokens, reply.completion_tokens)


async def _read(response: aiohttp.ClientResponse) -> Reply:
    kind = response.headers.get("Content-Type", "")
    completion, size = Completion(), 0
    if "json" in kind and "event-stream" not in kind:
        body = await response.content.read(_LARGEST)
        while part := await response.content.read(_LARGEST):
            body += part
        return completion.document(body)
    if "html" in kind:
        raise RequestFailed("the server answered with a web page: check its address", again=True)
    async for data in response.content.iter_any():
        size += len(data)
        if size > _LARGEST:
            raise RequestFailed(f"the response has more than {_LARGEST >> 20} MiB", again=False)
        if completion.feed(data):
            break
    return completion.reply()


def _retry_after(response: aiohttp.ClientResponse) -> float | None:
    try:
        return min(max(float(response.headers["Retry-After"]), 0.0), _LONGEST_PAUSE)
    except (KeyError, ValueError):
        return None


def _why(error: aiohttp.ClientConnectorError) -> str:
    return str(error.os_error.strerror or error.os_error)
