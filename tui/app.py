"""The application: a line of tabs, one pane at a time, a line of keys. Everything else is imported when it is used."""

from __future__ import annotations

import asyncio
import platform
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from textual import on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.cache import LRUCache
from textual.reactive import reactive
from textual.screen import ModalScreen, Screen
from textual.widgets import ContentSwitcher, Static

from core.sanitize import clean
from tui.services.services import Services
from tui.shell import crash
from tui.shell.packages import import_packages
from tui.shell.panes import PANES, PaneEntry, entry
from tui.shell.partial_repaint import PartialRepaintScreen
from tui.shell.resilient import ResilientApp
from tui.terminal import theme
from tui.terminal.ssh import Terminal
from tui.widgets.hints import Hints
from tui.widgets.topbar import TopBar

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from textual.command import Provider
    from textual.driver import Driver
    from textual.filter import LineFilter
    from textual.notifications import SeverityLevel
    from textual.widget import Widget

    from core.runs.state.store import Run
    from tui.runs.watcher import Activity, RunEvent
    from tui.shell.shell import Shell

_STYLE_SHEETS = 1024
"""Style sheets that stay parsed, one for each class of widget. Textual keeps 64, and with one more parses all of them again for every new class."""
_SEVERITY: dict[str, SeverityLevel] = {"done": "information", "cancelled": "warning", "failed": "error"}


def _commands() -> type[Provider]:
    from tui.shell.commands import Actions

    return Actions


