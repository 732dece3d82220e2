"""See a run through to its end: a progress line on a terminal, plain lines elsewhere."""

from __future__ import annotations

import shutil
import sys
import time
from collections.abc import Sequence
from typing import TextIO

from core.measure.units import duration
from core.runs.figures import show
from core.runs.launch.launch import Launcher, cancel_for_ctrl_c
from core.runs.state.events import Event, Log, Metric, Progress, StateChange
from core.runs.state.state import State
from core.runs.state.store import Run
from tui.cli.printing.output import cut, narrate

_LOOK = 0.1
_LINES = 10
_BACK = "\r\x1b[K"


def until_over(run: Run, launcher: Launcher, *, cancel_on_interrupt: bool, heard: int = 0, opening: Sequence[str] = ()) -> State:
    """Show the run's progress until it is over.

    Args:
        run: to follow.
        launcher: looks whether it still lives.
        cancel_on_interrupt: ctrl+c cancels the run; otherwise it only ends the watching.
        heard: bytes of events that are not shown again.
        opening: sentences to begin with.
    """
    screen = ProgressLine(sys.stderr)
    try:
        for sentence in opening:
            narrate(sentence)
        return _watch(run, launcher, screen, heard)
    except KeyboardInterrupt:
        screen.clear()
        if not cancel_on_interrupt:
            narrate(f"run {run.id} continues; `llmopt runs follow {run.id}` shows it again")
            raise
    return cancel(run, launcher)


def cancel(run: Run, launcher: Launcher) -> State:
    """Cancel a run because of ctrl+c, and say so."""
    narrate(f"cancelling run {run.id}; ctrl+c again kills it at once")
    return cancel_for_ctrl_c(run, launcher)


def _watch(run: Run, launcher: Launcher, screen: ProgressLine, offset: int) -> State:
    while True:
        state = launcher.refresh(run)
        while True:
            events, next_offset = run.new_events(offset)
            screen.show(events)
            if next_offset == offset:
                break
            offset = next_offset
        if state.is_over:
            screen.clear()
            return state
        time.sleep(_LOOK)


class ProgressLine:
    """The last progress and figure of a run: one line rewritten in place, or a line for each tenth where there is no terminal."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._live = stream.isatty()
        self._began: float | None = None
        self._progress: Progress | None = None
        self._metric: Metric | None = None
        self._drawn = ""
        self._tenth = -1

    def show(self, events: list[Event]) -> None:
        """Take in new events and draw."""
        for event in events:
            if isinstance(event, Progress):
                self._began = event.t if self._began is None else self._began
                self._progress = event
                self._milestone()
            elif isinstance(event, StateChange) and event.status == "queued":
                self._began, self._tenth = None, -1  # it continues after a stop: the time between is not its pace
            elif isinstance(event, Metric):
                self._metric = event
            elif isinstance(event, Log):
                self._print(event.text)
        if self._live and self._progress is not None and (line := self._line()) != self._drawn:
            self._stream.write(_BACK + line)
            self._stream.flush()
            self._drawn = line

    def clear(self) -> None:
        """Leave the terminal as it was."""
        if self._live and self._drawn:
            self._stream.write(_BACK)
            self._stream.flush()
            self._drawn = ""

    def _milestone(self) -> None:
        if self._live or self._progress is None or self._progress.total <= 0:
            return
        tenth = _LINES * self._progress.done // self._progress.total
        if tenth > self._tenth:
            self._tenth = tenth
            self._print(self._line())

    def _print(self, text: str) -> None:
        self.clear()
        self._stream.write(text + "\n")
        self._stream.flush()

    def _line(self) -> str:
        assert self._progress is not None
        done, total, label = self._progress.done, self._progress.total, self._progress.label
        share = min(done / total, 1.0) if total > 0 else 0.0
        measured = f"{self._metric.name.replace('_', ' ')} {show(self._metric.name, self._metric.value)}" if self._live and self._metric else ""
        line = "  ".join(filter(None, (f"{100 * share:3.0f} %", self._left(share), measured, label)))
        limit = shutil.get_terminal_size((80, 24)).columns - 1 if self._live else 10_000
        return cut(line, limit, "")

    def _left(self, share: float) -> str:
        if self._began is None or self._progress is None or not 0 < share < 1:
            return ""
        return f"{duration((self._progress.t - self._began) * (1 - share) / share)} left"
