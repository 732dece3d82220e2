"""A terminal driver that never blocks the event loop on a slow line.

Textual's own writer holds 30 writes and then blocks whoever writes next, which is the event loop: on a
line of 30 kB/s a chart a second freezes the keyboard for seconds. Here output is queued without a bound
and counted; while more than `HIGH` bytes wait, the app is asked to stop drawing, and widgets that change
meanwhile are drawn once, in their last state, when the line has caught up. So at most one frame beyond
`HIGH` is ever queued.
"""

from __future__ import annotations

import os
import threading
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from textual.drivers.linux_driver import LinuxDriver
from textual.message import Message

if TYPE_CHECKING:
    from textual.app import App

HIGH = 8192
"""Bytes waiting above which drawing pauses."""
LOW = 1024
"""Bytes waiting below which it resumes."""
PATIENCE = 5.0
"""Seconds that leaving waits for a terminal that does not take its output."""
_CHUNK = 1024


@dataclass
class TerminalBehind(Message):
    """The line has fallen behind (`behind`), or has caught up."""

    behind: bool


@dataclass
class TerminalGone(Message):
    """The terminal was closed: nothing can be shown any more."""


class OutputQueue(threading.Thread):
    """Writes bytes to a file descriptor in the background, in order, counting what waits.

    Args:
        fileno: of the terminal.
        on_behind: called with True when more than `HIGH` bytes wait and with False when at most `LOW` are left.
        on_gone: called once when the terminal refuses a write; everything after is dropped.
    """

    def __init__(self, fileno: int, on_behind: Callable[[bool], None], on_gone: Callable[[], None]) -> None:
        super().__init__(daemon=True, name="llmopt-output")
        self._fileno = fileno
        self._on_behind = on_behind
        self._on_gone = on_gone
        self._waiting: deque[bytes] = deque()
        self._bytes = 0
        self._behind = False
        self._gone = False
        self._closing = False
        self._changed = threading.Condition()

    @property
    def pending(self) -> int:
        """Bytes that the terminal has not taken yet."""
        return self._bytes

    def put(self, text: str) -> None:
        """Queue text; returns at once."""
        data = text.encode("utf-8", "replace")
        with self._changed:
            if self._gone or self._closing or not data:
                return
            self._waiting.append(data)
            self._bytes += len(data)
            if self._bytes > HIGH and not self._behind:
                self._behind = True
                self._on_behind(True)
            self._changed.notify()

    def run(self) -> None:
        """Write until closed and empty."""
        while (data := self._next()) is not None:
            view = memoryview(data)
            while view:
                try:
                    written = os.write(self._fileno, view[:_CHUNK])
                except OSError:
                    self._drop_everything()
                    return
                view = view[written:]
                self._account(written)

    def close(self, patience: float = PATIENCE) -> None:
        """Write what waits, then end; a terminal that takes nothing for `patience` seconds is left as it is."""
        with self._changed:
            self._closing = True
            self._changed.notify()
        self.join(patience)

    def _next(self) -> bytes | None:
        with self._changed:
            while not self._waiting:
                if self._closing:
                    return None
                self._changed.wait()
            return self._waiting.popleft()

    def _account(self, written: int) -> None:
        with self._changed:
            self._bytes -= written
            if self._behind and self._bytes <= LOW:
                self._behind = False
                self._on_behind(False)

    def _drop_everything(self) -> None:
        with self._changed:
            self._gone = True
            self._waiting.clear()
            self._bytes = 0
        self._on_gone()


class PatientDriver(LinuxDriver):
    """Textual's driver with an `OutputQueue` in front of the terminal."""

    _output: OutputQueue | None = None

    def start_application_mode(self) -> None:
        app: App[Any] = self._app
        assert self._file is not None, "main() has checked that there is a terminal"
        self._output = OutputQueue(
            self._file.fileno(),
            on_behind=lambda behind: _post(app, TerminalBehind(behind)),
            on_gone=lambda: _post(app, TerminalGone()),
        )
        self._output.start()
        super().start_application_mode()  # type: ignore[no-untyped-call]

    def write(self, data: str) -> None:
        if self._output is not None:
            self._output.put(data)

    def close(self) -> None:
        super().close()
        if self._output is not None:
            self._output.close()
            self._output = None


def _post(app: App[Any], message: Message) -> None:
    app.post_message(message)
