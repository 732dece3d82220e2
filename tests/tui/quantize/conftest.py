"""The Quantize tab over two made-up models, on a machine with a stated amount of memory and disk."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from threading import Event
from types import SimpleNamespace
from typing import Any, TypeVar

import pytest
from textual.pilot import Pilot
from textual.widget import Widget
from textual.widgets import Static

from core.errors import RequestError
from core.models.card import ModelCard
from core.models.find.listing import ModelListing, ModelProblem
from core.models.source import ModelSource
from core.runs.launch.admission import Find
from core.runs.state.store import Run
from core.spec import Spec
from tests.tui.fakes import NOW, FakeServices
from tests.tui.quantize import made
from tests.tui.waiting import until
from tui.app import LlmoptApp
from tui.experiment.setup import SetupView
from tui.quantize.pane import QuantizePane
from tui.services.live_runs import LiveRuns
from tui.shell.confirm import Confirm
from tui.shell.panes import PaneEntry
from tui.widgets.chart.chart import Chart

CONFIG: dict[str, Any] = {
    "architectures": ["LlamaForCausalLM"],
    "model_type": "llama",
    "hidden_size": 256,
    "intermediate_size": 768,
    "num_hidden_layers": 10,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": 64,
    "vocab_size": 4096,
    "max_position_embeddings": 1024,
    "tie_word_embeddings": True,
    "torch_dtype": "bfloat16",
}


@dataclass(frozen=True)
class MadeUp:
    """A model of which only the card is real."""

    name: str
    path: Path = Path("/models/made-up")
    kind: str = "folder"
    origin: str = "local"

    def card(self) -> ModelCard:
        return ModelCard.from_config(CONFIG, name=self.name)


class FakeModels:
    """bundled:base and a folder; one broken folder; everything else does not exist."""

    def __init__(self) -> None:
        self.listings = 0
        self.names = ["bundled:base", "/models/story-llama"]

    def listing(self) -> ModelListing:
        self.listings += 1
        origins = {"bundled:base": "bundled"}
        sources = tuple(ModelSource(name, Path("/models"), "folder", origins.get(name, "local")) for name in self.names)  # type: ignore[arg-type]
        return ModelListing(sources, (ModelProblem("/models/half", "/models/half has no safetensors weights: fetch them"),))

    def resolve(self, name: str) -> Any:
        if name not in self.names:
            raise RequestError(f"no such path: {name}; give bundled:base, an existing folder or .gguf file, or a Hugging Face id")
        return MadeUp(name)


@pytest.fixture
def services() -> FakeServices:
    return FakeServices(models=FakeModels())


class RecordingRuns(LiveRuns):
    """Starts nothing: remembers what should have been started or cancelled."""

    def __init__(self, find: Find) -> None:
        super().__init__(find)
        self.started: list[Spec] = []
        self.cancelled: list[str] = []
        self.resumed: list[str] = []
        self.gate = Event()
        self.gate.set()

    def start(self, spec: Spec) -> Run:
        self.gate.wait(5)
        self.admit(spec)
        self.started.append(spec)
        return made.run_of(spec, f"20260101-115959-{spec.capability}-000{len(self.started)}", created=NOW - 1)

    def resume(self, run: Run) -> Any:
        self.resumed.append(run.id)
        run.save_state(run.state.model_copy(update={"status": "running", "started": NOW - 1, "ended": None, "exit_reason": None, "resumed": NOW - 2}))
        return run.state

    def cancel(self, run: Run) -> Any:
        self.cancelled.append(run.id)
        run.save_state(run.state.model_copy(update={"status": "cancelled", "ended": NOW, "exit_reason": "cancelled"}))
        return run.state


@pytest.fixture
def runs(services: FakeServices) -> RecordingRuns:
    services.runs = RecordingRuns(services.find)
    return services.runs


@pytest.fixture(autouse=True)
def stated_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    """6 GiB of memory and 80 GiB of disk are free; only the Quantize tab is real."""
    monkeypatch.setattr("psutil.virtual_memory", lambda: SimpleNamespace(available=6 * 2**30))
    monkeypatch.setattr("shutil.disk_usage", lambda _: SimpleNamespace(free=80 * 2**30))
    monkeypatch.setattr(PaneEntry, "load", lambda self: QuantizePane if self.id == "quantize" else Static)


__all__ = ["open_quantize", "settle", "until"]

P = TypeVar("P", bound=Widget)
Open = Callable[[Pilot[None]], Awaitable[QuantizePane]]


async def settle(pilot: Pilot[None]) -> None:
    """Until no worker works, every chart on the screen is drawn and nothing waits, three looks in a row; the watcher of runs never ends."""
    quiet = 0
    for _ in range(6000):
        quiet = quiet + 1 if _at_rest(pilot) else 0
        if quiet > 3:
            return
        await (pilot.pause() if quiet else asyncio.sleep(0.01))
    raise AssertionError("the screen does not come to rest")


def _at_rest(pilot: Pilot[None]) -> bool:
    app = pilot.app
    if any(not worker.is_finished and worker.group != "runs" for worker in app.workers):
        return False
    if any(view.waiting for screen in app.screen_stack for view in screen.walk_children(SetupView)):
        return False
    charts = [chart for chart in app.screen.walk_children(Chart) if chart.plot is not None and chart.is_on_screen and chart.size]
    return all(chart.plain and not chart.waiting for chart in charts)


async def opened(pilot: Pilot[None], tab: str, kind: type[P]) -> P:
    """Open a tab, which has a pane of this kind, and let it look around."""
    await settle(pilot)
    app = pilot.app
    assert isinstance(app, LlmoptApp)
    app.open_pane(tab)
    await settle(pilot)
    pane = app.pane(tab)
    assert isinstance(pane, kind)
    return pane


async def open_quantize(pilot: Pilot[None]) -> QuantizePane:
    """Open the tab and let it look around."""
    return await opened(pilot, "quantize", QuantizePane)


def text_of(pilot: Pilot[None], selector: Any) -> str:
    return str(pilot.app.query_one(selector).render())


async def answer(pilot: Pilot[None], key: str, letter: str) -> None:
    """Press a key that asks, wait for the question, answer it, wait until it is gone."""
    await pilot.press(key)
    await until(pilot, lambda: isinstance(pilot.app.screen, Confirm) and pilot.app.screen.focused is not None)
    await pilot.press(letter)
    await until(pilot, lambda: not isinstance(pilot.app.screen, Confirm))
