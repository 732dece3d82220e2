"""A run is asked to come to its end by a file in its folder, and only kinds that can are asked."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from core.errors import RequestError, RunFailed
from core.runs.launch.finish import finish, finish_asked, finishable
from core.runs.registry import CAPABILITIES


def asked(tmp_path: Path, status: str = "running", *, over: bool = False) -> tuple[Any, Any]:
    state = SimpleNamespace(status=status, is_over=over)
    run = SimpleNamespace(id="20260101-000000-distill-0000", capability="distill", path=tmp_path, finish_file=tmp_path / "finish")
    return run, SimpleNamespace(refresh=lambda _run: state)


def test_a_file_asks_once(tmp_path: Path) -> None:
    run, launcher = asked(tmp_path)
    state = finish(run, launcher)
    assert run.finish_file.exists()
    assert not finishable(run, state)
    with pytest.raises(RequestError, match="already"):
        finish(run, launcher)


def test_a_run_that_is_over_cannot_finish(tmp_path: Path) -> None:
    run, launcher = asked(tmp_path, "done", over=True)
    with pytest.raises(RequestError, match="already ended"):
        finish(run, launcher)
    assert not run.finish_file.exists()


def test_other_kinds_are_refused_with_those_that_can(tmp_path: Path) -> None:
    run, launcher = asked(tmp_path)
    run.capability = "quantize"
    with pytest.raises(RequestError, match="only those of distill"):
        finish(run, launcher)


def test_a_folder_that_may_not_be_written_is_said(tmp_path: Path) -> None:
    run, launcher = asked(tmp_path)
    run.finish_file = tmp_path / "gone" / "finish"
    with pytest.raises(RunFailed):
        finish(run, launcher)


def test_a_context_that_knows_of_none_is_never_asked() -> None:
    assert not finish_asked(SimpleNamespace())
    assert finish_asked(SimpleNamespace(finish_asked=lambda: True))


def test_what_can_finish_can_be_resumed_too() -> None:
    assert [key for key, entry in CAPABILITIES.items() if entry.finishable] == ["distill"]
    assert dataclasses.replace(CAPABILITIES["distill"]).resumable
