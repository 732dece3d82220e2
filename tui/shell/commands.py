"""The command palette: everything that a key can do at this place, by name, with its key."""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any

from textual import events, work
from textual.app import SystemCommand
from textual.command import CommandList, CommandPalette, DiscoveryHit, Hit, Hits, Provider


@dataclass(frozen=True)
class Entry:
    """One line of the palette."""

    title: str
    help: str
    run: Callable[[], Coroutine[Any, Any, Any] | Any]


class Actions(Provider):
    """The active bindings of the screen below, nearest widget first, then what has no key."""

    async def discover(self) -> Hits:
        """Everything, before a letter is typed."""
        for each in self._entries():
            yield DiscoveryHit(each.title, each.run, help=each.help)

    async def search(self, query: str) -> Hits:
        """What matches, by its title first."""
        matcher = self.matcher(query)
        for each in self._entries():
            score = max(matcher.match(each.title), 0.6 * matcher.match(each.help))
            if score > 0:
                yield Hit(score, matcher.highlight(each.title), each.run, help=each.help)

    def _entries(self) -> Iterator[Entry]:
        seen: set[str] = set()
        for active in self.screen.active_bindings.values():
            binding = active.binding
            if not binding.description or not active.enabled or binding.system or binding.action in seen | {"command_palette"}:
                continue
            seen.add(binding.action)
            key = self.app.get_key_display(binding)
            yield Entry(f"{binding.description} ({key})", binding.tooltip, partial(self.app.run_action, binding.action, active.node))
        for command in self._without_key():
            yield Entry(command.title, command.help, command.callback)

    def _without_key(self) -> Iterator[SystemCommand]:
        app = self.app
        yield SystemCommand("Theme", "Choose a theme; set it in the settings file to keep it", app.action_change_theme)
        yield SystemCommand("Screenshot", "Save this screen as SVG", lambda: app.set_timer(0.1, app.deliver_screenshot))


class Palette(CommandPalette):
    """Textual's palette, for terminals that are too low to show its list as well: there a page of it is nothing."""

    def _on_mount(self, event: events.Mount) -> None:
        """Begin, unless it was closed already: the first tab opens just after a key that was pressed early."""
        if len(self.app.screen_stack) < 2:
            event.prevent_default()

    @work(exclusive=True, group=CommandPalette._GATHER_COMMANDS_GROUP)
    async def _gather_commands(self, search_value: str) -> None:
        """Look for commands, unless the list of them is gone: a letter typed just before closing is handled after it."""
        if self.query(CommandList):
            await CommandPalette._gather_commands.__wrapped__(self, search_value)  # type: ignore[attr-defined]

    def _action_command_list(self, action: str) -> None:
        if self.query_one(CommandList).size:
            super()._action_command_list(action)
