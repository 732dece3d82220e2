"""What every screen test shares: snapshots where they belong, a frozen world, sizes, fakes."""

from __future__ import annotations

import os
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import pytest_textual_snapshot
import textual.app
import textual.pilot
from syrupy.location import PyTestLocation
from textual.css.stylesheet import Stylesheet

from tests.tui.fakes import NOW, FakeServices
from tests.tui.svg_text import difference
from tests.tui.waiting import wait_for_idle, wait_for_messages
from tui.app import LlmoptApp
from tui.terminal.ssh import Terminal

SNAPSHOTS = Path(__file__).parents[2] / "snapshots"
SIZES = ((80, 24), (120, 36), (60, 20))


class SvgInSnapshots(pytest_textual_snapshot.SVGImageExtension):  # type: ignore[misc]
    """Keep the screens of `test_x.py` in `snapshots/test_x/`, where the README finds them."""

    _file_extension = "svg"
    file_extension = "svg"

    def matches(self, *, serialized_data: Any, snapshot_data: Any) -> bool:
        """Compare, and print what differs in words, where no browser shows the report."""
        same = bool(super().matches(serialized_data=serialized_data, snapshot_data=snapshot_data))
        if not same:
            print(difference(str(snapshot_data), str(serialized_data)))
        return same

    @classmethod
    def dirname(cls, *, test_location: PyTestLocation) -> str:
        return str(SNAPSHOTS / Path(test_location.filepath).stem)


pytest_textual_snapshot.SVGImageExtension = SvgInSnapshots


class Parsed(dict[Any, Any]):
    """Style sheets as they were parsed for one set of variables: the same for every app of a session."""

    def clear(self) -> None:
        """Other variables have a collection of their own."""


_PARSED: defaultdict[frozenset[tuple[str, str]], Parsed] = defaultdict(Parsed)
Stylesheet._parse_cache = property(lambda self: _PARSED[frozenset(self._variables.items())], lambda self, _: None)  # type: ignore[assignment]
textual.pilot.Pilot._wait_for_screen = wait_for_messages  # type: ignore[assignment,method-assign]
textual.app.wait_for_idle = textual.pilot.wait_for_idle = wait_for_idle  # type: ignore[attr-defined]


@pytest.fixture(params=SIZES, ids=lambda size: f"{size[0]}x{size[1]}")
def size(request: pytest.FixtureRequest) -> tuple[int, int]:
    """Every size that a screen must look right at."""
    chosen: tuple[int, int] = request.param
    return chosen


@pytest.fixture(autouse=True)
def frozen_world(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """No animation, no blinking, one host, one time zone."""
    from textual import constants
    from textual.widgets import Input, TextArea

    monkeypatch.setattr(constants, "TEXTUAL_ANIMATIONS", "none")
    monkeypatch.setattr(Input, "_toggle_cursor", lambda _: None)
    monkeypatch.setattr(TextArea, "_toggle_cursor_blink_visible", lambda _: None)
    monkeypatch.setattr("platform.node", lambda: "workstation")
    for name in ("NO_COLOR", "COLORTERM", "SSH_CONNECTION", "SSH_TTY", "TMUX"):
        monkeypatch.delenv(name, raising=False)
    before = os.environ.get("TZ")
    os.environ["TZ"] = "UTC"
    time.tzset()
    yield
    os.environ.pop("TZ", None) if before is None else os.environ.update(TZ=before)
    time.tzset()


@pytest.fixture
def now() -> float:
    """The time that the fakes tell."""
    return NOW


@pytest.fixture
def services() -> FakeServices:
    """Runs of the test's own home, no models, no readings; replace what the test is about."""
    return FakeServices()


@pytest.fixture
def make_app(services: FakeServices) -> Callable[..., LlmoptApp]:
    """Make the workstation over fakes; `colors` as in `tui.terminal.ssh`."""

    def make(colors: str = "truecolor") -> LlmoptApp:
        return LlmoptApp(services, Terminal(remote=False, multiplexer=None, colors=colors, fps=60, animations="none"))  # type: ignore[arg-type]

    return make
