"""Jump mode: a letter on everything that can take the focus, a digit on every tab."""

from __future__ import annotations

from textual.app import ComposeResult
from textual.events import Click, Key
from textual.geometry import Offset
from textual.screen import ModalScreen, Screen
from textual.widget import Widget
from textual.widgets import Static

from tui.shell.panes import PANES

LETTERS = "asdfjklewruioghcvnmxzbtypq"


def targets(screen: Screen[object]) -> dict[str, Widget]:
    """Letter to widget, for what can take the focus and is on the screen, from the top left to the bottom right."""
    inside = screen.region
    visible = [widget for widget in screen.focus_chain if widget.region and inside.contains_point(widget.region.offset)]
    visible.sort(key=lambda widget: (widget.region.y, widget.region.x))
    return dict(zip(LETTERS, visible, strict=False))


class JumpScreen(ModalScreen[str | Widget | None]):
    """Answers the widget to focus, the id of the tab to open, or None."""

    DEFAULT_CSS = """
    JumpScreen { background: transparent; }
    JumpScreen > Static { position: absolute; width: auto; height: 1; background: $accent; color: $background; text-style: bold; }
    """

    def __init__(self, letters: dict[str, Widget]) -> None:
        super().__init__()
        self._letters = letters
        self._tabs = {pane.key: pane.id for pane in PANES}

    def compose(self) -> ComposeResult:
        for letter, widget in self._letters.items():
            label = Static(f" {letter} ", markup=False)
            label.styles.offset = Offset(max(widget.region.x, 0), max(widget.region.y, 0))
            yield label

    def on_key(self, event: Key) -> None:
        event.stop()
        event.prevent_default()
        self.dismiss(self._letters.get(event.key) or self._tabs.get(event.key))

    def on_click(self, _: Click) -> None:
        self.dismiss(None)
