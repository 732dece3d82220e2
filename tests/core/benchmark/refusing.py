"""Servers that are not what was hoped for, each in a thread: they refuse keys, speak something else, or repeat what they were given."""

from __future__ import annotations

import json
import ssl
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Final

from tests.core.benchmark.running import running

CERTIFICATE: Final = Path(__file__).with_name("selfsigned.pem")
"""Of 127.0.0.1, with its key, signed by itself: nobody trusts it."""
TOO_LONG: Final = "This model's maximum context length is 16 tokens. However, you requested 20 tokens"
_HTML: Final = "<!DOCTYPE html><html><head><title>Welcome</title></head><body><h1>It works</h1></body></html>"


class Refusing(ThreadingHTTPServer):
    """`kind` says what becomes of requests; `heads` keeps the Authorization of each, and `bodies` what was posted."""

    daemon_threads = True
    request_queue_size = 64

    def __init__(self, kind: str) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.kind = kind
        self.heads: list[str | None] = []
        self.bodies: list[dict[str, Any]] = []
        if kind == "tls":
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(CERTIFICATE)
            self.socket = context.wrap_socket(self.socket, server_side=True)

    @property
    def url(self) -> str:
        return f"http{'s' if self.kind == 'tls' else ''}://127.0.0.1:{self.server_address[1]}"

    def handle_error(self, *_: object) -> None:
        """A client that hangs up is no news."""


@contextmanager
def refusing(kind: str) -> Iterator[Refusing]:
    """One that is closed again."""
    server = Refusing(kind)
    with running(server):
        yield server


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Refusing

    def log_message(self, *_: object) -> None:
        """Nothing is said."""

    def do_GET(self) -> None:
        self.server.heads.append(self.headers.get("Authorization"))
        answers = {
            "401": (401, self._repeated()),
            "403": (403, self._repeated()),
            "html": (200, _HTML),
            "404": (404, _HTML),
            "a list": (200, "[1, 2]"),
            "unnamed": (200, '{"data": []}'),
        }
        models = (200, json.dumps({"object": "list", "data": [{"id": "alpha"}, {"id": "beta\x1b[31m"}]}))
        self._say(*answers.get(self.server.kind, models if self.path == "/v1/models" else (404, "{}")))

    def do_POST(self) -> None:
        self.server.heads.append(self.headers.get("Authorization"))
        body = json.loads(self.rfile.read(int(self.headers.get("Content-Length", 0))))
        self.server.bodies.append(body)
        answers = {
            "post 401": (401, self._repeated()),
            "post 404": (404, _HTML),
            "post html": (200, _HTML),
            "too long": (400, json.dumps({"error": {"message": TOO_LONG, "type": "BadRequestError", "code": 400}})),
            "moved": (308, ""),
            "broken": (500, self._repeated()),
        }
        if self.server.kind in answers:
            self._say(*answers[self.server.kind])
        else:
            self._stream(body)

    def _repeated(self) -> str:
        """An error that repeats the key, as some servers' errors do."""
        return json.dumps({"error": {"message": f"Incorrect API key provided: {self.headers.get('Authorization')}"}})

    def _say(self, status: int, body: str) -> None:
        data = body.encode()
        self.send_response(status)
        self.send_header("Content-Type", "text/html" if body.startswith("<") else "application/json")
        if status == 308:
            self.send_header("Location", "http://127.0.0.1:9/")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def _stream(self, body: dict[str, Any]) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream")
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        if self.server.kind == "tells":
            self._chunk({"error": {"message": f"no such key: {self.headers.get('Authorization')}"}})
        pause = 0.05 if self.server.kind == "slow" else 0.001
        for word in range(min(body["max_tokens"], 4)):
            self._chunk({"choices": [{"delta": {"content": f"w{word} "}}]})
            time.sleep(pause)
        self._chunk({"choices": [], "usage": {"prompt_tokens": 7, "completion_tokens": 4}})
        self._write(b"data: [DONE]\n\n")
        self.wfile.write(b"0\r\n\r\n")

    def _chunk(self, message: dict[str, Any]) -> None:
        self._write(b"data: " + json.dumps(message).encode() + b"\n\n")

    def _write(self, data: bytes) -> None:
        self.wfile.write(b"%x\r\n%s\r\n" % (len(data), data))
        self.wfile.flush()
