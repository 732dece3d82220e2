"""Output to a slow, a fast and a vanished terminal."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from textual.app import ComposeResult
from textual.widgets import Static

from tui.shell.resilient import ResilientApp
from tui.terminal.driver import HIGH, OutputQueue, TerminalBehind, TerminalGone


class Line:
    """A pipe as the terminal, with an output queue in front of it."""

    def __init__(self) -> None:
        self.reader, self._writer = os.pipe()
        self.behind: list[bool] = []
        self.gone = threading.Event()
        self.queue = OutputQueue(self._writer, self.behind.append, self.gone.set)
        self.queue.start()
        self._open = True

    def hang_up(self) -> None:
        """Close the far end."""
        if self._open:
            self._open = False
            os.close(self.reader)

    def end(self) -> None:
        """The near end is closed only when nobody writes to it any more."""
        self.hang_up()
        self.queue.put("x")
        self.queue.close()
        assert not self.queue.is_alive()
        os.close(self._writer)


@pytest.fixture
def line() -> Iterator[Line]:
    opened = Line()
    yield opened
    opened.end()


def read(reader: int, n_bytes: int) -> bytes:
    data = b""
    while len(data) < n_bytes:
        data += os.read(reader, n_bytes - len(data))
    return data


def wait_until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.005)


def test_everything_arrives_in_order_and_closing_waits_for_it(line: Line) -> None:
    queue, behind = line.queue, line.behind
    for word in ("one ", "zwei – ", "\x1b[0m", "\ud800."):
        queue.put(word)
    queue.close()
    expected = "one zwei – \x1b[0m?.".encode()
    assert read(line.reader, len(expected)) == expected
    assert behind == []


def test_a_terminal_that_reads_nothing_never_blocks_who_writes(line: Line) -> None:
    queue, behind = line.queue, line.behind
    n_bytes = 40 * 50_000
    before = time.monotonic()
    for _ in range(40):
        queue.put("x" * 50_000)
    assert time.monotonic() - before < 0.5
    assert behind == [True]
    assert queue.pending > HIGH
    read(line.reader, n_bytes)
    wait_until(lambda: queue.pending == 0)
    assert behind == [True, False]


def test_a_closed_terminal_is_told_once_and_what_comes_later_is_dropped(line: Line) -> None:
    queue = line.queue
    line.hang_up()
    queue.put("x")
    assert line.gone.wait(10)
    queue.put("x" * (HIGH + 1))
    queue.close()
    assert queue.pending == 0


def test_leaving_does_not_wait_for_ever_for_a_terminal_that_stands_still(line: Line) -> None:
    queue = line.queue
    queue.put("x" * 1_000_000)
    before = time.monotonic()
    queue.close(patience=0.2)
    assert time.monotonic() - before < 5


class Counting(ResilientApp):
    """Counts the frames that would have gone to the terminal."""

    frames = 0

    def post_display_hook(self) -> None:
        super().post_display_hook()
        self.frames += self._batch_count == 0

    def compose(self) -> ComposeResult:
        yield Static("before", id="words")


async def test_while_the_line_is_full_nothing_is_drawn_and_then_the_last_state_is() -> None:
    app = Counting()
    async with app.run_test() as pilot:
        await pilot.pause()
        app.post_message(TerminalBehind(True))
        await pilot.pause()
        frames = app.frames
        words = app.query_one("#words", Static)
        for number in range(20):
            words.update(f"state {number}")
            await pilot.pause(0.02)
        assert app.frames == frames
        app.post_message(TerminalBehind(False))
        await pilot.pause(0.3)
        assert frames < app.frames <= frames + 2


async def test_a_vanished_terminal_ends_the_app() -> None:
    app = Counting()
    async with app.run_test() as pilot:
        app.post_message(TerminalGone())
        await pilot.pause()
        assert app._exit


async def test_an_unforeseen_error_ends_with_a_sentence_and_a_log(llmopt_home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    app = Counting()
    with pytest.raises(ZeroDivisionError):  # noqa: PT012
        async with app.run_test() as pilot:
            app.call_later(lambda: 1 / 0)
            app.call_later(lambda: 1 / 0)
            await pilot.pause()
    text = " ".join(capsys.readouterr().err.split())
    assert text.startswith("unexpected error (ZeroDivisionError: division by zero): the details are in")
    assert text.endswith("please report them")
    assert "Traceback" not in text
    assert "Traceback" in (llmopt_home / "crash.log").read_text()
