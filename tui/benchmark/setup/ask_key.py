"""Ask for a server's key on the screen: it goes into this program's environment, from which a run has it, and nowhere else."""

from __future__ import annotations

import os
from typing import ClassVar

from textual import on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.screen import ModalScreen
from textual.widgets import Input, Static

from core.sanitize import clean, conceal
from core.spec import Spec
from tui.experiment.pane import ExperimentPane
from tui.experiment.setups import Setups


class KeyPrompt(ModalScreen[str]):
    """Answers what was typed, and never shows it; empty when the user thought better of it.

    Args:
        server: whose key it is.
        variable: that will hold it.
    """

    BINDINGS: ClassVar[list[BindingType]] = [Binding("escape", "leave", "Leave", id="key.leave", tooltip="Cancel")]
    HELP = "The server's API key, hidden while typed: enter accepts it, esc cancels. It is kept until this program exits."
    DEFAULT_CSS = """
    KeyPrompt { align: center middle; }
    KeyPrompt > Vertical { width: 64; max-width: 96%; height: auto; padding: 1 2; background: $surface; border: round $primary; }
    KeyPrompt Static { height: auto; margin-bottom: 1; }
    KeyPrompt Static.keys { margin: 1 0 0 0; color: $text-muted; }
    """

    def __init__(self, server: str, variable: str) -> None:
        super().__init__()
        self._server, self._variable = server, variable

    def compose(self) -> ComposeResult:
        with Vertical() as box:
            box.border_title = "Key"
            text = f"The environment variable {self._variable} is not set. Key for {clean(self._server, limit=200)}:"
            yield Static(text, markup=False)
            yield Input(password=True, compact=True)
            yield Static("enter accept · esc cancel · it is not saved to a file", classes="keys", markup=False)

    @on(Input.Submitted)
    def _typed(self, event: Input.Submitted) -> None:
        event.stop()
        self.dismiss(event.value.strip())

    def action_leave(self) -> None:
        self.dismiss("")


class AsksForKey(ExperimentPane):
    """A tab that starts loads on servers, which may want keys."""

    def start(self, spec: Spec | None) -> None:
        """As any start, after the key was asked for where the variable that should hold it is not set."""
        name = getattr(spec, "key_env", None)
        if spec is None or not isinstance(name, str) or os.environ.get(name):
            super().start(spec)
            return

        def answered(key: str | None) -> None:
            if key:
                conceal(key)
                os.environ[name] = key
                form = self.setup.current if isinstance(self.setup, Setups) else self.setup
                form.check_now()
                super(AsksForKey, self).start(spec)

        self.app.push_screen(KeyPrompt(spec.model, name), answered)
