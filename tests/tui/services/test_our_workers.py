"""The workers of our runs are known to the sampler, and a run that is over is not read again."""

from __future__ import annotations

import os

import pytest

from core.evaluate.spec import EvaluateSpec
from core.runs.state import store
from core.runs.state.store import Run
from tui.services.ours import OurWorkers


def test_only_running_workers_are_ours_and_what_is_over_is_read_once(monkeypatch: pytest.MonkeyPatch) -> None:
    runs = [store.create(EvaluateSpec(model="bundled:base")) for _ in range(3)]
    for run, status in zip(runs, ("running", "done", "queued"), strict=True):
        run.save_state(run.state.model_copy(update={"status": status, "pid": os.getpid()}))
    workers = OurWorkers()
    assert workers() == {os.getpid(): runs[0].id}
    read: list[str] = []
    whole = Run.state.fget  # type: ignore[attr-defined]
    assert whole is not None
    monkeypatch.setattr(Run, "state", property(lambda run: (read.append(run.id), whole(run))[1]))
    workers()
    assert sorted(read) == sorted([runs[0].id, runs[2].id])
