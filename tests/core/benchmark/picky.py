"""A server that speaks OpenAI's protocol below a base of its own, and refuses what it does not know."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from tests.core.benchmark.running import running

Refusal = Callable[[dict[str, Any]], tuple[int, Any] | None]
"""Of a body: the status and the document of its refusal; None: it is answered."""


class Picky(ThreadingHTTPServer):
    """`moved` maps a path to where it is redirected."""

    daemon_threads = True

    def __init__(self, base: str, refusal: Refusal, moved: dict[str, str], *, lists: bool) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.base, self.refusal, self.moved, self.lists = base, refusal, moved, lists
        self.bodies: list[dict[str, Any]] = []

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"


@contextmanager
def picky(base: str = "/v1", refusal: Refusal = lambda _body: None, moved: dict[str, str] | None = None, *, lists: bool = True) -> Iterator[Picky]:
    """One that is closed again."""
    server = Picky(base, refusal, moved or {}, lists=lists)
    with running(server):
        yield server


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Picky

    def log_message(self, *_: object) -> None:
        """Nothing is said."""

    def do_GET(self) -> None:
        if self.path in self.server.moved:
            return self._say(307, {}, self.server.moved[self.path])
        listed = self.server.lists and self.path == self.server.base + "/models"
        return self._say(*((200, {"object": "list", "data": [{"id": "m"}]}) if listed else (404, {"detail": "Not Found"})))

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.server.bodies.append(body)
        if self.path in self.server.moved:
            return self._say(308, {}, self.server.moved[self.path])
        if self.path != self.server.base + "/chat/completions":
            return self._say(404, {"detail": "Not Found"})
        if (refused := self.server.refusal(body)) is not None:
            return self._say(*refused)
        choices = ({"delta": {"content": "a"}}, {"delta": {"content": "b"}, "finish_reason": "length"})
        data = "".join(f"data: {json.dumps({'choices': [choice]})}\n\n" for choice in choices) + "data: [DONE]\n\n"
        return self._send(200, data.encode(), {"Content-Type": "text/event-stream"})

    def _say(self, status: int, document: Any, location: str = "") -> None:
        self._send(status, json.dumps(document).encode(), {"Content-Type": "application/json"} | ({"Location": location} if location else {}))

    def _send(self, status: int, data: bytes, headers: dict[str, str]) -> None:
        self.send_response(status)
        for name, value in (headers | {"Content-Length": str(len(data))}).items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(data)
