"""A server that answers paths with what an engine's documentation says, and remembers what it was asked."""

from __future__ import annotations

import contextlib
import json
import threading
from collections.abc import Iterator, Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

Answer = bytes | str | dict[str, Any] | list[Any] | tuple[int, str]


class DocumentedServer:
    """`answers` by path: JSON of objects, text as it is, (status, text) for refusals."""

    def __init__(self, answers: Mapping[str, Answer]) -> None:
        self.answers = dict(answers)
        self.asked: list[tuple[str, str, dict[str, Any]]] = []
        self.keys: list[str] = []
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                self.answer({})

            def do_POST(self) -> None:
                self.answer(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))

            def answer(self, body: dict[str, Any]) -> None:
                outer.asked.append((self.command, self.path, body))
                outer.keys.append(self.headers.get("Authorization", ""))
                found = outer.answers.get(self.path, (404, "not found"))
                status, found = found if isinstance(found, tuple) else (200, found)
                data = found if isinstance(found, bytes) else (found if isinstance(found, str) else json.dumps(found)).encode()
                self.send_response(status)
                self.send_header("Content-Length", str(len(data)))
                if status == 302:
                    self.send_header("Location", "/elsewhere")
                self.end_headers()
                self.wfile.write(data)

            def log_message(self, format: str, *args: object) -> None:  # noqa: A002
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True)
        self._thread.start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_address[1]}"

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join(5)


@contextlib.contextmanager
def documented(answers: Mapping[str, Answer]) -> Iterator[DocumentedServer]:
    """One that is closed again."""
    server = DocumentedServer(answers)
    try:
        yield server
    finally:
        server.close()
