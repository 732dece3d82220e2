"""The Hardware tab: what the machine does now, whether a model fits on it, and what to do about it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, ClassVar

from textual import on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Container
from textual.widgets import ContentSwitcher

from tui.hardware.live_view import LiveView
from tui.widgets.view_bar import ViewBar

if TYPE_CHECKING:
    from tui.hardware.plan_view import PlanView

LIVE, FIT, ADVICE = "Live", "Fit", "Advice"
VIEWS = (LIVE, FIT, ADVICE)


class HardwarePane(Container):
    """Three views behind one bar; the two of the plan are made when one of them is first opened."""

    HELP = """
    Live: GPUs, CPUs, memory and disks now, and the processes that use GPU memory.
    Fit: the memory of a model on this machine or on a named GPU, in every format, and the largest context and concurrency that fit.
    Advice: which engine and format to use, with numbers, reason and commands. F4 switches views.
    """
    DEFAULT_CSS = """
    HardwarePane { layout: vertical; }
    HardwarePane > ContentSwitcher { height: 1fr; }
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("f4", "next_view", "View", id="hardware.view", tooltip="Show the next view: live, fit, advice"),
        Binding("l", f"view('{LIVE}')", "Live", show=False, id="hardware.live", tooltip="Show what the machine is doing"),
        Binding("f", f"view('{FIT}')", "Fit", show=False, id="hardware.fit", tooltip="Show whether a model fits"),
        Binding("a", f"view('{ADVICE}')", "Advice", show=False, id="hardware.advice", tooltip="Show which engine and format to use"),
    ]

    def __init__(self) -> None:
        super().__init__()
        self.bar = ViewBar(VIEWS, LIVE)
        self.live = LiveView()
        self.plan: PlanView | None = None
        """Made when one of its views is first opened."""

    def compose(self) -> ComposeResult:
        yield self.bar
        with ContentSwitcher(initial="live"):
            yield self.live

    def on_focus(self) -> None:
        if self.bar.active == LIVE or self.plan is None:
            self.live.focus_first()
        else:
            self.plan.focus_first()

    async def open_view(self, view: str) -> None:
        """Show a view by its name on the bar."""
        self.bar.active = view
        switcher = self.query_one(ContentSwitcher)
        if view == LIVE:
            switcher.current = "live"
        else:
            if self.plan is None:
                from tui.hardware.plan_view import PlanView

                self.plan = PlanView(view)
                await switcher.add_content(self.plan)
            self.plan.open_view(view)
            switcher.current = "plan"
        self.on_focus()
        self.refresh_bindings()

    def prefill(self, values: Mapping[str, object]) -> None:
        """Plan for a model: fields of the form, and which view to open (`view`, default Fit)."""
        self.call_later(self._fill, dict(values))

    async def _fill(self, values: Mapping[str, object]) -> None:
        await self.open_view(str({"view": FIT, **values}["view"]))
        if self.plan is not None:
            self.plan.fill(values)

    async def action_view(self, view: str) -> None:
        await self.open_view(view)

    async def action_next_view(self) -> None:
        await self.open_view(self.bar.neighbour(1))

    @on(LiveView.Drivers)
    def _drivers(self, event: LiveView.Drivers) -> None:
        event.stop()
        self.bar.note = event.text

    @on(ViewBar.Chosen)
    async def _chosen(self, event: ViewBar.Chosen) -> None:
        event.stop()
        await self.open_view(event.view)
