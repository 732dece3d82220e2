"""Start a server, wait until it answers, and end it with all that it started."""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
import socket
import subprocess
import sys
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import BinaryIO

import psutil

from core.engine import Command, Endpoint, Engine, Missing, ServeSpec
from core.errors import RequestError, RunFailed
from core.sanitize import clean, conceal

START_WITHIN = 1800.0
"""Seconds that a model may take to load."""
_LOOK = 0.25
_DEATH_SIGNAL = 1
"""PR_SET_PDEATHSIG."""
_STOP_WITHIN = 10.0
_TAIL = 200
_SHOWN = 3


@dataclass(frozen=True)
class Server:
    """A server that answers."""

    endpoint: Endpoint
    command: Command
    version: str
    pid: int
    log: Path
    seconds: float
    """From its start until it answered."""

    @property
    def alive(self) -> bool:
        """Whether its process still runs."""
        try:
            return bool(psutil.Process(self.pid).status() != psutil.STATUS_ZOMBIE)
        except psutil.Error:
            return False


@contextmanager
def served(
    engine: Engine,
    spec: ServeSpec,
    log: Path,
    *,
    say: Callable[[str], None] = lambda _text: None,
    check_cancelled: Callable[[], None] = lambda: None,
    within: float = START_WITHIN,
) -> Iterator[Server]:
    """A server for as long as the block lasts.

    Its process stays in the process group of this one, so that whoever ends the group ends the server too.

    Args:
        engine: of the server.
        spec: the request.
        log: file that takes what the server prints.
        say: called with the exact command, what was left out of it, and then the last line of the log while it loads.
        check_cancelled: called while it loads.
        within: seconds until it must answer.

    Raises:
        RequestError: the engine is not installed, or cannot do what is asked.
        RunFailed: the server ended, or did not answer in time; the line of its log that matters, and what to do.
    """
    found = engine.find()
    if isinstance(found, Missing):
        raise RequestError(found.reason)
    free = free_port(spec.host)
    port = spec.port or free
    if spec.port and not _is_free(spec.host, spec.port):
        raise RequestError(f"port {spec.port} of {clean(spec.host)} is in use: give another, or 0 for a free one")
    command = engine.command(spec, found, port)
    say(f"starting {command.shown()}")
    for note in command.notes:
        say(note)
    with log.open("ab") as output:
        process = _started(command, output, log)
        began = time.monotonic()
        try:
            endpoint = Endpoint(
                f"http://{_reachable(spec.host)}:{port}", style=engine.facts.style, key=_key(engine), ignores_eos=engine.facts.ignores_eos
            )
            _wait(engine, endpoint, process, log, say, check_cancelled, within)
            named = replace(endpoint, model=_model(engine, spec, engine.models(endpoint), say))
            yield Server(named, command, found.version, process.pid, log, time.monotonic() - began)
        finally:
            end(process)


def _model(engine: Engine, spec: ServeSpec, names: Sequence[str], say: Callable[[str], None]) -> str:
    """The name of what was asked for; of a library that lacks it too, which may fetch it while the server runs."""
    if not engine.facts.library:
        return names[0] if names else ""
    known = next((name for name in (spec.model, f"{spec.model}:latest") if name in names), None)
    if known is None:
        shown = clean(spec.model, limit=100)
        say(f"{engine.facts.title} does not have {shown} yet: pull it with `llmopt {engine.facts.name} pull {shown}`, with the address in --url")
    return known or spec.model


def free_port(host: str = "127.0.0.1") -> int:
    """A port that nobody listens on. Raises RequestError: the address is none of this machine's."""
    with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as probe:
        try:
            probe.bind((host, 0))
        except OSError as error:
            shown = clean(host, limit=80)
            raise RequestError(
                f"cannot listen on {shown} ({(error.strerror or str(error)).lower()}): give an address of this machine, or 127.0.0.1"
            ) from error
        return int(probe.getsockname()[1])


