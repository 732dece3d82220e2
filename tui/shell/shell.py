"""What widgets and screens need of the application around them, so that they need not import it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol, cast

if TYPE_CHECKING:
    from textual.message_pump import MessagePump
    from textual.notifications import SeverityLevel

    from core.runs.state.store import Run


class Shell(Protocol):
    """The application, as what is in it sees it; `tui.services.services.services_of` answers its services."""

    @property
    def open_tab(self) -> str:
        """Id of the tab that is shown, or about to be."""

    @property
    def activity(self) -> str:
        """What runs now, empty when nothing does."""

    @property
    def place(self) -> str:
        """Where this is, and whether it may change anything here."""

    def open_pane(self, pane_id: str, prefill: dict[str, object] | None = None, *, show: Run | None = None) -> None:
        """Open a tab, its form filled in where `prefill` is given, at the result of a run where `show` is."""

    def notify_text(self, text: str, *, title: str = "", severity: SeverityLevel = "information") -> None:
        """Show a note made of text that may have come from outside."""


def shell_of(node: MessagePump) -> Shell:
    """The application that a widget or screen belongs to."""
    return cast(Shell, node.app)