class LlmoptApp(ResilientApp):
    """The workstation. `services` is what panes may use; `terminal` is what was found out about the terminal."""

    TITLE = "llmopt"
    CSS_PATH = Path(__file__).with_name("app.tcss")
    COMMANDS: ClassVar[set[type[Provider] | Callable[[], type[Provider]]]] = {_commands}
    open_tab: reactive[str] = reactive("")
    """Id of the tab that is shown, or about to be."""
    activity: reactive[str] = reactive("")
    """What runs now."""
    BINDINGS: ClassVar[list[BindingType]] = [
        *(
            Binding(pane.key, f"open_pane('{pane.id}')", pane.title, show=False, id=f"app.{pane.id}", tooltip=f"{pane.title}: {pane.summary}")
            for pane in PANES
        ),
        Binding("ctrl+r", "runs", "Runs", id="app.runs", tooltip="All runs: follow, cancel, compare"),
        Binding("ctrl+o", "jump", "Jump", id="app.jump", tooltip="Jump to a tab or a widget by a letter"),
        Binding("ctrl+p", "command_palette", "Commands", id="app.palette", tooltip="Find and run any command", priority=True),
        Binding("f1", "help", "Help", id="app.help", tooltip="Help for the focused widget, and all keys", priority=True),
        Binding("ctrl+q", "quit", "Quit", id="app.quit", tooltip="Quit; runs continue", priority=True),
        Binding("escape", "leave_field", "Leave field", show=False, id="app.leave-field", tooltip="Leave a field, so that digits open tabs"),
    ]

    def __init__(self, services: Services, terminal: Terminal, *, driver_class: type[Driver] | None = None) -> None:
        self._terminal = terminal
        super().__init__(driver_class=driver_class)
        self.services = services
        self.stylesheet._parse_cache = LRUCache(_STYLE_SHEETS)
        self._opening = asyncio.Lock()
        self._palette_filter = theme.PaletteFilter(enabled=terminal.colors == "256")

    # -- what is on the screen

    def get_default_screen(self) -> Screen[Any]:
        return PartialRepaintScreen(id="_default")

    def compose(self) -> ComposeResult:
        yield TopBar()
        yield ContentSwitcher(id="panes")
        yield Hints()

    def on_mount(self) -> None:
        for each in theme.THEMES:
            self.register_theme(each)
        self.theme = self._chosen_theme()
        self._take_keymap(self.services.settings.keymap)
        screen = self.default_screen
        assert isinstance(screen, PartialRepaintScreen)
        screen.after_paint(self._begin)

    def _begin(self) -> None:
        import_packages()
        if not self.open_tab:
            self.open_pane(PANES[0].id)
        self._watch_runs()

    @property
    def place(self) -> str:
        """Where this is, and whether it may change anything here."""
        host = clean(platform.node(), limit=24)
        return f"{host} · read-only" if self.services.read_only else host

    def open_pane(self, pane_id: str, prefill: dict[str, object] | None = None, *, show: Run | None = None) -> None:
        """Open a tab, made on its first opening; `prefill` is handed to the pane's `prefill(values)`, `show` to its `show_run(run)`."""
        row = entry(pane_id)
        while len(self.screen_stack) > 1:
            self.pop_screen()
        self.open_tab = row.id
        self.run_worker(self._show(row, prefill, show), group="panes", description=f"open {row.title}")

    def pane(self, pane_id: str) -> Widget | None:
        """The widget of a tab, if it was opened before."""
        return next(iter(self.query_one("#panes").query_children(f"#{pane_id}")), None) if pane_id else None

    async def _show(self, row: PaneEntry, prefill: dict[str, object] | None, show: Run | None) -> None:
        switcher = self.query_one("#panes", ContentSwitcher)
        async with self._opening:
            pane = self.pane(row.id)
            if pane is None:
                pane = await self._make(row)
                await switcher.add_content(pane, id=row.id)
        if prefill is not None and (take := getattr(pane, "prefill", None)):
            take(prefill)
        if show is not None and (bring := getattr(pane, "show_run", None)):
            bring(show)
        if self.open_tab != row.id or not pane.is_attached:
            return
        switcher.current = row.id
        if pane.focusable:
            pane.focus()

    async def _make(self, row: PaneEntry) -> Widget:
        try:
            pane = (await asyncio.to_thread(row.load))()
        except Exception as error:
            return Static(f"{row.title} could not be opened: {crash.record(error)}", markup=False, id=row.id, classes="problem")
        pane.id = row.id
        pane.can_focus = True
        return pane

    # -- actions

    def action_open_pane(self, pane_id: str) -> None:
        self.open_pane(pane_id)

    def action_leave_field(self) -> None:
        active = self.pane(self.open_tab)
        if active is not None:
            active.focus()

    async def action_runs(self) -> None:
        from tui.runs.screen import RunsScreen

        if not any(isinstance(screen, RunsScreen) for screen in self.screen_stack):
            await self.push_screen(RunsScreen())

    def action_help(self) -> None:
        from tui.shell.help import HelpScreen, help_text

        if isinstance(self.screen, HelpScreen):
            self.pop_screen()
            return
        focused = self.screen.focused or self.pane(self.open_tab) or self.screen
        self.push_screen(HelpScreen(help_text(focused), list(self.screen.active_bindings.values())))

    def action_jump(self) -> None:
        from tui.shell.jump import JumpScreen, targets

        if not isinstance(self.screen, ModalScreen):
            self.push_screen(JumpScreen(targets(self.screen)), self._jumped)

    def _jumped(self, target: str | Widget | None) -> None:
        if isinstance(target, str):
            self.open_pane(target)
        elif target is not None:
            self.screen.set_focus(target)

    @on(TopBar.Chosen)
    def _tab_clicked(self, event: TopBar.Chosen) -> None:
        self.open_pane(event.pane_id)

    # -- runs

    def _watch_runs(self) -> None:
        from tui.runs.watcher import INTERVAL, RunWatcher

        watcher = RunWatcher(self.services.runs, self._tell, self._show_activity)
        once: Any = watcher.look

        def look() -> None:
            self.run_worker(once, group="runs", description="look for started and finished runs")

        look()
        self.set_interval(INTERVAL, look)

    def _show_activity(self, activity: Activity) -> None:
        self.activity = activity.text

    def _tell(self, event: RunEvent) -> None:
        from tui.runs.watcher import RunEnded

        listeners = [self.screen, *self.query_one("#panes").children]
        for listener in listeners:
            if (hear := getattr(listener, "on_run_event", None)) is not None:
                listener.call_later(hear, event)
        if isinstance(event, RunEnded):
            severity: SeverityLevel = _SEVERITY.get(event.status, "error")
            self.notify_text(event.summary, title="Run ended", severity=severity)
            self.bell()

    # -- the terminal

    def get_line_filters(self) -> Sequence[LineFilter]:
        """Textual's, and on 256 colours ours, last."""
        filters = list(super().get_line_filters())
        return [*filters, self._palette_filter] if self._palette_filter.enabled else filters

    def _take_keymap(self, keymap: Mapping[str, str]) -> None:
        known = {binding.id for binding in self.BINDINGS if isinstance(binding, Binding)}
        for name in keymap:
            if name.startswith("app.") and name not in known:
                self.notify_text(f"The settings bind a key to {name}, which does not exist; F1 lists the ids.", severity="warning")
        self.set_keymap(dict(keymap))

    def _chosen_theme(self) -> str:
        wanted = self.services.settings.theme
        if wanted is not None and wanted not in self.available_themes:
            self.notify_text(f"Unknown theme {wanted}; the command palette lists them.", severity="warning")
            wanted = None
        return wanted or theme.default_theme(self._terminal.colors)


if TYPE_CHECKING:

    def _is_shell(app: LlmoptApp) -> Shell:
        return app
