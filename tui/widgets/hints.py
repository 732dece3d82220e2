"""The line at the bottom: the keys that work here, nearest widget first."""

from __future__ import annotations

from textual.binding import Binding
from textual.content import Content
from textual.screen import Screen
from textual.widget import Widget

ALWAYS = ("app.help",)
"""Binding ids that keep their place at the right end when the line is full."""


class Hints(Widget):
    """As many keys as fit; F1 shows the rest."""

    DEFAULT_CSS = """
    Hints { dock: bottom; height: 1; background: $panel; color: $text-muted; }
    """

    def __init__(self) -> None:
        super().__init__()
        self._line = Content()

    def on_mount(self) -> None:
        self.screen.bindings_updated_signal.subscribe(self, self._bindings_changed)

    def render(self) -> Content:
        """Keys of the focused widget first, then of its ancestors, then of the app."""
        self._line = self._fitting(self.size.width)
        return self._line

    def _fitting(self, width: int) -> Content:
        bindings = self._shown()
        fixed = [self._hint(binding) for binding in bindings if binding.id in ALWAYS]
        room = width - sum(hint.cell_length for hint in fixed)
        fitting: list[Content] = []
        for binding in bindings:
            hint = self._hint(binding)
            if binding.id in ALWAYS or hint.cell_length > room:
                continue
            fitting.append(hint)
            room -= hint.cell_length
        return Content("").join([*fitting, Content(" " * max(room, 0)), *fixed])

    def _shown(self) -> list[Binding]:
        seen: dict[str, Binding] = {}
        for active in self.screen.active_bindings.values():
            if active.binding.show and active.enabled and active.binding.description:
                seen.setdefault(active.binding.action, active.binding)
        return list(seen.values())

    def _hint(self, binding: Binding) -> Content:
        return Content.assemble((f" {self.app.get_key_display(binding)}", "bold $accent"), f" {binding.description} ")

    def _bindings_changed(self, _: Screen[object]) -> None:
        if self._fitting(self.size.width) != self._line:
            self.refresh()