def end(process: subprocess.Popen[bytes], within: float = _STOP_WITHIN) -> None:
    """Request a process and all that it started to end (SIGTERM to it, then SIGKILL to what is left)."""
    family = _family(process.pid)
    with contextlib.suppress(OSError):
        process.terminate()
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(within)
    left = [each for each in {*family, *_family(process.pid)} if each.pid != process.pid or process.poll() is None]
    for each in left:
        with contextlib.suppress(psutil.Error):
            each.terminate()
    _, stubborn = psutil.wait_procs(left, timeout=2)
    for each in stubborn:
        with contextlib.suppress(psutil.Error):
            each.kill()
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(5)


def tail(log: Path, lines: int = _TAIL) -> list[str]:
    """The last lines of a log, fit to be shown."""
    try:
        with log.open("rb") as file:
            file.seek(0, os.SEEK_END)
            file.seek(max(0, file.tell() - 65536))
            return [clean(line, limit=400) for line in deque(file.read().decode(errors="replace").splitlines(), lines)]
    except OSError:
        return []


def _key(engine: Engine) -> str | None:
    """The key that the server will want, as it finds it in the environment that it is given; nothing that this process says shows it."""
    key = os.environ.get(engine.facts.key_env) if engine.facts.key_env else None
    if key:
        conceal(key)
    return key or None


def _family(pid: int) -> list[psutil.Process]:
    try:
        process = psutil.Process(pid)
        return [process, *process.children(recursive=True)]
    except psutil.Error:
        return []


def _started(command: Command, output: BinaryIO, log: Path) -> subprocess.Popen[bytes]:
    try:
        return subprocess.Popen(
            command.argv,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            env=os.environ | dict(command.environment),
            cwd=log.parent,
            preexec_fn=_end_with_parent(),
        )
    except OSError as error:
        raise RunFailed(f"{clean(command.argv[0], limit=200)} cannot be started: {error.strerror or error}") from error


def _end_with_parent() -> Callable[[], None] | None:
    """For a child of this process: the kernel asks it to stop when this thread is gone, however that ends; Linux alone can.

    Whoever kills the worker and its supervisor would leave a server behind that holds memory and a port.
    """
    if sys.platform != "linux":
        return None
    control, parent = ctypes.CDLL(None).prctl, os.getpid()

    def ask() -> None:
        control(_DEATH_SIGNAL, signal.SIGTERM)
        if os.getppid() != parent:
            os._exit(1)

    return ask


def _wait(
    engine: Engine,
    endpoint: Endpoint,
    process: subprocess.Popen[bytes],
    log: Path,
    say: Callable[[str], None],
    check_cancelled: Callable[[], None],
    within: float,
) -> None:
    deadline, said = time.monotonic() + within, ""
    while True:
        check_cancelled()
        code = process.poll()
        if code is not None:
            raise RunFailed(_failure(engine, log, _how(code)))
        readiness = engine.readiness(endpoint)
        if readiness.state == "ready":
            return
        if readiness.state == "failed":
            raise RunFailed(_failure(engine, log, f"the server of {engine.facts.title} answers, but not correctly: {readiness.words}"))
        if time.monotonic() > deadline:
            raise RunFailed(_failure(engine, log, f"the server of {engine.facts.title} did not answer within {within:.0f} s"))
        last = next((line.strip() for line in reversed(tail(log, 5)) if line.strip()), "")
        if last and last != said:
            said = last
            say(last)
        time.sleep(_LOOK)


def _failure(engine: Engine, log: Path, what: str) -> str:
    lines = tail(log)
    if known := engine.explain(lines):
        return f"{what}: {known}"
    last = " | ".join([line.strip() for line in lines if line.strip()][-_SHOWN:])
    return f"{what}; its last output: {last or 'none'} (all of it in {log})"


def _how(code: int) -> str:
    return f"the server was ended by signal {-code}" if code < 0 else f"the server ended with exit code {code} before it answered"


def _is_free(host: str, port: int) -> bool:
    with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError:
            return False
    return True


def _reachable(host: str) -> str:
    """How this machine itself calls a server that listens there."""
    return {"0.0.0.0": "127.0.0.1", "::": "[::1]"}.get(host, f"[{host}]" if ":" in host else host)
