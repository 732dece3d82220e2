"""Processes: looked up once, ours marked, and only the one that was meant is ended."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from core.errors import RequestError, RunFailed
from core.hardware.live import book, processes
from core.hardware.live.book import ProcessBook
from core.hardware.live.gpu import RawProcess
from core.hardware.live.processes import in_container, is_foreign, kill

Child = subprocess.Popen[bytes]


@pytest.fixture
def child() -> Iterator[Child]:
    with subprocess.Popen(["sleep", "60"], start_new_session=True) as process:
        # Between fork and exec it is another program, and for a moment none.
        while psutil.Process(process.pid).cmdline() != ["sleep", "60"]:
            time.sleep(0.001)
        yield process
        process.kill()


def started(process: Child) -> float:
    return float(psutil.Process(process.pid).create_time())


def test_the_process_that_was_meant_ends(child: Child) -> None:
    kill(child.pid, started(child))
    assert child.wait(60) == -signal.SIGTERM


def test_another_signal_can_be_sent(child: Child) -> None:
    kill(child.pid, started(child), signal.SIGKILL)
    assert child.wait(60) == -signal.SIGKILL


def test_a_later_process_with_the_same_number_is_spared(child: Child) -> None:
    with pytest.raises(RequestError, match="its pid now belongs to another process"):
        kill(child.pid, started(child) - 5.0)
    assert child.poll() is None


def test_a_process_that_is_gone_is_a_sentence(child: Child) -> None:
    began = started(child)
    child.kill()
    child.wait(60)
    with pytest.raises(RequestError, match="has already ended"):
        kill(child.pid, began)


@pytest.mark.parametrize("pid", [-1, 0, 1])
def test_no_group_and_no_init(pid: int) -> None:
    with pytest.raises(RequestError, match="cannot be ended"):
        kill(pid, 0.0)


def test_not_this_program() -> None:
    with pytest.raises(RequestError, match="this program"):
        kill(os.getpid(), float(psutil.Process().create_time()))


def test_a_process_of_which_nothing_is_known_is_not_ended(child: Child) -> None:
    with pytest.raises(RequestError, match="nothing is known"):
        kill(child.pid, None)
    assert child.poll() is None


def test_a_refusal_names_the_owner(child: Child, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise PermissionError

    with monkeypatch.context() as patch:
        patch.setattr(signal, "pidfd_send_signal", refuse)
        patch.setattr(os, "kill", refuse)
        with pytest.raises(RunFailed, match=f"belongs to {psutil.Process(child.pid).username()}") as error:
            kill(child.pid, started(child))
    assert error.value.exit_code == 1


def test_it_works_where_the_system_has_no_process_descriptors(child: Child, monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(_: int) -> int:
        raise OSError(38, "Function not implemented")

    monkeypatch.setattr(os, "pidfd_open", missing, raising=False)
    kill(child.pid, started(child))
    assert child.wait(60) == -signal.SIGTERM


def fake_proc(root: Path, targets: list[str]) -> Path:
    """A /proc of a container, with process 37."""
    (root / "self/ns").mkdir(parents=True)
    (root / "self/ns/pid").touch()
    (root / "37/fd").mkdir(parents=True)
    for number, target in enumerate(targets):
        (root / "37/fd" / str(number)).symlink_to(target)
    return root


def test_in_a_container_a_pid_is_trusted_only_with_an_nvidia_device_open(tmp_path: Path) -> None:
    proc = fake_proc(tmp_path, ["/dev/null", "/dev/nvidiactl"])
    assert in_container(proc)
    assert not is_foreign(37, proc)
    assert is_foreign(38, proc), "not there"
    (tmp_path / "37/fd/1").unlink()
    assert is_foreign(37, proc), "there, and another process by all that can be seen"


def test_on_the_host_every_pid_is_what_it_says(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(processes, "in_container", lambda *_: False)
    assert not is_foreign(2**22 + 1)


def test_a_gpu_process_of_another_namespace_is_not_ended(child: Child, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(processes, "is_foreign", lambda _: True)
    with pytest.raises(RequestError, match="another namespace"):
        kill(child.pid, started(child), from_gpu=True)
    assert child.poll() is None


@pytest.fixture
def _host(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(book, "is_foreign", lambda _: False)


@pytest.mark.usefixtures("_host")
def test_owner_and_command_and_which_run_it_is(child: Child) -> None:
    rows = [RawProcess(os.getpid(), "graphics", 0, 10), RawProcess(child.pid, "compute", 1, 99, mig=2)]
    first, second = ProcessBook().describe(rows, {child.pid: "run-7"})
    assert (first.pid, first.gpu, first.gpu_memory, first.mig, first.kind) == (child.pid, 1, 99, 2, "compute"), "largest first"
    assert first.owner == psutil.Process().username()
    assert first.command is not None
    assert first.command == "sleep 60"
    assert first.started == started(child)
    assert (first.ours, first.run) == (True, "run-7")
    assert (second.ours, second.run) == (False, None)
    assert second.rss is not None
    assert second.rss > 2**20
    assert first.rss is not None
    assert 0 < first.rss < second.rss


@pytest.mark.usefixtures("_host")
@pytest.mark.parametrize("own_session", [False, True])
def test_what_a_worker_started_is_ours(own_session: bool) -> None:
    script = (
        f"import subprocess\nchild = subprocess.Popen(['sleep', '60'], start_new_session={own_session})\nprint(child.pid, flush=True)\nchild.wait()\n"
    )
    with subprocess.Popen([sys.executable, "-S", "-c", script], stdout=subprocess.PIPE, start_new_session=True) as worker:
        assert worker.stdout is not None
        descendant = int(worker.stdout.readline())
        (row,) = ProcessBook().describe([RawProcess(descendant, "compute", 0, 5)], {worker.pid: "run-8"})
        os.kill(descendant, signal.SIGKILL)
    assert (row.ours, row.run) == (True, "run-8")


@pytest.mark.usefixtures("_host")
def test_the_shell_that_started_a_worker_is_not_ours(child: Child) -> None:
    (row,) = [row for row in ProcessBook().describe([RawProcess(os.getpid(), "compute", 0, 5)], {child.pid: "run-8"}) if row.gpu == 0]
    assert not row.ours


@pytest.mark.usefixtures("_host")
def test_a_run_that_uses_no_gpu_has_a_row_and_a_dead_one_has_none(child: Child) -> None:
    bookkeeping = ProcessBook()
    (row,) = bookkeeping.describe([], {child.pid: "run-9"})
    assert (row.kind, row.gpu, row.run, row.pid) == ("run", None, "run-9", child.pid)
    child.kill()
    child.wait(60)
    assert bookkeeping.describe([], {child.pid: "run-9"}) == ()


@pytest.mark.usefixtures("_host")
def test_what_does_not_change_is_asked_for_once(child: Child, monkeypatch: pytest.MonkeyPatch) -> None:
    bookkeeping = ProcessBook()
    rows = [RawProcess(child.pid, "compute", 0, 5)]
    bookkeeping.describe(rows, {})

    def forbidden(_: object) -> str:
        raise AssertionError("asked again")

    monkeypatch.setattr(psutil.Process, "username", forbidden)
    monkeypatch.setattr(psutil.Process, "cmdline", forbidden)
    (row,) = bookkeeping.describe(rows, {})
    assert row.command is not None


@pytest.mark.usefixtures("_host")
def test_a_process_that_ends_between_two_looks_keeps_only_what_the_driver_says(child: Child) -> None:
    bookkeeping = ProcessBook()
    rows = [RawProcess(child.pid, "compute", 0, 5)]
    bookkeeping.describe(rows, {})
    child.kill()
    child.wait(60)
    (row,) = bookkeeping.describe(rows, {})
    assert (row.gpu_memory, row.command, row.started, row.rss) == (5, None, None, None)


def test_a_foreign_process_is_marked_and_not_taken_for_one_of_ours(monkeypatch: pytest.MonkeyPatch, child: Child) -> None:
    monkeypatch.setattr(book, "is_foreign", lambda _: True)
    (row,) = ProcessBook().describe([RawProcess(child.pid, "compute", 0, 5)], {child.pid: "run-1"})
    assert (row.foreign, row.ours, row.command, row.started) == (True, False, None, None)


@pytest.mark.usefixtures("_host")
def test_a_command_with_escape_sequences_is_cleaned() -> None:
    with subprocess.Popen(["sh", "-c", "read line", "\x1b[2J\u202ex"], stdin=subprocess.PIPE) as process:
        (row,) = ProcessBook().describe([RawProcess(process.pid, "compute", 0, 5)], {})
        process.kill()
    assert row.command is not None
    assert "\x1b" not in row.command
    assert "\u202e" not in row.command
