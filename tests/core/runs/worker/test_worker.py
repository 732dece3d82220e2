"""The life of a run: it ends well, or everyone who looks is told how it ended."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from core.errors import RequestError
from core.runs.launch.launch import LocalLauncher, refresh
from core.runs.state import store
from core.runs.state.events import Artifact, Metric, Progress, StateChange
from core.runs.state.process import alive, started
from core.runs.state.state import State
from core.runs.state.store import Run
from tests.core.runs import tick
from tests.core.runs.tick import TickSpec

ROOT = Path(__file__).parents[4]


@pytest.fixture
def begin(launcher: LocalLauncher) -> Callable[..., Run]:
    def start(**values: object) -> Run:
        run = store.create(TickSpec.model_validate({"model": "x", "device": "cpu"} | values))
        launcher.start(run)
        return run

    return start


def wait(run: Run, condition: Callable[[State], bool] = lambda state: state.is_over, within: float = 60.0) -> State:
    deadline = time.monotonic() + within
    while not condition(state := refresh(run)):
        assert time.monotonic() < deadline, state
        time.sleep(0.01)
    return state


def ticking(run: Run) -> State:
    return wait(run, lambda state: any(isinstance(event, Progress) for event in run.events))


def left_over(run: Run) -> list[str]:
    return sorted(entry.name for entry in run.artifacts.iterdir())


def test_a_run_that_ends_well_leaves_its_result_and_its_course(begin: Callable[..., Run]) -> None:
    run = begin(ticks=3, seed=42)
    state = wait(run)
    assert (state.status, state.exit_code, state.exit_reason) == ("done", 0, None)
    assert state.progress is not None
    assert state.progress.fraction == 1.0
    result = run.result
    assert result is not None
    assert list(result)[:2] == ["schema", "llmopt_version"]
    assert result["metrics"] == {"ticks": 3, "nothing": None, "seed": 42}
    assert result["artifacts"] == [{"path": str(run.artifacts / "ticks.txt"), "kind": "text"}]
    assert left_over(run) == ["ticks.txt"]
    kinds = [type(event) for event in run.events]
    assert kinds[0] == kinds[-1] == StateChange
    assert kinds.count(Metric) == 3
    assert kinds.count(Artifact) == 1
    assert run.log() == "ticking\n"
    assert not (run.path / ".ballast").exists()


def test_a_failure_is_told_in_its_own_sentence(begin: Callable[..., Run]) -> None:
    run = begin(end="sentence")
    state = wait(run)
    assert (state.status, state.exit_code, state.exit_reason) == ("failed", 1, "the clock stopped: wind it up")
    assert run.result is None


def test_a_crash_is_one_safe_sentence_and_a_traceback_in_the_log(begin: Callable[..., Run]) -> None:
    run = begin(end="crash")
    state = wait(run)
    assert state.exit_reason is not None
    assert state.exit_reason.startswith("ZeroDivisionError: a ")
    assert "\x1b" not in state.exit_reason
    assert "Traceback" in run.log()


def test_a_full_disk_is_one_sentence(begin: Callable[..., Run]) -> None:
    state = wait(begin(end="full"))
    assert state.exit_code == 1
    assert state.exit_reason == "no space left on the disk of /full/weights.safetensors: free some space and run again"


def test_a_device_that_is_not_there_is_a_wrong_request(begin: Callable[..., Run]) -> None:
    state = wait(begin(device="cuda:63"), within=60)
    assert (state.status, state.exit_code) == ("failed", 2)
    assert "cuda:63" in (state.exit_reason or "")


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGABRT, signal.SIGBUS])
def test_a_killed_worker_is_named_with_its_signal_within_two_seconds(begin: Callable[..., Run], number: signal.Signals) -> None:
    run = begin(ticks=5000, pause=0.02)
    state = ticking(run)
    assert state.pid is not None
    assert left_over(run) == [f"ticks.txt.partial-{state.pid}"]
    os.kill(state.pid, number)
    before = time.monotonic()
    state = wait(run)
    assert time.monotonic() - before < 2
    assert (state.status, state.exit_code) == ("failed", 1)
    assert number.name in (state.exit_reason or "")
    assert left_over(run) == []


def test_a_segmentation_fault_is_named(begin: Callable[..., Run]) -> None:
    assert "SIGSEGV" in (wait(begin(end="segfault")).exit_reason or "")


def test_a_worker_that_left_without_a_word_is_not_taken_for_done(begin: Callable[..., Run]) -> None:
    state = wait(begin(end="silent"))
    assert state.status == "failed"
    assert "exit code 7" in (state.exit_reason or "")


def test_a_worker_killed_together_with_its_supervisor_is_found_dead(begin: Callable[..., Run]) -> None:
    run = begin(ticks=5000, pause=0.02)
    state = ticking(run)
    assert state.pid is not None
    assert state.supervisor is not None
    os.kill(state.supervisor, signal.SIGKILL)
    os.kill(state.pid, signal.SIGKILL)
    before = time.monotonic()
    state = wait(run)
    assert time.monotonic() - before < 2
    assert state.status == "failed"
    assert "killed" in (state.exit_reason or "")
    assert left_over(run) == []


def test_a_worker_goes_on_without_its_supervisor(begin: Callable[..., Run]) -> None:
    run = begin(ticks=20, pause=0.02)
    state = ticking(run)
    assert state.supervisor is not None
    os.kill(state.supervisor, signal.SIGKILL)
    assert wait(run).status == "done"


def test_cancelling_stops_at_the_next_step(begin: Callable[..., Run], launcher: LocalLauncher) -> None:
    run = begin(ticks=5000, pause=0.02)
    ticking(run)
    state = launcher.cancel(run)
    assert (state.status, state.exit_code, state.exit_reason) == ("cancelled", 130, "cancelled")
    assert left_over(run) == []
    assert run.result is None


def test_a_run_that_does_not_listen_is_killed_after_the_grace(begin: Callable[..., Run], launcher: LocalLauncher) -> None:
    run = begin(ticks=50, pause=5, end="deaf")
    ticking(run)
    before = time.monotonic()
    state = launcher.cancel(run, grace=0.3)
    assert time.monotonic() - before < 3
    assert (state.status, state.exit_code) == ("cancelled", 130)
    assert not alive(state.pid, state.pid_started)


def test_the_supervisor_follows_up_when_the_one_who_cancelled_is_gone(begin: Callable[..., Run], monkeypatch: pytest.MonkeyPatch) -> None:
    run = begin(ticks=50, pause=60, end="deaf")
    state = ticking(run)
    assert state.supervisor is not None
    os.kill(state.supervisor, signal.SIGTERM)
    state = wait(run)
    assert (state.status, state.exit_code) == ("cancelled", 130)


@pytest.mark.parametrize("end", ["library", "bare", "native"])
def test_a_request_to_stop_that_other_code_takes_for_its_own_error_is_still_a_cancel(begin: Callable[..., Run], end: str) -> None:
    run = begin(ticks=20, pause=30, end=end)
    state = ticking(run)
    assert state.pid is not None
    for _ in range(2):
        os.kill(state.pid, signal.SIGTERM)
        time.sleep(0.05)
    state = wait(run)
    assert (state.status, state.exit_code, state.exit_reason) == ("cancelled", 130, "cancelled")


def test_a_run_that_did_not_look_is_cancelled_and_keeps_its_result(begin: Callable[..., Run]) -> None:
    run = begin(ticks=5, pause=0.1, end="unaware")
    state = ticking(run)
    assert state.pid is not None
    os.kill(state.pid, signal.SIGTERM)
    state = wait(run)
    assert (state.status, state.exit_code) == ("cancelled", 130)
    assert run.result is not None


def test_requests_to_stop_in_a_row_end_as_one(begin: Callable[..., Run]) -> None:
    run = begin(ticks=5000, pause=0.02)
    state = ticking(run)
    assert state.supervisor is not None
    while not run.state.is_over:
        time.sleep(0.005)
        for pid, since in ((state.supervisor, state.supervisor_started), (state.pid, state.pid_started)):
            if pid is not None and alive(pid, since):
                os.kill(pid, signal.SIGTERM)
    assert (run.state.status, run.state.exit_code) == ("cancelled", 130)


def test_what_is_over_cannot_be_cancelled(begin: Callable[..., Run], launcher: LocalLauncher) -> None:
    run = begin()
    wait(run)
    with pytest.raises(RequestError, match="already ended"):
        launcher.cancel(run)


def test_a_stranger_under_the_same_pid_is_neither_watched_nor_killed(launcher: LocalLauncher) -> None:
    stranger = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"], start_new_session=True)
    try:
        run = store.create(TickSpec(model="x", device="cpu"))
        since = started(stranger.pid)
        assert since is not None
        claimed = {"status": "running", "pid": stranger.pid, "pid_started": since - 5, "supervisor": stranger.pid, "supervisor_started": since - 5}
        run.save_state(run.state.model_copy(update=claimed))
        with pytest.raises(RequestError, match="already ended"):
            launcher.cancel(run)
        assert run.state.status == "failed"
        assert stranger.poll() is None
    finally:
        stranger.kill()
        stranger.wait()


def test_a_run_on_another_machine_is_left_alone(launcher: LocalLauncher) -> None:
    run = store.create(TickSpec(model="x", device="cpu"))
    run.save_state(run.state.model_copy(update={"status": "running", "pid": 1, "pid_started": 1.0, "host": "gpu-7", "boot": "b", "namespace": "n"}))
    assert launcher.refresh(run).status == "running"
    with pytest.raises(RequestError, match="gpu-7"):
        launcher.cancel(run)


def test_a_restart_of_the_machine_is_named(launcher: LocalLauncher) -> None:
    run = store.create(TickSpec(model="x", device="cpu"))
    run.save_state(run.state.model_copy(update={"status": "running", "pid": 1, "pid_started": 1.0, "boot": "before"}))
    assert "restarted" in (launcher.refresh(run).exit_reason or "")


def test_a_run_that_nobody_started_does_not_wait_for_ever(launcher: LocalLauncher) -> None:
    run = store.create(TickSpec(model="x", device="cpu"))
    assert launcher.refresh(run).status == "queued"
    run.save_state(run.state.model_copy(update={"created": time.time() - 3600}))
    assert "never started" in (launcher.refresh(run).exit_reason or "")


def test_a_worker_that_cannot_start_is_told_at_once() -> None:
    run = store.create(TickSpec(model="x", device="cpu"))
    state = LocalLauncher((sys.executable, "-c", "raise SystemExit(3)")).start(run)
    assert state.status == "failed"
    assert "did not start" in (state.exit_reason or "")


def test_kill_nine_of_the_program_that_started_it_leaves_the_run_going(llmopt_home: Path) -> None:
    program = "\n".join(
        [
            "from core.runs import registry",
            "from core.runs.state import store",
            "from tests.core.runs import tick",
            "registry.CAPABILITIES['tick'] = tick.CAPABILITY",
            "run = store.create(tick.TickSpec(model='x', device='cpu', ticks=40, pause=0.02))",
            "tick.launcher().start(run)",
            "print(run.id, flush=True)",
            "import time; time.sleep(60)",
        ]
    )
    front = subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True, cwd=ROOT)
    assert front.stdout is not None
    run = store.find(front.stdout.readline().strip())
    front.kill()
    front.wait()
    assert run.state.status == "running"
    assert wait(run).status == "done"
    assert run.result is not None


@pytest.mark.parametrize("killed", [("pid",), ("supervisor", "pid")], ids=" and ".join)
def test_a_workers_program_ends_with_it(killed: tuple[str, ...], begin: Callable[..., Run]) -> None:
    run = begin(ticks=5000, pause=0.02, child=True)
    state = ticking(run)
    child = int(wait_for_line(run).split()[-1])
    since = started(child)
    assert since is not None
    for name in killed:
        os.kill(getattr(state, name), signal.SIGKILL)
    assert wait(run).status == "failed"
    deadline = time.monotonic() + 5
    while alive(child, since):
        assert time.monotonic() < deadline
        time.sleep(0.01)


@pytest.mark.parametrize(("later", "ends"), [(-1.0, True), (5.0, False)])
def test_a_group_without_its_leader_ends_unless_it_is_older_than_the_worker(launcher: LocalLauncher, later: float, ends: bool) -> None:
    shell = subprocess.Popen(["sh", "-c", "sleep 60 & echo $!"], stdout=subprocess.PIPE, start_new_session=True)
    assert shell.stdout is not None
    child = int(shell.stdout.readline())
    shell.wait()
    since = started(child)
    assert since is not None
    try:
        run = store.create(TickSpec(model="x", device="cpu"))
        claimed = {"status": "running", "pid": shell.pid, "pid_started": since + later, "supervisor": shell.pid, "supervisor_started": since + later}
        run.save_state(run.state.model_copy(update=claimed))
        assert launcher.refresh(run).status == "failed"
        deadline = time.monotonic() + 2
        while alive(child, since) and time.monotonic() < deadline * ends:
            time.sleep(0.01)
        assert alive(child, since) != ends
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.kill(child, signal.SIGKILL)
        shell.stdout.close()


def wait_for_line(run: Run) -> str:
    deadline = time.monotonic() + 60
    while "child " not in (log := run.log()):
        assert time.monotonic() < deadline
        time.sleep(0.01)
    return next(line for line in log.splitlines() if line.startswith("child "))


def test_the_folder_in_which_it_was_asked_cannot_shadow_the_program(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, begin: Callable[..., Run]
) -> None:
    (tmp_path / "core.py").write_text("raise SystemExit('shadowed')")
    (tmp_path / "json.py").write_text("raise SystemExit('shadowed')")
    monkeypatch.chdir(tmp_path)
    assert wait(begin()).status == "done"


def test_the_worker_process_of_a_registered_capability_is_the_documented_one() -> None:
    assert LocalLauncher()._command[-2:] == ("-m", "core.runs.worker")
    assert tick.launcher()._command[0] == sys.executable
