"""F1: what the focused widget is for, and every key that works there."""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterable
from typing import TYPE_CHECKING, ClassVar

from textual.app import App, ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import VerticalScroll
from textual.content import Content
from textual.dom import DOMNode
from textual.screen import ModalScreen, Screen
from textual.widgets import Static

from tui.shell.panes import PANES

if TYPE_CHECKING:
    from textual.binding import ActiveBinding


def help_text(node: DOMNode | None) -> str:
    """The nearest `HELP` from a widget outwards; without one, what the widget's class says about itself."""
    outward = list(node.ancestors_with_self) if node is not None else []
    for each in outward:
        if text := getattr(each, "HELP", None):
            return inspect.cleandoc(text)
    return "" if node is None else inspect.cleandoc(type(node).__doc__ or "").partition("\n\n")[0]


def key_table(app: App[object], bindings: Iterable[ActiveBinding], width: int) -> Content:
    """Key, action and binding id, the keys of the focused widget first, grouped by where they belong."""
    lines: list[Content] = []
    owner: DOMNode | None = None
    seen: set[tuple[str, str]] = set()
    for active in bindings:
        binding = active.binding
        if not binding.description or binding.system or (binding.action, binding.description) in seen:
            continue
        seen.add((binding.action, binding.description))
        if active.node is not owner:
            owner = active.node
            lines.append(Content.styled(f"\n{_title(active.node)}", "bold $primary"))
        keys = ", ".join(dict.fromkeys(app.get_key_display(each.binding) for each in _same(bindings, binding)))
        lines.append(_line(keys, binding.tooltip or binding.description, binding.id or "", width))
    return Content("\n").join(lines)


def _line(keys: str, text: str, binding_id: str, width: int) -> Content:
    room = width - 15 - len(binding_id)
    what = Content(text).truncate(room, ellipsis=True)
    return Content.assemble((f"{keys:>11}  ", "bold $accent"), what, " " * max(room - what.cell_length + 2, 0), (binding_id, "$text-muted"))


def _same(bindings: Iterable[ActiveBinding], wanted: Binding) -> list[ActiveBinding]:
    return [each for each in bindings if each.binding.action == wanted.action and each.binding.description == wanted.description]


def _title(node: DOMNode) -> str:
    if isinstance(node, App):
        return "Everywhere"
    if isinstance(node, Screen):
        return "This screen"
    pane = next((row.title for row in PANES if row.id == node.id), None)
    return pane or re.sub(r"(?<=[a-z])(?=[A-Z])", " ", type(node).__name__).capitalize()


class HelpScreen(ModalScreen[None]):
    """The help of one place. Any of its keys closes it."""

    BINDINGS: ClassVar[list[BindingType]] = [Binding("escape,f1,q,enter", "dismiss", "Close", id="help.close")]
    DEFAULT_CSS = """
    HelpScreen { align: center middle; }
    HelpScreen > VerticalScroll {
        width: 90%; max-width: 96; height: auto; max-height: 90%; padding: 0 2 1 2;
        background: $surface; border: round $primary; border-title-color: $primary; border-subtitle-color: $text-muted;
    }
    HelpScreen Static { height: auto; }
    """

    def __init__(self, text: str, bindings: list[ActiveBinding]) -> None:
        super().__init__()
        self._text = text
        self._active = bindings

    def compose(self) -> ComposeResult:
        with VerticalScroll() as box:
            box.border_title = "Help"
            box.border_subtitle = "esc closes · right: ids for the keymap in the settings"
            yield Static(self._text, markup=False)
            yield Static(key_table(self.app, self._active, min(96, self.app.size.width * 9 // 10) - 8))
