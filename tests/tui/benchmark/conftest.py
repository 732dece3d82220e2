"""The Benchmark tab over two made-up models, with engines whose versions are stated."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

import pytest
from textual.pilot import Pilot
from textual.widgets import Static

from core import engine_paths
from core.runs.launch.admission import Admission
from core.spec import Spec
from tests.tui.benchmark import made
from tests.tui.fakes import FakeServices
from tests.tui.kvcache.conftest import shown
from tests.tui.quantize.conftest import FakeModels, opened, settle, until
from tests.tui.recording import RecordingRuns
from tui.app import LlmoptApp
from tui.benchmark.pane import BenchmarkPane
from tui.experiment.fit import Fit, judge
from tui.shell.panes import PaneEntry

__all__ = ["MakeApp", "RecordingRuns", "judged", "open_tab", "settle", "shown", "until"]

S = TypeVar("S", bound=Spec)
MakeApp = Callable[..., LlmoptApp]
PYTHON = "/opt/llmopt/bin/python"
VERSIONS = {"transformers": "5.23.0", "llama_cpp_python": "0.3.36"}


@pytest.fixture
def services() -> FakeServices:
    return FakeServices(models=FakeModels())


@pytest.fixture(autouse=True)
def stated_engines(monkeypatch: pytest.MonkeyPatch) -> None:
    """This program's own engines are installed and no others; only the Benchmark tab is real."""
    for name in ("OPENAI_API_KEY", "LLMOPT_ENGINE_VLLM"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(engine_paths, "python", lambda _engine: PYTHON)
    monkeypatch.setattr(engine_paths, "program", lambda *_: None)
    monkeypatch.setattr("engines.common.probing.package_version", lambda _python, package: VERSIONS.get(package.replace("-", "_"), ""))
    monkeypatch.setattr(PaneEntry, "load", lambda self: BenchmarkPane if self.id == "benchmark" else Static)


@pytest.fixture
def runs(services: FakeServices) -> RecordingRuns:
    services.runs = RecordingRuns(services.find, made.going)
    return services.runs


def judged(spec: S, foresee: Callable[[S, Admission], Fit]) -> Fit:
    """What the fit panel shows of a request."""
    return judge(FakeServices(models=FakeModels()).runs, spec, foresee)


async def open_tab(pilot: Pilot[None], view: str = "") -> BenchmarkPane:
    """Open the tab, let it look around, and go to a view."""
    pane = await opened(pilot, "benchmark", BenchmarkPane)
    if view:
        pane.show_view(view)
        await settle(pilot)
    return pane
