"""The Hardware tab."""

from __future__ import annotations

from textual.app import ComposeResult
from textual.containers import Container

from tui.hardware.live_view import LiveView


class HardwarePane(Container):
    """Live view, and what would fit."""

    def on_focus(self) -> None:
        """Hand the focus on to the first table."""
        self.query_one(LiveView).focus_first()

    def compose(self) -> ComposeResult:
        """The live view."""
        yield LiveView()
