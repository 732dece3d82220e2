"""Two runs side by side: what was asked differently, and what came of it."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING, ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import VerticalScroll
from textual.content import Content
from textual.screen import Screen
from textual.widgets import Static

from core.runs.figures import figure, show
from core.sanitize import clean
from tui.runs.rows import figures, what
from tui.widgets.hints import Hints
from tui.widgets.topbar import TopBar

if TYPE_CHECKING:
    from core.runs.store import Run


class CompareScreen(Screen[None]):
    """The older run on the left, the newer on the right, the change and whether it is for the better."""

    HELP = """
    Two runs side by side. The upper part lists what was asked differently, the lower part every measured figure
    that both have, its change from left to right, and whether that is better or worse where a direction is known.
    """
    BINDINGS: ClassVar[list[BindingType]] = [Binding("escape,equals_sign", "app.pop_screen", "Back", id="compare.back")]
    DEFAULT_CSS = """
    CompareScreen VerticalScroll { padding: 0 1; height: 1fr; }
    CompareScreen Static { height: auto; }
    """

    def __init__(self, left: Run, right: Run) -> None:
        super().__init__()
        self._left = left
        self._right = right

    def compose(self) -> ComposeResult:
        """One table of text."""
        yield TopBar()
        with VerticalScroll():
            yield Static(id="compare-words")
        yield Hints()

    async def on_mount(self) -> None:
        """Read both runs."""
        text = await asyncio.to_thread(compared, self._left, self._right)
        self.query_one("#compare-words", Static).update(text)
        self.query_one(VerticalScroll).focus()


def compared(left: Run, right: Run) -> Content:
    """The comparison as text. Reads the disk."""
    lines = [_row("", "left", "right", head=True), _row("run", left.id, right.id), _row("what", what(left), what(right))]
    asked = _asked(left), _asked(right)
    different = [name for name in {**asked[0], **asked[1]} if asked[0].get(name) != asked[1].get(name)]
    lines += [Content.styled("\nAsked differently", "bold $primary")]
    lines += [_row(name.replace("_", "-"), asked[0].get(name, "—"), asked[1].get(name, "—")) for name in different] or [Content("nothing")]
    lines += [Content.styled("\nMeasured", "bold $primary")]
    measured = figures(left.result), figures(right.result)
    names = list({**measured[0], **measured[1]})
    lines += [_figure(name, measured[0].get(name), measured[1].get(name)) for name in names] or [Content("neither run has a result")]
    return Content("\n").join(lines)


def _asked(run: Run) -> dict[str, str]:
    return {clean(name, limit=40): clean(value if isinstance(value, str) else json.dumps(value), limit=80) for name, value in run.values.items()}


def _figure(name: str, left: float | None, right: float | None) -> Content:
    row = _row(figure(name).title, show(name, left), show(name, right))
    if left is None or right is None or left == right or not left:
        return row
    better = figure(name).better
    verdict = "" if not better else ("better" if (right < left) == (better == "lower") else "worse")
    style = {"better": "$text-success", "worse": "$text-error"}.get(verdict, "")
    return Content.assemble(row, (f" {right / left - 1:+.2%} {verdict}", style))


def _row(name: str, left: str, right: str, *, head: bool = False) -> Content:
    cells = f"{left[:34]:<35}", f"{right[:34]:<35}"
    return Content.assemble((f"{name[:28]:<29}", "$text-muted"), *((cell, "bold" if head else "") for cell in cells))
