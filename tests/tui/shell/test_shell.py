"""The shell: tabs, palette, help, jump mode, notifications, and what happens when something breaks."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any, ClassVar

import pytest
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.command import CommandPalette
from textual.containers import Container
from textual.pilot import Pilot
from textual.widgets import ContentSwitcher, Input, OptionList, Static

from tests.tui.fakes import FakeServices, write_run
from tests.tui.waiting import app_of
from tui.app import LlmoptApp
from tui.config import Settings
from tui.runs.watcher import RunEnded, RunEvent, RunStarted
from tui.shell.panes import PANES, PaneEntry
from tui.widgets.topbar import TopBar

MakeApp = Callable[..., LlmoptApp]


class FirstPane(Container):
    """A pane with two fields."""

    HELP = "The first pane of the test."
    BINDINGS: ClassVar[list[BindingType]] = [Binding("g", "go", "Go", id="first.go", tooltip="Go somewhere")]

    def __init__(self) -> None:
        super().__init__()
        self.heard: list[RunEvent] = []
        self.prefilled: dict[str, Any] | None = None
        self.gone = 0

    def compose(self) -> ComposeResult:
        yield Static("first pane")
        yield Input(id="upper")
        yield Input(id="lower")

    def action_go(self) -> None:
        self.gone += 1

    def prefill(self, values: dict[str, Any]) -> None:
        self.prefilled = values

    def on_run_event(self, event: RunEvent) -> None:
        self.heard.append(event)


class SecondPane(FirstPane):
    """Another one."""


@pytest.fixture
def loaded(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Two small panes in place of the real ones; the ids of those that were loaded."""
    ids: list[str] = []
    classes = {"hardware": FirstPane, "quantize": SecondPane}

    def load(self: PaneEntry) -> type[FirstPane]:
        ids.append(self.id)
        return classes[self.id]

    monkeypatch.setattr(PaneEntry, "load", load)
    return ids


async def settle(pilot: Pilot[None]) -> None:
    switcher = pilot.app.query_one("#panes", ContentSwitcher)
    await wait_until(pilot, lambda: app_of(pilot).open_tab != "" and switcher.current == app_of(pilot).open_tab)
    await pilot.app.workers.wait_for_complete()
    await pilot.pause()


async def test_the_first_tab_opens_by_itself_and_no_other_is_loaded(make_app: MakeApp, loaded: list[str]) -> None:
    async with make_app().run_test() as pilot:
        await settle(pilot)
        assert loaded == ["hardware"]
        assert app_of(pilot).open_tab == "hardware"


async def test_a_digit_opens_its_tab_once(make_app: MakeApp, loaded: list[str]) -> None:
    async with make_app().run_test() as pilot:
        await settle(pilot)
        for key in ("2", "1", "2"):
            await pilot.press(key)
            await settle(pilot)
        assert loaded == ["hardware", "quantize"]
        assert app_of(pilot).pane("quantize").display
        assert not app_of(pilot).pane("hardware").display


async def test_digits_typed_into_a_field_stay_there_and_esc_gives_them_back(make_app: MakeApp, loaded: list[str]) -> None:
    async with make_app().run_test() as pilot:
        await settle(pilot)
        field = pilot.app.query_one("#upper", Input)
        field.focus()
        await pilot.press("2")
        assert (field.value, app_of(pilot).open_tab) == ("2", "hardware")
        await pilot.press("escape", "2")
        await settle(pilot)
        assert app_of(pilot).open_tab == "quantize"


async def test_a_click_on_a_title_opens_the_tab(make_app: MakeApp, loaded: list[str]) -> None:
    async with make_app().run_test() as pilot:
        await settle(pilot)
        await pilot.click(TopBar, offset=(15, 0))
        await settle(pilot)
        assert app_of(pilot).open_tab == "quantize"


async def test_a_prefill_reaches_a_pane_that_was_never_opened(make_app: MakeApp, loaded: list[str]) -> None:
    async with make_app().run_test() as pilot:
        await settle(pilot)
        app_of(pilot).open_pane("quantize", {"bits": 3})
        await settle(pilot)
        assert app_of(pilot).pane("quantize").prefilled == {"bits": 3}


