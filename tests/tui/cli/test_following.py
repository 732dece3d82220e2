"""A run seen through from the command line, on a terminal and without one."""

from __future__ import annotations

import io
import os
import pty
import re
import signal
import time
from pathlib import Path

import pytest

from core.runs.launch.launch import refresh
from core.runs.state import store
from core.runs.state.events import Log, Metric, Progress
from tests.tui.cli.conftest import Llmopt, process, until
from tui.cli.follow import ProgressLine
from tui.cli.printing.output import columns, cut


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def progress(done: int, label: str = "layer") -> Progress:
    return Progress(float(done), done, 100, f"{label} {done}")


def test_without_a_terminal_progress_is_at_most_eleven_plain_lines() -> None:
    stream = io.StringIO()
    line = ProgressLine(stream)
    for done in range(101):
        line.show([progress(done), Metric(1.0, "layer_error", 0.5, done, "")])
    lines = stream.getvalue().splitlines()
    assert len(lines) == 11
    assert lines[0].startswith("  0 %")
    assert lines[5] == " 50 %  50 s left  layer 50"
    assert not set("\x1b\r") & set(stream.getvalue())


def test_on_a_terminal_progress_is_one_line_that_never_wraps(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "40")
    stream = Terminal()
    line = ProgressLine(stream)
    line.show([progress(50, "层" * 30), Metric(1.0, "layer_error", 0.5, 0, "")])
    line.clear()
    drawn = re.split(r"\r\x1b\[K", stream.getvalue())
    assert drawn[-1] == ""
    assert all(columns(part) < 40 for part in drawn)
    assert "\n" not in stream.getvalue()


@pytest.mark.parametrize(
    ("text", "width", "expected"), [("abc", 3, "abc"), ("abcd", 3, "ab…"), ("层层层", 5, "层层…"), ("e\u0301e\u0301e", 2, "e\u0301…"), ("ab", 0, "…")]
)
def test_a_text_is_cut_to_its_cells(text: str, width: int, expected: str) -> None:
    assert cut(text, width) == expected


def test_a_long_text_is_cut_in_no_time() -> None:
    before = time.process_time()
    assert columns(cut("word " * 200_000, 60)) == 60
    assert time.process_time() - before < 2


def test_words_of_the_run_stand_above_the_progress_line() -> None:
    stream = Terminal()
    line = ProgressLine(stream)
    line.show([progress(1)])
    line.show([Log(1.0, "damping was raised")])
    assert "damping was raised\n" in stream.getvalue()


def test_the_result_goes_to_stdout_and_everything_else_to_stderr(llmopt: Llmopt, model_dir: Path) -> None:
    answer = llmopt("tick", str(model_dir), "--device", "cpu", "--ticks", "3")
    assert answer.code == 0
    assert re.search(r"^ticks +3$", answer.out, re.MULTILINE)
    assert "%" not in answer.out
    assert "100 %" in answer.err
    assert store.find("last").id in answer.err
    assert "\x1b" not in answer.err


def test_with_json_the_result_is_the_document(llmopt: Llmopt, model_dir: Path) -> None:
    answer = llmopt("tick", str(model_dir), "--device", "cpu", "--seed", "9", "--json")
    run = store.find("last")
    assert answer.document == run.result
    assert answer.document["schema"] == "llmopt.tick/1"


def test_detached_only_the_id_is_printed_and_the_run_goes_on(llmopt: Llmopt, model_dir: Path) -> None:
    answer = llmopt("tick", str(model_dir), "--device", "cpu", "--ticks", "40", "--pause", "0.02", "--detach")
    run = store.find(answer.out.strip())
    assert (answer.code, answer.out) == (0, f"{run.id}\n")
    assert run.state.status == "running"
    assert llmopt("runs", "follow", run.id).code == 0
    assert run.state.status == "done"
    detached = llmopt("tick", str(model_dir), "--device", "cpu", "--detach", "--json")
    assert detached.document["run"] == store.find("last").id


def test_ctrl_c_cancels_the_run_and_says_so(model_dir: Path) -> None:
    front = process("tick", str(model_dir), "--device", "cpu", "--ticks", "5000", "--pause", "0.02")
    until(lambda: store.list_runs() and store.list_runs()[0].state.progress)
    front.send_signal(signal.SIGINT)
    out, err = front.communicate(timeout=60)
    assert front.returncode == 130
    assert out == ""
    run = store.find("last")
    assert f"cancelling run {run.id}" in err
    assert run.state.status == "cancelled"


def test_ctrl_c_while_following_leaves_the_run_going(llmopt: Llmopt, model_dir: Path) -> None:
    run = store.find(llmopt("tick", str(model_dir), "--device", "cpu", "--ticks", "5000", "--pause", "0.02", "--detach").out.strip())
    front = process("runs", "follow", run.id)
    assert front.stderr is not None
    front.stderr.readline()
    front.send_signal(signal.SIGINT)
    _, err = front.communicate(timeout=60)
    assert front.returncode == 130
    assert "continues" in err
    assert refresh(run).status == "running"
    assert llmopt("runs", "cancel", run.id).out == f"{run.id} cancelled\n"


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGHUP])
def test_a_run_outlives_the_command_line(model_dir: Path, number: signal.Signals) -> None:
    front = process("tick", str(model_dir), "--device", "cpu", "--ticks", "120", "--pause", "0.02")
    until(lambda: store.list_runs() and store.list_runs()[0].state.progress)
    front.send_signal(number)
    front.communicate(timeout=60)
    run = store.find("last")
    assert run.state.status == "running"
    until(lambda: refresh(run).is_over)
    assert run.state.status == "done"


@pytest.mark.slow
def test_a_run_outlives_its_terminal(model_dir: Path) -> None:
    terminal, line = pty.openpty()
    front = process("tick", str(model_dir), "--device", "cpu", "--ticks", "30", "--pause", "0.02", stdin=line, stdout=line, stderr=line, text=False)
    os.close(line)
    until(lambda: store.list_runs() and store.list_runs()[0].state.progress)
    os.close(terminal)
    front.kill()
    front.wait()
    run = store.find("last")
    until(lambda: refresh(run).is_over)
    assert run.state.status == "done"


def test_a_killed_worker_is_shown_as_killed_within_two_seconds(llmopt: Llmopt, model_dir: Path) -> None:
    run = store.find(llmopt("tick", str(model_dir), "--device", "cpu", "--ticks", "5000", "--pause", "0.02", "--detach").out.strip())
    assert run.state.pid is not None
    os.kill(run.state.pid, signal.SIGKILL)
    before = time.monotonic()
    until(lambda: "failed" in (answer := llmopt("runs", "show", run.id)).out and "SIGKILL" in answer.out, within=2)
    assert time.monotonic() - before < 2
    assert llmopt("runs", "follow", run.id).code == 1


@pytest.mark.parametrize("seconds", [0.1, 0.25, 0.35, 0.6])
def test_ctrl_c_at_any_moment_of_the_start_leaves_no_run_going(seconds: float, model_dir: Path) -> None:
    front = process("tick", str(model_dir), "--device", "cpu", "--ticks", "5000", "--pause", "0.02")
    time.sleep(seconds)
    front.send_signal(signal.SIGINT)
    _, err = front.communicate(timeout=60)
    assert [run.state.status for run in store.list_runs()] in ([], ["cancelled"])
    if store.list_runs():
        assert (front.returncode, f"cancelling run {store.find('last').id}" in err) == (130, True)
