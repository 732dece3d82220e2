"""A limit for the whole of a request: a server that sends a byte now and then meets the limit of every single read."""

from __future__ import annotations

import contextlib
import os
import socket
import ssl
import threading
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from http.client import HTTPConnection, HTTPResponse, HTTPSConnection
from typing import Any


class Deadline:
    """Shuts the connections down that were opened for a request when its time is over; `over` says that it did."""

    def __init__(self, seconds: float | None) -> None:
        self.seconds = seconds
        self.over = False
        self._watched: list[socket.socket] = []
        self._lock = threading.Lock()

    def watch(self, connection: socket.socket) -> None:
        """Its own descriptor, as TLS hides that of the connection."""
        with self._lock:
            self._watched.append(socket.socket(fileno=os.dup(connection.fileno())))
        if self.over:
            self.end()

    def end(self) -> None:
        """The time is over."""
        self.over = True
        with self._lock:
            for connection in self._watched:
                with contextlib.suppress(OSError):
                    connection.shutdown(socket.SHUT_RDWR)

    def forget(self) -> None:
        """The request is over."""
        with self._lock:
            for connection in self._watched:
                connection.close()
            self._watched.clear()

    def handlers(self, context: ssl.SSLContext) -> tuple[urllib.request.BaseHandler, ...]:
        """Of an opener whose connections are watched."""
        deadline = self

        class Plain(HTTPConnection):
            def connect(self) -> None:
                super().connect()
                deadline.watch(self.sock)

        class Secure(HTTPSConnection):
            def connect(self) -> None:
                super().connect()
                deadline.watch(self.sock)

        class OverHttp(urllib.request.HTTPHandler):
            def http_open(self, request: urllib.request.Request) -> HTTPResponse:
                found: Any = self.do_open(Plain, request)
                return found  # type: ignore[no-any-return]

        class OverHttps(urllib.request.HTTPSHandler):
            def https_open(self, request: urllib.request.Request) -> HTTPResponse:
                found: Any = self.do_open(Secure, request, context=context)
                return found  # type: ignore[no-any-return]

        return OverHttp(), OverHttps(context=context)


@contextmanager
def deadline_of(seconds: float | None) -> Iterator[Deadline]:
    """For as long as a request lasts; None: it has no limit."""
    deadline = Deadline(seconds)
    timer = None if seconds is None else threading.Timer(seconds, deadline.end)
    if timer is not None:
        timer.daemon = True
        timer.start()
    try:
        yield deadline
    finally:
        if timer is not None:
            timer.cancel()
        deadline.forget()
