"""A verification of a checkpoint as it goes, and what it found."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import VerticalScroll
from textual.content import Content
from textual.screen import ModalScreen
from textual.widgets import Static

from core.evaluate.verify.result import VerifyResult
from core.formats.verify.checks import CheckResult
from core.runs.state.state import State
from core.runs.state.store import Run
from core.sanitize import clean
from tui.services.services import services_of
from tui.widgets import words
from tui.widgets.hanging import hanging
from tui.widgets.progress import bar
from tui.widgets.threads import in_thread

_LOOK_EVERY = 0.5
_SIGNS = {
    "pass": ("✓ passed", "$text-success"),
    "warn": ("! doubtful", "$text-warning"),
    "fail": ("✗ failed", "bold $text-error"),
    "skip": ("· not run", "dim"),
}


class VerifyScreen(ModalScreen[None]):
    """Follows the run; closing it does not stop the run."""

    HELP = (
        "Every tensor of a checkpoint is checked: whether the scheme can be read, whether shapes and packing are right and zero points and scales "
        "are in range, and whether the model predicts text better than chance.\n\n"
        "Closing this does not stop the run: ctrl+r shows it."
    )
    DEFAULT_CSS = """
    VerifyScreen { align: center middle; }
    VerifyScreen > VerticalScroll { width: 100; max-width: 100%; height: auto; max-height: 100%; }
    VerifyScreen > VerticalScroll { border: round $primary; background: $surface; padding: 0 1; }
    VerifyScreen Static { height: auto; }
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape,v,q", "dismiss", "Close", id="verify.close", tooltip="Back to the results; the run continues"),
    ]

    def __init__(self, run: Run) -> None:
        super().__init__()
        self._run = run
        self._text = Static("starting ...", markup=False)
        self._over = False

    def compose(self) -> ComposeResult:
        with VerticalScroll() as box:
            box.border_title = "Verify"
            yield self._text

    def on_mount(self) -> None:
        self._look()
        self.set_interval(_LOOK_EVERY, self._look)

    @in_thread(group="verify", description="read a verification", exclusive=True)
    def _look(self) -> None:
        if self._over:
            return
        state = services_of(self).runs.state(self._run)
        text = described(self._run.model, state, self._run.result_as(VerifyResult) if state.is_over else None, max(self.size.width - 6, 40))
        self.app.call_from_thread(self._show, text, state.is_over)

    def _show(self, text: Content, over: bool) -> None:
        self._over = over
        self._text.update(text)


def described(model: str, state: State, result: VerifyResult | None, width: int) -> Content:
    """Progress, or the verdict with every check."""
    head = Content.styled(model, "bold")
    if not state.is_over:
        done = state.progress.fraction if state.progress is not None else 0.0
        label = clean(state.progress.label, limit=width) if state.progress is not None else "the worker is starting"
        return Content("\n").join([head, Content.assemble(bar(done, 30), f" {done:4.0%}"), Content.styled(label, "dim")])
    if result is None:
        return Content("\n").join([head, Content.styled(f"! {clean(state.exit_reason or state.status)}", "$text-error")])
    return Content("\n").join([head, _verdict(result), Content(""), *_checks(result.checks, width), Content(""), *_rest(result, width)])


def _verdict(result: VerifyResult) -> Content:
    scheme = clean(f"{result.format} {result.scheme}", limit=80)
    verdict = ("verified", "bold $text-success") if result.verified else ("faulty", "bold $text-error")
    return Content.assemble(verdict, f"  {scheme}")


def _checks(checks: Sequence[CheckResult], width: int) -> list[Content]:
    lines: list[Content] = []
    for check in checks:
        sign, style = _SIGNS[check.status]
        rows = [("", clean(check.title)), *([("", clean(check.found))] if check.found else [])]
        wrapped = hanging(rows, max(width - 12, 20)).split("\n")
        lines += [Content.assemble((f"{sign:<11}" if index == 0 else " " * 11, style), line) for index, line in enumerate(wrapped)]
    return lines


def _rest(result: VerifyResult, width: int) -> list[Content]:
    rows = [
        ("size", f"{words.size(result.bytes)}, {words.figure(result.bits_per_weight, 3)} bits per weight"),
        ("perplexity", words.figure(result.ppl)),
        *(("note", clean(text)) for text in result.warnings),
    ]
    return [hanging(rows, width), Content.styled("esc close", "dim")]