async def test_a_pane_that_cannot_be_imported_is_a_sentence(make_app: MakeApp, monkeypatch: pytest.MonkeyPatch, llmopt_home: Any) -> None:
    def broken(self: PaneEntry) -> None:
        raise ImportError("no module named [bold]nothing[/bold]\x1b[2J")

    monkeypatch.setattr(PaneEntry, "load", broken)
    async with make_app().run_test() as pilot:
        await settle(pilot)
        text = str(app_of(pilot).pane("hardware").render())
        assert text.startswith("Hardware could not be opened: unexpected error (ImportError: no module named [bold]nothing")
        assert "\x1b" not in text
    assert "Traceback" in (llmopt_home / "crash.log").read_text()


async def test_jump_mode_focuses_by_letter_and_opens_tabs_by_digit(make_app: MakeApp, loaded: list[str]) -> None:
    async with make_app().run_test() as pilot:
        await settle(pilot)
        pilot.app.query_one("#upper", Input).focus()
        await pilot.press("ctrl+o", "d")
        assert pilot.app.focused is pilot.app.query_one("#lower", Input)
        await pilot.press("ctrl+o", "2")
        await settle(pilot)
        assert app_of(pilot).open_tab == "quantize"


async def test_jump_mode_ends_with_any_other_key(make_app: MakeApp, loaded: list[str]) -> None:
    async with make_app().run_test() as pilot:
        await settle(pilot)
        await pilot.press("ctrl+o", "escape")
        assert len(pilot.app.screen_stack) == 1


