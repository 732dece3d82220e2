"""The tokens of a run as they come. Only cells that differ reach the terminal."""

from __future__ import annotations

from collections.abc import Sequence

from textual import events

from core.speculate.events import PromptEvent, RoundEvent
from tui.speculate.rounds import tokens
from tui.widgets.live import LiveLines


class TokenView(LiveLines):
    """The text with signs below it, or a line for each round."""

    DEFAULT_CSS = """
    TokenView { height: 1fr; min-height: 2; }
    """

    def __init__(self) -> None:
        super().__init__()
        self.by_round = False
        """Whether each round has a line of its own."""
        self._begin: PromptEvent | None = None
        self._rounds: Sequence[RoundEvent] = ()

    def show_rounds(self, begin: PromptEvent | None, rounds: Sequence[RoundEvent]) -> None:
        """Show the text so far. May be called at any rate: what stays the same costs nothing."""
        self._begin, self._rounds = begin, rounds
        self._draw()

    def turn(self) -> None:
        """From the text to the rounds and back."""
        self.by_round = not self.by_round
        self._draw()

    def on_resize(self, event: events.Resize) -> None:
        super().on_resize(event)
        self._draw()

    def _draw(self) -> None:
        width, height = self.size
        if not width or not height:
            return
        blocks = tokens.listed(self._rounds, width) if self.by_round else tokens.flow(self._begin, self._rounds, width)
        self.show(tokens.window(blocks, height))
