"""A screen that moves the focus without repainting everything."""

from __future__ import annotations

from collections.abc import Callable

from textual.reactive import Reactive
from textual.screen import Screen
from textual.widget import Widget


class PartialRepaintScreen(Screen[None]):
    """Textual repaints the whole screen whenever the focus moves: 11 kB a key at 120x36.

    The widgets that lose and gain the focus ask for their own repaint, so that here only they are sent, some 0.5 kB.
    """

    focused: Reactive[Widget | None] = Reactive(None, repaint=False)

    def after_paint(self, callback: Callable[[], None]) -> None:
        """Call once this screen is painted, or at once where another covers it.

        `call_after_refresh` hands the call to whatever screen is on top by then.
        """
        self._invoke_later(callback, self.app)

    async def on_screen_suspend(self) -> None:
        # A screen that is covered is not painted again before the other is closed.
        await self._invoke_and_clear_callbacks()
