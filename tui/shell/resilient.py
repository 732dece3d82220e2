"""What keeps the app standing: a line that cannot keep up, a terminal that went away, an error nobody foresaw."""

from __future__ import annotations

import asyncio
import signal
from contextlib import ExitStack
from typing import TYPE_CHECKING

from rich.console import RenderableType
from rich.text import Text
from textual import on
from textual.app import App
from textual.driver import Driver
from textual.notifications import SeverityLevel
from textual.worker import WorkerFailed

from core.sanitize import clean
from tui.shell import crash
from tui.terminal.driver import TerminalBehind, TerminalGone

if TYPE_CHECKING:
    from rich.traceback import Traceback


class ResilientApp(App[None]):
    """An app for `tui.terminal.driver.PatientDriver`."""

    def __init__(self, *, driver_class: type[Driver] | None = None) -> None:
        super().__init__(driver_class=driver_class)
        self._drawing_paused = ExitStack()
        self._lost_a_frame = False

    def on_mount(self) -> None:
        """On SIGTERM give the terminal back before leaving."""
        if not self.is_headless:
            asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, self.exit)

    def notify_text(self, text: str, *, title: str = "", severity: SeverityLevel = "information") -> None:
        """Show a note made of text that may have come from outside."""
        self.notify(clean(text, limit=400), title=clean(title, limit=80), severity=severity, markup=False)

    def action_command_palette(self) -> None:
        from tui.shell.commands import Palette

        if not any(isinstance(screen, Palette) for screen in self.screen_stack):
            self.push_screen(Palette())

    def search_themes(self) -> None:
        from textual.theme import ThemeProvider

        from tui.shell.commands import Palette

        self.push_screen(Palette(providers=[ThemeProvider], placeholder="Search for themes…"))

    @on(TerminalBehind)
    def _line_is_full_or_free(self, message: TerminalBehind) -> None:
        """Stop drawing while the line is full; when it is free again, draw what has changed, once."""
        if message.behind:
            self._drawing_paused.enter_context(self.batch_update())
            return
        self._drawing_paused.close()
        if self._lost_a_frame:
            self._lost_a_frame = False
            self.screen.refresh()
        self.screen.check_idle()

    def post_display_hook(self) -> None:
        """Remember that a frame was thrown away, as textual does while drawing is paused."""
        if self._batch_count:
            self._lost_a_frame = True

    @on(TerminalGone)
    def _nobody_watches(self) -> None:
        self.exit()

    def panic(self, *renderables: RenderableType) -> None:
        """End with words, those of the first error; textual's input thread passes a traceback, which goes to the log."""
        if self._exit_renderables:
            return
        from rich.traceback import Traceback

        shown = [Text(crash.record_text(_plain(each))) if isinstance(each, Traceback) else each for each in renderables]
        super().panic(*shown)

    def _handle_exception(self, error: Exception) -> None:
        """A worker that fails is a note and an entry in the log, not the end. Tests still see it."""
        if isinstance(error, WorkerFailed) and not self.is_headless:
            cause = error.error
            self.notify_text(crash.record(cause), title="Something went wrong", severity="error")
            return
        super()._handle_exception(error)

    def _fatal_error(self) -> None:
        self.panic(Text(crash.record(self._exception) if self._exception else "unexpected error"))


def _plain(traceback: Traceback) -> str:
    from rich.console import Console

    console = Console(width=140, no_color=True)
    with console.capture() as captured:
        console.print(traceback)
    return captured.get()