async def test_moving_the_focus_sends_only_what_changed(make_app: MakeApp, loaded: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    sent: list[str] = []
    display = LlmoptApp._display

    def note(self: LlmoptApp, screen: Any, update: Any) -> None:
        sent.append(type(update).__name__)
        display(self, screen, update)

    async with make_app().run_test() as pilot:
        await settle(pilot)
        pilot.app.query_one("#upper", Input).focus()
        await wait_until(pilot, lambda: pilot.app.focused is pilot.app.query_one("#upper", Input))
        await pilot.pause(0.2)
        monkeypatch.setattr(LlmoptApp, "_display", note)
        await pilot.press("tab")
        await wait_until(pilot, lambda: bool(sent))
        await pilot.pause(0.2)
        assert pilot.app.focused is pilot.app.query_one("#lower", Input)
        assert set(sent) == {"ChopsUpdate"}


async def test_f1_explains_the_focused_place_and_lists_keys_with_their_ids(make_app: MakeApp, loaded: list[str]) -> None:
    async with make_app().run_test(size=(100, 50)) as pilot:
        await settle(pilot)
        await pilot.press("f1")
        text = "\n".join(str(static.render()) for static in pilot.app.screen.query(Static))
        assert "The first pane of the test." in text
        assert re.search(r"\bg  Go somewhere +first\.go$", text, re.MULTILINE)
        assert re.search(r"\^q  Quit; runs continue +app\.quit$", text, re.MULTILINE)
        await pilot.press("f1")
        assert len(pilot.app.screen_stack) == 1


async def test_the_palette_lists_what_keys_do_here_and_runs_it(make_app: MakeApp, loaded: list[str]) -> None:
    async with make_app().run_test() as pilot:
        await settle(pilot)
        await pilot.press("ctrl+p")
        await wait_until(pilot, lambda: isinstance(pilot.app.screen, CommandPalette) and pilot.app.screen.focused is not None)
        await pilot.press(*"Go")
        found = pilot.app.screen.query_one(OptionList)
        await wait_until(pilot, lambda: found.option_count > 0 and "Go (g)" in str(found.get_option_at_index(0).prompt))
        await pilot.press("enter")
        await wait_until(pilot, lambda: app_of(pilot).pane("hardware").gone == 1)


async def test_keys_can_be_renamed_by_binding_id(make_app: MakeApp, loaded: list[str], services: FakeServices) -> None:
    services.settings = Settings(keymap={"app.quantize": "f9", "first.go": "h"})
    async with make_app().run_test() as pilot:
        await settle(pilot)
        await pilot.press("h", "g")
        assert app_of(pilot).pane("hardware").gone == 1
        await pilot.press("f9")
        await settle(pilot)
        assert app_of(pilot).open_tab == "quantize"


async def test_a_key_for_a_binding_that_does_not_exist_is_a_note(make_app: MakeApp, loaded: list[str], services: FakeServices) -> None:
    services.settings = Settings(keymap={"app.hlep": "f2"})
    async with make_app().run_test() as pilot:
        await settle(pilot)
        assert ["app.hlep" in note.message for note in pilot.app._notifications] == [True]


async def test_an_unknown_theme_is_a_note_and_the_default(make_app: MakeApp, loaded: list[str], services: FakeServices) -> None:
    services.settings = Settings(theme="[red]nothing")
    async with make_app().run_test() as pilot:
        await settle(pilot)
        assert pilot.app.theme == "llmopt-dark"
        assert [note.message for note in pilot.app._notifications] == ["Unknown theme [red]nothing; the command palette lists them."]


async def test_a_run_that_begins_and_ends_elsewhere_is_noticed(make_app: MakeApp, loaded: list[str], services: FakeServices) -> None:
    write_run("20260101-110000-quantize-aaaa", status="done")
    async with make_app().run_test() as pilot:
        await settle(pilot)
        pane = app_of(pilot).pane("hardware")
        assert pane.heard == []
        folder = write_run("20260101-115000-quantize-bbbb", status="running", host="elsewhere", progress={"done": 2, "total": 8})
        await wait_until(pilot, lambda: app_of(pilot).activity == "● quantize 25%" and bool(pane.heard))
        assert [(type(event), event.run_id) for event in pane.heard] == [(RunStarted, folder.name)]
        (folder / "state.json").write_text('{"status": "failed", "created": 1, "exit_reason": "killed by SIGKILL"}')
        await wait_until(pilot, lambda: len(pane.heard) == 2)
        ended = pane.heard[1]
        assert isinstance(ended, RunEnded)
        assert (ended.status, ended.summary) == ("failed", "quantize of bundled:base failed: killed by SIGKILL")
        await wait_until(pilot, lambda: app_of(pilot).activity == "")


async def wait_until(pilot: Pilot[None], condition: Callable[[], bool], seconds: float = 60.0) -> None:
    for _ in range(int(seconds / 0.05)):
        if condition():
            return
        await pilot.pause(0.05)
    raise AssertionError("it did not happen")


def test_the_table_of_panes_is_consistent() -> None:
    assert len({pane.id for pane in PANES}) == len({pane.key for pane in PANES}) == len(PANES)
    assert all(":" in pane.module and pane.summary for pane in PANES)


@pytest.mark.parametrize("colors", ["truecolor", "256", "16"])
def test_the_shell_in_every_colour_depth(snap_compare: Any, make_app: MakeApp, loaded: list[str], colors: str) -> None:
    assert snap_compare(make_app(colors), terminal_size=(80, 24), run_before=settle)


def test_the_shell(snap_compare: Any, make_app: MakeApp, loaded: list[str], size: tuple[int, int]) -> None:
    assert snap_compare(make_app(), terminal_size=size, run_before=settle)


def test_the_help(snap_compare: Any, make_app: MakeApp, loaded: list[str], size: tuple[int, int]) -> None:
    async def open_help(pilot: Pilot[None]) -> None:
        await settle(pilot)
        await pilot.press("f1")

    assert snap_compare(make_app(), terminal_size=size, run_before=open_help)


def test_the_jump_letters(snap_compare: Any, make_app: MakeApp, loaded: list[str]) -> None:
    async def jump(pilot: Pilot[None]) -> None:
        await settle(pilot)
        await pilot.press("ctrl+o")

    assert snap_compare(make_app(), terminal_size=(80, 24), run_before=jump)
