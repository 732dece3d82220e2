"""What the machine does now: GPUs, the selected one in detail, the host, processes. Once a second only changed cells are sent."""

from __future__ import annotations

import textwrap
from dataclasses import dataclass
from typing import ClassVar

from textual import events, on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.message import Message
from textual.widget import Widget

from core.errors import LlmoptError
from core.hardware.snapshot import GpuState, ProcessState, Snapshot
from core.sanitize import clean
from tui.hardware import gpu_facts, gpu_rows, host_lines, process_rows, words
from tui.hardware.ending import WORDS, Means, describe, done, next_means
from tui.services.services import Services, services_of
from tui.shell.confirm import Confirm
from tui.shell.shell import shell_of
from tui.widgets.live import Line, LiveLines
from tui.widgets.table.live_table import LiveTable
from tui.widgets.threads import in_thread

PROCESS_ROWS = 3
"""Rows that the processes keep when everything else wants room, if there are so many."""


class LiveView(Widget):
    """Reads the sampler's latest snapshot; takes none itself."""

    HELP = """
    What the machine is doing. The upper table has one row per GPU; the row under the cursor is shown in detail below it.
    The lower table lists the processes that use GPU memory, and our runs: "ours" marks processes started by this program.
    n/a: not reported by the driver. Histories run from left (older) to right (now), one dot column per reading.
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("x", "end", "End process", id="hardware.end", tooltip="End the process under the cursor, or cancel its run, after confirmation"),
    ]
    DEFAULT_CSS = """
    LiveView { height: 1fr; layout: vertical; }
    LiveView > #problem { margin-bottom: 1; }
    LiveView > #gpu-facts { margin-top: 1; }
    LiveView > #host { margin-top: 1; }
    LiveView > #processes { margin-top: 1; height: 1fr; min-height: 2; }
    LiveView.-tight > #gpu-facts, LiveView.-tight > #host, LiveView.-tight > #processes { margin-top: 0; }
    LiveView.-tight > #problem { margin-bottom: 0; }
    """

    @dataclass
    class Drivers(Message):
        """The versions of driver and libraries are known, or others."""

        text: str

    def __init__(self) -> None:
        super().__init__(id="live")
        self._problem = LiveLines(id="problem")
        self._gpus = LiveTable(id="gpus")
        self._facts = LiveLines(id="gpu-facts")
        self._host = LiveLines(id="host")
        self._processes = LiveTable(id="processes", empty="none of our processes, and none on a GPU")
        self.shown: Snapshot | None = None
        """The reading that is on the screen."""
        self._plan: tuple[int, ...] = ()
        self._drivers = ""
        self._tried: dict[tuple[int, float | None], Means] = {}
        """What was done to end a process, by its pid and start."""
        self._focus_first = False
        """The focus is to go to the GPUs as soon as it is known whether there are any."""

    @property
    def services(self) -> Services:
        return services_of(self)

    def compose(self) -> ComposeResult:
        yield self._problem
        yield self._gpus
        yield self._facts
        yield self._host
        yield self._processes

    def on_mount(self) -> None:
        """Begin to look, at first more often: the first reading is a fraction of a second away."""
        self._gpus.display = False
        self._problem.show([(("reading the hardware ...", "muted"),)])
        self.set_interval(min(self.services.settings.refresh_interval, 1.0), self.tick)
        for soon in (0.05, 0.1, 0.2, 0.4):
            self.set_timer(soon, self.tick)

    def on_show(self) -> None:
        self.tick()

    def on_resize(self, _: events.Resize) -> None:
        self._plan = ()
        self._draw()

    def focus_first(self) -> None:
        self._focus_first = self.shown is None
        (self._gpus if self._gpus.display else self._processes).focus()

    def tick(self) -> None:
        """Show the latest snapshot, if it is a new one and somebody can see it."""
        if not self.is_on_screen:
            return
        latest = self.services.sampler.latest
        if latest is None:
            if problem := self.services.sampler.problem:
                self._problem.show([((clean(problem), "bad"),)])
            return
        if latest is not self.shown:
            self.shown = latest
            self._draw()

    @on(LiveTable.Moved, "#gpus")
    def _other_gpu(self, event: LiveTable.Moved) -> None:
        event.stop()
        self._draw()

    @on(LiveTable.Chosen, "#processes")
    def _process_chosen(self, event: LiveTable.Chosen) -> None:
        event.stop()
        self.action_end()

    @on(LiveTable.Chosen, "#gpus")
    def _gpu_chosen(self, event: LiveTable.Chosen) -> None:
        """Go to the first process of the GPU."""
        event.stop()
        first = next((process for process in self.shown.processes if process.gpu == event.key), None) if self.shown else None
        if first is not None:
            self._processes.move_to(process_rows.key(first))
            self._processes.focus()

    # -- ending a process

    def action_end(self) -> None:
        process = self.selected_process()
        if refusal := self.why_not(process):
            shell_of(self).notify_text(refusal, severity="warning")
        elif process is not None:
            means = next_means(process, self._tried.get((process.pid, process.started)))
            question = Confirm(describe(process, means), yes=WORDS[means].yes, no="Leave it", title="End a process")
            self.app.push_screen(question, lambda yes: self._end(process, means) if yes else None)

    def why_not(self, process: ProcessState | None) -> str:
        """Why nothing may be ended now; empty when it may."""
        if self.services.read_only:
            return "Read-only: start llmopt-tui without --read-only to end processes."
        if process is None:
            return "No process under the cursor."
        if process.foreign:
            return f"Process {process.pid} runs on the host, outside this container: end it from the host."
        return ""

    def selected_process(self) -> ProcessState | None:
        if self.shown is None:
            return None
        return next((process for process in self.shown.processes if process_rows.key(process) == self._processes.cursor), None)

    @in_thread(group="end-process", description="end a process")
    def _end(self, process: ProcessState, means: Means) -> None:
        from core.hardware.live.processes import kill

        shell, say = shell_of(self), self.app.call_from_thread
        try:
            if means is Means.CANCEL:
                self.services.runs.cancel(self.services.runs.get(process.run or ""))
            else:
                kill(process.pid, process.started, means, from_gpu=process.gpu is not None)
        except LlmoptError as error:
            say(shell.notify_text, str(error), severity="error")
        else:
            say(shell.notify_text, done(process, means))
        self._tried[process.pid, process.started] = means

    # -- drawing

    def _draw(self) -> None:
        snapshot = self.shown
        width, height = self.size
        if snapshot is None or not width:
            return
        self._problem.show(problem_lines(snapshot, width))
        if (text := drivers(snapshot)) != self._drivers:
            self._drivers = text
            self.post_message(self.Drivers(text))
        rows = [(gpu.index, gpu_rows.row(gpu, self.services.sampler.history, width)) for gpu in snapshot.gpus]
        self._gpus.show_rows(gpu_rows.head(width), rows)
        gpu = self._selected_gpu(snapshot)
        self._arrange(snapshot, gpu, width, height)
        if self._focus_first and self._processes.has_focus:
            self.focus_first()
        if gpu is not None:
            self._facts.show(gpu_facts.lines(gpu, self.services.sampler.history, width, self._facts.size.height or self._plan[2]))
            self._host.show(host_lines.compact(snapshot, self.services.sampler.history, width))
        else:
            self._host.show(host_lines.full(snapshot, self.services.sampler.history, width, self._plan[3]))
        self._processes.show_rows(process_rows.head(width), [(process_rows.key(each), process_rows.row(each, width)) for each in snapshot.processes])

    def _selected_gpu(self, snapshot: Snapshot) -> GpuState | None:
        key = self._gpus.cursor
        return next((gpu for gpu in snapshot.gpus if gpu.index == key), snapshot.gpus[0] if snapshot.gpus else None)

    def _arrange(self, snapshot: Snapshot, gpu: GpuState | None, width: int, height: int) -> None:
        """Share the rows out; only when the machine or the terminal has another shape than before."""
        problem = len(problem_lines(snapshot, width))
        gpus = min(len(snapshot.gpus), 8) + 1 if snapshot.gpus else 0
        wanted = gpu_facts.content_height(gpu, width) if gpu is not None else 0
        processes = 1 + min(max(len(snapshot.processes), 1), PROCESS_ROWS)
        tight = height < problem + gpus + wanted + 3 + processes + 3
        gaps = 0 if tight else 3
        left = height - problem - gpus - processes - gaps
        host = 3 if gpu is not None else max(len(host_lines.full(snapshot, self.services.sampler.history, width, left)), 3)
        facts = max(min(wanted, left - host), 0) if gpu is not None else 0
        plan = (problem, gpus, facts, host, int(tight), width)
        if plan == self._plan:
            return
        self._plan = plan
        self.set_class(tight, "-tight")
        self._problem.display = bool(problem)
        self._problem.styles.height = problem
        self._gpus.display = bool(gpus)
        self._gpus.styles.height = gpus
        self._facts.display = bool(facts)
        self._facts.styles.height = facts
        self._host.styles.height = host


def problem_lines(snapshot: Snapshot, width: int) -> list[Line]:
    """Why there is no GPU, where there is none."""
    if snapshot.gpu_problem is None:
        return []
    return [((text, "warn"),) for text in textwrap.wrap(f"No GPUs: {clean(snapshot.gpu_problem)}.", max(width - 1, 8))]


def drivers(snapshot: Snapshot) -> str:
    """Versions of driver, CUDA and management library."""
    driver = snapshot.driver
    if driver is None:
        return ""
    return f"driver {clean(driver.version or words.NA)}  CUDA {clean(driver.cuda or words.NA)}  NVML {clean(driver.nvml or words.NA)} "
