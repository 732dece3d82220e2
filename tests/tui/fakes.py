"""Stand-ins for `tui.services.services`: a clock that does not move, runs written by hand, nothing that touches the machine."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

from core.runs.state.home import runs_folder
from tui.config import Settings
from tui.services.live_runs import LiveRuns

NOW = 1_767_268_800.0
"""2026-01-01 12:00:00 UTC."""


class NoSampler:
    """A machine of which nothing is known yet."""

    latest = None
    problem = None
    history: ClassVar[dict[str, Any]] = {}

    def start(self) -> None: ...

    def stop(self) -> None: ...


class NoModels:
    """A machine without models."""

    def listing(self) -> Any:
        raise AssertionError("this test has no models: give services.models")

    def resolve(self, name: str) -> Any:
        raise AssertionError(f"this test has no model {name}: give services.models")


@dataclass
class FakeServices:
    """`tui.services.services.Services`; every part can be replaced."""

    settings: Settings = field(default_factory=Settings)
    read_only: bool = False
    sampler: Any = field(default_factory=NoSampler)
    runs: Any = None
    models: Any = field(default_factory=NoModels)
    clock: Callable[[], float] = lambda: NOW

    def __post_init__(self) -> None:
        self.runs = self.runs or LiveRuns(self.find)

    def find(self, name: str) -> Any:
        """A model as admission looks it up."""
        return self.models.resolve(name)


def write_run(
    run_id: str,
    *,
    status: str = "done",
    spec: dict[str, Any] | None = None,
    result: dict[str, Any] | None = None,
    events: tuple[dict[str, Any], ...] = (),
    **state: Any,
) -> Path:
    """A run's folder in the test's home, as the worker leaves it."""
    capability = run_id.split("-", 2)[2].rsplit("-", 1)[0]
    folder = runs_folder() / run_id
    (folder / "artifacts").mkdir(parents=True)
    asked = {"model": "bundled:base", **(spec or {})}
    (folder / "spec.json").write_text(json.dumps({"capability": capability, "spec": asked}))
    times = {"created": NOW - 120, "started": NOW - 118, "ended": None if status in {"queued", "running"} else NOW - 60}
    (folder / "state.json").write_text(json.dumps({"status": status, **times, **state}))
    (folder / "events.jsonl").write_text("".join(json.dumps({"t": NOW - 100, **event}) + "\n" for event in events))
    (folder / "log.txt").touch()
    if result is not None:
        (folder / "result.json").write_text(json.dumps(result))
    return folder
