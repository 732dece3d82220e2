"""A pid alone is not a process: it is used again, and outlived by zombies."""

from __future__ import annotations

import os
import subprocess
import sys

import psutil

from core.runs.state import process


def test_this_process_lives() -> None:
    since = process.started(os.getpid())
    assert since is not None
    assert process.alive(os.getpid(), since)


def test_the_start_agrees_with_psutil() -> None:
    since = process.started(os.getpid())
    assert since is not None
    assert abs(psutil.boot_time() + since - psutil.Process().create_time()) < 2


def test_another_process_under_the_same_pid_is_not_the_one_that_was_meant() -> None:
    since = process.started(os.getpid())
    assert since is not None
    assert not process.alive(os.getpid(), since - 1)


def test_a_zombie_is_dead() -> None:
    child = subprocess.Popen([sys.executable, "-c", ""])
    since = process.started(child.pid)
    os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)
    assert process.started(child.pid) is None
    assert not process.alive(child.pid, since)
    child.wait()


def test_nobody_is_dead() -> None:
    assert not process.alive(None, None)
    assert process.started(2**22 + 1) is None


def test_a_name_with_parentheses_and_spaces_does_not_mislead() -> None:
    rename = "import ctypes, sys; ctypes.CDLL(None).prctl(15, b') Z 1 (x', 0, 0, 0); print(flush=True); sys.stdin.read()"
    child = subprocess.Popen([sys.executable, "-c", rename], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert child.stdout is not None
    child.stdout.readline()
    assert process.alive(child.pid, process.started(child.pid))
    child.communicate()


def test_this_place_is_here_and_others_are_not() -> None:
    here = process.here()
    assert here.is_here()
    assert not here.was_restarted()
    rebooted = process.Place(here.host, "another boot", here.namespace)
    assert not rebooted.is_here()
    assert rebooted.was_restarted()
    elsewhere = process.Place("another host", "another boot", here.namespace)
    assert not elsewhere.is_here()
    assert not elsewhere.was_restarted()
    container = process.Place("c0ffee", here.boot, "pid:[1]")
    assert not container.is_here()
    assert not container.was_restarted()
