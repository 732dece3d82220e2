"""The question before a process is ended: which one, whose, and how."""

from __future__ import annotations

import signal
from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal, Vertical
from textual.screen import ModalScreen
from textual.widgets import Button, Static

from core.hardware.snapshot import ProcessState
from core.sanitize import clean
from tui.hardware import words


class KillScreen(ModalScreen[int | None]):
    """Answers the signal to send, or None to leave the process alone."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape,n", "answer(0)", "Leave it", id="kill.leave", tooltip="Do nothing"),
        Binding("t", f"answer({int(signal.SIGTERM)})", "Terminate", id="kill.terminate", tooltip="SIGTERM: ask the process to end; it can clean up"),
        Binding("k", f"answer({int(signal.SIGKILL)})", "Kill", id="kill.kill", tooltip="SIGKILL: kill it; unsaved work is lost"),
        Binding("left", "app.focus_previous", "Other answer", show=False, id="kill.previous"),
        Binding("right", "app.focus_next", "Other answer", show=False, id="kill.next"),
    ]
    HELP = "Ends a process on this machine. t asks it to end, k kills it, esc cancels. Nothing happens before you answer."
    DEFAULT_CSS = """
    KillScreen { align: center middle; }
    KillScreen > Vertical { width: 72; max-width: 96%; height: auto; padding: 1 2; background: $surface; border: round $warning; }
    KillScreen Static { height: auto; max-height: 12; margin-bottom: 1; }
    KillScreen Horizontal { height: auto; align-horizontal: right; }
    KillScreen Button { margin-left: 2; min-width: 14; height: 1; border: none; }
    KillScreen Button:focus { text-style: bold reverse; }
    """

    def __init__(self, process: ProcessState) -> None:
        super().__init__()
        self.process = process

    def compose(self) -> ComposeResult:
        with Vertical() as box:
            box.border_title = "End a process"
            yield Static("\n".join(describe(self.process)), markup=False)
            with Horizontal():
                yield Button("Leave it (esc)", id="signal-0", compact=True)
                yield Button("Terminate (t)", id=f"signal-{int(signal.SIGTERM)}", variant="warning", compact=True)
                yield Button("Kill (k)", id=f"signal-{int(signal.SIGKILL)}", variant="error", compact=True)

    def on_button_pressed(self, event: Button.Pressed) -> None:
        self.action_answer(int((event.button.id or "signal-0").removeprefix("signal-")))

    def action_answer(self, number: int) -> None:
        self.dismiss(number or None)


def describe(process: ProcessState) -> list[str]:
    """What a user must know before ending a process."""
    lines = [f"pid      {process.pid}", f"owner    {clean(process.owner or words.NA)}"]
    if process.gpu is not None:
        lines.append(f"GPU      {process.gpu}, {words.size(process.gpu_memory)} of its memory")
    lines.append(f"command  {clean(process.command or words.NA, limit=400)}")
    if process.ours:
        lines.append("")
        lines.append(f"This is one of your runs ({clean(process.run or '')}): cancel it under Runs (ctrl+r) to keep its record complete.")
    return lines
