"""Two runs side by side: what was asked differently, and what came of it."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING, Any, ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import VerticalScroll
from textual.content import Content
from textual.widgets import Static

from core.runs.figures import show
from core.sanitize import clean
from tui.runs.rows import what
from tui.shell.partial_repaint import PartialRepaintScreen
from tui.widgets.hints import Hints
from tui.widgets.topbar import TopBar

if TYPE_CHECKING:
    from core.runs.compare.compare import Measure
    from core.runs.state.store import Run

_NAME = 26


class CompareScreen(PartialRepaintScreen):
    """The older run on the left, the newer on the right, the change and whether it is for the better."""

    HELP = """
    Two runs side by side. The upper part lists the settings that differ, the lower part every measured figure,
    its change from left to right, and whether that is better or worse if a direction is known and the difference is more than noise.
    """
    BINDINGS: ClassVar[list[BindingType]] = [Binding("escape,equals_sign", "app.pop_screen", "Back", id="compare.back", tooltip="Back to the runs")]
    DEFAULT_CSS = """
    CompareScreen VerticalScroll { padding: 0 1; height: 1fr; }
    CompareScreen Static { height: auto; }
    """

    def __init__(self, left: Run, right: Run) -> None:
        super().__init__()
        self._runs = left, right

    def compose(self) -> ComposeResult:
        yield TopBar("Compare")
        with VerticalScroll():
            yield Static(id="compare-words")
        yield Hints()

    async def on_mount(self) -> None:
        text = await asyncio.to_thread(compared, *self._runs, self.app.size.width - 4)
        self.query_one("#compare-words", Static).update(text)
        self.query_one(VerticalScroll).focus()


def compared(left: Run, right: Run, width: int) -> Content:
    """The comparison as text of at most `width` columns. Reads the disk."""
    from core.runs.compare.compare import compare

    found = compare((left, right))
    cell = max((width - _NAME - 18) // 2, 12)
    sides = zip(("left", "right"), (left, right), found.statuses, strict=True)
    lines = [Content.assemble((f"{side:<7}", "$text-muted"), (f"{what(run):<28}", "bold"), f"{run.id}  {status}") for side, run, status in sides]
    lines += [Content.styled(f"! {clean(warning)}", "$text-warning") for warning in found.warnings]
    lines += [Content.styled("\nDifferent settings", "bold $primary")]
    lines += [_row(clean(each.name).replace("_", "-"), tuple(_asked(value) for value in each.values), cell) for each in found.settings] or [
        Content("nothing")
    ]
    lines += [Content(), _row("Measured", ("left", "right"), cell, "bold $primary")]
    lines += [_measured(each, cell) for each in found.measures] or [Content("neither run has a result")]
    if differences := next(iter(found.differences), ()):
        lines += [Content(), Content.styled("Of all requests, right compared with left", "bold $primary")]
        lines += [
            Content.assemble((f"{_cut(clean(each.name), _NAME - 1):<{_NAME}}", "$text-muted"), clean(each.words, limit=120)) for each in differences
        ]
    return Content("\n").join(lines)


def _asked(value: Any) -> str:
    return "—" if value is None else clean(value if isinstance(value, str) else json.dumps(value), limit=120)


def _measured(measure: Measure, cell: int) -> Content:
    row = _row(clean(measure.title, limit=60), tuple(show(measure.name, value) for value in measure.values), cell)
    ratio = measure.ratios[1]
    if ratio is None or ratio == 1:
        return row
    verdict = "within noise" if measure.within_noise else "" if measure.best is None else ("better" if measure.best == 1 else "worse")
    return Content.assemble(row, (f" {ratio - 1:+.1%} {verdict}", {"better": "$text-success", "worse": "$text-error"}.get(verdict, "")))


def _row(name: str, values: tuple[str, ...], cell: int, style: str = "") -> Content:
    cells = [(f"{_cut(value, cell - 2):<{cell}}", style) for value in values]
    return Content.assemble((f"{_cut(name, _NAME - 1):<{_NAME}}", style or "$text-muted"), *cells)


def _cut(text: str, width: int) -> str:
    return text if len(text) <= width else f"{text[: width - 1]}…"
