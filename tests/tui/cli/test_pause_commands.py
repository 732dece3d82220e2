"""`llmopt runs pause`: a load is paused and resumed; one that is cancelled has a result that can be shown and exported."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from core.runs.launch.launch import LocalLauncher
from core.runs.state import store
from core.runs.state.store import Run
from tests.tui.cli.conftest import Llmopt
from tui.cli import experiment


@pytest.fixture
def url() -> Iterator[str]:
    server = subprocess.Popen([sys.executable, "-m", "core.benchmark.calibrate.server", "0", "40", "200"], stdout=subprocess.PIPE)
    assert server.stdout is not None
    yield f"http://127.0.0.1:{int(server.stdout.readline())}"
    server.kill()
    server.wait()


def until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def answered(run: Run) -> int:
    progress = run.state.progress
    return 0 if progress is None else progress.done


def test_a_load_waits_goes_on_and_keeps_what_it_has_when_it_is_cancelled(
    llmopt: Llmopt, url: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(experiment, "launcher", LocalLauncher)
    options = ("--requests", "2000", "--concurrency", "4", "--output-tokens", "20", "--input-tokens", "16", "--warmup", "0")
    started = llmopt("benchmark", url, *options, "--detach")
    assert started.code == 0, started.err
    run = store.find(started.out.strip())
    until(lambda: answered(run) > 0)
    assert llmopt("runs", "pause", run.id).out == f"{run.id} is paused: `llmopt runs resume {run.id}` resumes it\n"
    assert "already paused" in llmopt("runs", "pause", run.id).err
    until(lambda: any("paused after" in getattr(event, "text", "") for event in run.events))
    assert json.loads(llmopt("runs", "show", run.id, "--json").out)["paused"] is True
    assert "paused" in llmopt("runs", "list").out
    assert llmopt("runs", "resume", run.id).out == f"{run.id} resumed\n"
    until(lambda: any("resumed after" in getattr(event, "text", "") for event in run.events))
    before = answered(run)
    until(lambda: answered(run) > before)
    assert llmopt("runs", "cancel", run.id).out == f"{run.id} cancelled\n"

    shown = json.loads(llmopt("runs", "show", run.id, "--json").out)
    assert (shown["status"], shown["paused"], shown["exit_code"]) == ("cancelled", False, 130)
    (entry,) = shown["result"]["entries"]
    counts = entry["requests"]
    assert counts["done"] + counts["failed"] + counts["timed_out"] + counts["unsent"] == counts["scheduled"] == 2000
    assert counts["done"] > before
    assert len(entry["levels"][0]["pauses"]) == 1
    followed = llmopt("runs", "follow", run.id)
    assert followed.code == 130
    assert "tokens per second" in followed.out
    assert "stopped by the user" in followed.err
    for form in ("json", "csv", "samples", "md", "html"):
        file = tmp_path / f"report.{form}"
        assert llmopt("runs", "export", run.id, "--to", form, "--out", str(file)).code == 0
        assert file.stat().st_size > 500
        assert form in ("csv", "samples") or "stopped by the user" in file.read_text()


def test_what_cannot_wait_is_refused(llmopt: Llmopt, model_dir: Path) -> None:
    run = store.find(llmopt("tick", str(model_dir), "--device", "cpu", "--ticks", "2", "--detach").out.strip())
    answer = llmopt("runs", "pause", run.id)
    assert answer.code == 2
    assert "cannot be paused" in answer.err or "already ended" in answer.err
    until(lambda: run.state.is_over)
    assert "already ended (done)" in llmopt("runs", "pause", run.id).err
