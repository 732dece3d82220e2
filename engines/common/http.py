"""Questions to a server that are no load: short, with limits of time and size, and one sentence for what goes wrong."""

from __future__ import annotations

import json
import socket
import ssl
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from http.client import HTTPException, HTTPResponse, RemoteDisconnected
from time import monotonic_ns
from typing import Any, cast

from core.benchmark.client.documents import read_json
from core.benchmark.client.refusal import of_tls, reason_in, redirected
from core.engine import Endpoint
from core.errors import RequestError
from core.sanitize import clean
from engines.common.deadline import Deadline, deadline_of

_LARGEST = 8 << 20
_READ = 4096
_SHOWN = 300


class StatusError(RequestError):
    """The server answered with a status that is not 2xx, or with 200 and something of another form."""

    def __init__(self, status: int, sentence: str) -> None:
        super().__init__(sentence)
        self.status = status


def get(endpoint: Endpoint, path: str, timeout: float = 5.0) -> bytes:
    """The body of a GET; `timeout` is of the whole of it.

    Raises:
        StatusError: another status than 2xx.
        RequestError: no answer.
    """
    with _opened(endpoint, path, None, timeout, whole=timeout) as response:
        return _body(response, endpoint)


def get_json(endpoint: Endpoint, path: str, timeout: float = 5.0) -> Any:
    """The JSON of a GET. Raises as `get`, and RequestError when it is not JSON."""
    return _decoded(get(endpoint, path, timeout), endpoint, path)


def post_json(endpoint: Endpoint, path: str, body: Mapping[str, Any], timeout: float = 60.0) -> Any:
    """The JSON that answers a POST; `timeout` is of the whole of it. Raises as `get_json`."""
    with _opened(endpoint, path, body, timeout, whole=timeout) as response:
        return _decoded(_body(response, endpoint), endpoint, path)


def stream(
    endpoint: Endpoint, path: str, body: Mapping[str, Any], timeout: float = 600.0, *, whole: float | None = None
) -> Iterator[tuple[int, bytes]]:
    """Reads of the answer to a POST as they come, each with nanoseconds of the monotonic clock. Raises as `get`.

    Args:
        endpoint: of the server.
        path: of the request.
        body: JSON.
        timeout: seconds between two reads.
        whole: seconds for all of it; None: no limit.
    """
    with _opened(endpoint, path, body, timeout, whole=whole) as response:
        try:
            while data := response.read1(1 << 16):
                yield monotonic_ns(), data
        except (OSError, HTTPException) as error:
            raise RequestError(f"{_shown(endpoint)} closed the connection mid-response: {_why(error)}") from error


@contextmanager
def _opened(endpoint: Endpoint, path: str, body: Mapping[str, Any] | None, timeout: float, *, whole: float | None) -> Iterator[HTTPResponse]:
    if not endpoint.url.startswith(("http://", "https://")):
        raise RequestError(f"{_shown(endpoint)} is not an address: it must start with http:// or https://")
    headers = {"Accept": "application/json, text/event-stream, */*", "User-Agent": "llmopt"}
    if endpoint.key:
        headers["Authorization"] = f"Bearer {endpoint.key}"
    data = None
    if body is not None:
        headers["Content-Type"], data = "application/json", json.dumps(body).encode()
    with deadline_of(whole) as deadline:
        try:
            request = urllib.request.Request(endpoint.at(path), data=data, headers=headers)
            opener = urllib.request.build_opener(urllib.request.ProxyHandler({}), *deadline.handlers(_context(endpoint)), _NoRedirect)
            response = cast(HTTPResponse, opener.open(request, timeout=timeout))
        except urllib.error.HTTPError as error:
            raise _status_error(endpoint, path, error) from error
        except (urllib.error.URLError, OSError, HTTPException, ValueError) as error:
            raise RequestError(_late(endpoint, deadline) or _unreachable(endpoint, error)) from error
        with response:
            try:
                yield response
            except RequestError as error:
                if late := _late(endpoint, deadline):
                    raise RequestError(late) from error
                raise
            if late := _late(endpoint, deadline):
                raise RequestError(late)


def _late(endpoint: Endpoint, deadline: Deadline) -> str:
    return f"{_shown(endpoint)} did not finish its answer within {deadline.seconds:g} s" if deadline.over else ""


def _status_error(endpoint: Endpoint, path: str, error: urllib.error.HTTPError) -> StatusError:
    if 300 <= error.code < 400:
        sentence = redirected(endpoint.at(path), error.code, error.headers.get("Location", ""))
        return StatusError(error.code, clean(sentence, limit=2 * _SHOWN))
    with error:
        try:
            body = error.read(_READ)
        except (OSError, HTTPException):
            body = b""
        words = clean(reason_in(body.decode(errors="replace")), limit=_SHOWN)
    return StatusError(error.code, _status(endpoint, path, error.code, words))


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    """A key is not carried to wherever a server points."""

    def redirect_request(self, *_: Any, **__: Any) -> None:
        return None


def _context(endpoint: Endpoint) -> ssl.SSLContext:
    context = ssl.create_default_context()
    if not endpoint.verify:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    return context


def _body(response: HTTPResponse, endpoint: Endpoint) -> bytes:
    try:
        data = response.read(_LARGEST + 1)
    except (OSError, HTTPException) as error:
        raise RequestError(f"{_shown(endpoint)} closed the connection mid-response: {_why(error)}") from error
    if len(data) > _LARGEST:
        raise RequestError(f"{_shown(endpoint)} answered with more than {_LARGEST >> 20} MiB where a short answer was expected")
    return data


def _decoded(data: bytes, endpoint: Endpoint, path: str) -> Any:
    try:
        return read_json(data)
    except (ValueError, RecursionError) as error:
        raise StatusError(
            200, f"{clean(endpoint.at(path), limit=_SHOWN)} did not answer with JSON: check the address, and which server it is"
        ) from error


def _status(endpoint: Endpoint, path: str, status: int, words: str) -> str:
    if status in (401, 403):
        return f"{_shown(endpoint)} refuses the key (HTTP {status}): set the environment variable that holds it"
    return f"{clean(endpoint.at(path), limit=_SHOWN)} answered with HTTP {status}{': ' + words if words else ''}"


def _unreachable(endpoint: Endpoint, error: Exception) -> str:
    reason = error.reason if isinstance(error, urllib.error.URLError) else error
    if isinstance(reason, ssl.SSLError):
        return clean(of_tls(_shown(endpoint), reason))
    if isinstance(reason, socket.gaierror):
        return f"the host of {_shown(endpoint)} is not known: check the address"
    hint = "; does it need https://?" if isinstance(reason, ConnectionResetError | RemoteDisconnected) and endpoint.url.startswith("http://") else ""
    return f"no answer from {_shown(endpoint)}: {_why(reason)}{hint}"


def _why(reason: object) -> str:
    if isinstance(reason, TimeoutError):
        return "it timed out"
    if isinstance(reason, OSError) and reason.strerror:
        return clean(reason.strerror, limit=120)
    return clean(str(reason) or type(reason).__name__, limit=120)


def _shown(endpoint: Endpoint) -> str:
    return clean(endpoint.url, limit=200)
