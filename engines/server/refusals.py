"""What is refused before the model is asked: web pages of other sites, and what is not HTTP at all."""

from __future__ import annotations

from ipaddress import ip_address
from urllib.parse import urlsplit

from aiohttp import web, web_server
from aiohttp.typedefs import Handler, Middleware
from aiohttp.web_protocol import _ErrInfo

from core.sanitize import clean


def refusal(status: int, message: str, kind: str, param: str | None = None, code: str | None = None) -> web.Response:
    """An error in OpenAI's form."""
    return web.json_response({"error": {"message": message, "type": kind, "param": param, "code": code}}, status=status)


def same_origin(*, trusted: bool) -> Middleware:
    """A web page of another site is not answered: its browser would let it use the model, though not read the response.

    Args:
        trusted: clients show a key, which pages of other sites do not have. Else the server's name must be an address or `localhost`: any other may
            be that of a site that points its own name to this machine.
    """

    @web.middleware
    async def check(request: web.Request, handler: Handler) -> web.StreamResponse:
        origin = request.headers.get("Origin")
        if request.method in ("GET", "HEAD") or origin is None:
            return await handler(request)
        host = _host(origin)
        if not host or host != _host(f"//{request.host}") or not (trusted or _is_address(origin)):
            return refusal(403, f"requests of web pages from {clean(origin, limit=100)} are not answered", "invalid_request_error")
        return await handler(request)

    return check


def _host(address: str) -> str:
    """Name and port of an address; empty where it has none."""
    try:
        return urlsplit(address).netloc.lower()
    except ValueError:
        return ""


def _is_address(origin: str) -> bool:
    name = urlsplit(origin).hostname or ""
    try:
        return name == "localhost" or bool(ip_address(name))
    except ValueError:
        return False


class _JsonErrors(web.RequestHandler):
    """Refuses what is not HTTP in the form of every other error, without a traceback in the log, also in the middle of a body."""

    __slots__ = ()

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        # What aiohttp finds wrong in a body it queues after the request, which would wait for the rest of its body for ever.
        request, last = self._current_request, self._messages[-1][0] if self._messages else None
        if request is not None and isinstance(last, _ErrInfo) and not request.content.is_eof():
            request.content.set_exception(web.RequestPayloadError(_one_line(last.message)))
            request.content.feed_eof()

    def handle_error(
        self, request: web.BaseRequest, status: int = 500, exc: BaseException | None = None, message: str | None = None
    ) -> web.StreamResponse:
        if status >= 500 or request.writer.output_size > 0:
            return super().handle_error(request, status, exc, message)
        words = f"the request is not valid HTTP: {_one_line(message or 'it cannot be read')}"
        response = refusal(status, words, "invalid_request_error")
        response.force_close()
        return response


def _one_line(text: str) -> str:
    return " ".join(clean(text, limit=300, multiline=True).split())


# aiohttp has no hook for what it refuses before there is a request.
web_server.RequestHandler = _JsonErrors  # type: ignore[attr-defined]
