"""Servers as runs: they start, answer, are watched, end with all that they started, and say why they did not start."""

from __future__ import annotations

import contextlib
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import psutil
import pytest

from core import sanitize
from core.benchmark.serve import check as serve_check
from core.benchmark.serve import run as serve_run
from core.benchmark.serve.events import ReadyEvent
from core.benchmark.serve.result import ServeResult
from core.benchmark.server import serving
from core.engine import Command, Engine, EngineFacts, Found, Missing, ServeSpec, look_up
from core.errors import Cancelled, RequestError, RunFailed
from core.models.resolve import resolve
from engines.openai import OpenAi
from tests.core.conftest import RecordingContext

FAMILY = """
import subprocess, sys, time
child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
print("loading", flush=True)
import runpy
sys.argv = ["x", sys.argv[1], "20", "100"]
runpy.run_module("core.benchmark.calibrate.server", run_name="__main__")
"""


class Family(OpenAi):
    """A server that starts a process of its own."""

    facts = EngineFacts("family", "Family", "for tests")
    code = FAMILY

    def find(self) -> Found | Missing:
        return Found("1.0", (sys.executable,))

    def command(self, spec: ServeSpec, found: Found, port: int) -> Command:
        return Command((*found.program, "-c", self.code, str(port)), {"A": "b"})


class Broken(Family):
    code = "import sys; print('starting'); print('torch.OutOfMemoryError: out of memory'); sys.exit(3)"


class Mute(Family):
    code = "import time; print('loading weights 50%', flush=True); time.sleep(600)"


class Absent(Family):
    def find(self) -> Found | Missing:
        return Missing("Family is not installed: get it")


def served(engine: Engine, tmp_path: Path, **options: Any) -> Any:
    return serving.served(engine, ServeSpec(model="bundled:base", engine="family", **options.pop("spec", {})), tmp_path / "server.log", **options)


def test_a_server_answers_and_ends_with_all_that_it_started(tmp_path: Path) -> None:
    said: list[str] = []
    with served(Family(), tmp_path, say=said.append) as server:
        assert server.alive
        assert server.endpoint.model == "calibrated"
        assert said[0].startswith("starting A=b ")
        family = [psutil.Process(server.pid), *psutil.Process(server.pid).children(recursive=True)]
        assert len(family) == 2
    gone, alive = psutil.wait_procs(family, timeout=5)
    assert not alive
    assert len(gone) == 2
    assert not server.alive


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux lets a process end with its parent")
def test_a_server_ends_with_the_process_that_started_it(tmp_path: Path) -> None:
    code = """
import sys, time
from pathlib import Path
from tests.core.benchmark.server.test_serving import Family, served
with served(Family(), Path(sys.argv[1])) as server:
    print(server.pid, flush=True)
    time.sleep(60)
"""
    with subprocess.Popen([sys.executable, "-c", code, str(tmp_path)], stdout=subprocess.PIPE) as parent:
        assert parent.stdout is not None
        server = psutil.Process(int(parent.stdout.readline()))
        family = [server, *server.children(recursive=True)]
        parent.kill()
        _, left = psutil.wait_procs([server], timeout=5)
    assert not left
    for each in family:
        with contextlib.suppress(psutil.Error):
            each.kill()


def test_a_start_that_failed_says_the_line_that_matters_and_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(RunFailed, match="exit code 3") as failed, served(Broken(), tmp_path):
        pass
    assert "out of memory" in str(failed.value)
    assert "lower context" in str(failed.value)


def test_a_server_that_never_answers_is_ended(tmp_path: Path) -> None:
    said: list[str] = []
    with pytest.raises(RunFailed, match="did not answer within 1 s"), served(Mute(), tmp_path, say=said.append, within=1.0):
        pass
    assert "loading weights 50%" in said


def test_a_start_can_be_cancelled(tmp_path: Path) -> None:
    def cancel() -> None:
        raise Cancelled("cancelled")

    with pytest.raises(Cancelled), served(Mute(), tmp_path, check_cancelled=cancel):
        pass


def test_what_is_not_there_or_taken_is_refused(tmp_path: Path) -> None:
    with pytest.raises(RequestError, match="get it"), served(Absent(), tmp_path):
        pass
    with served(Family(), tmp_path) as server:
        port = int(server.endpoint.url.rsplit(":", 1)[1])
        with pytest.raises(RequestError, match=f"port {port} of 127.0.0.1 is in use"), served(Family(), tmp_path, spec={"port": port}):
            pass


def test_a_served_run_says_when_it_answers_and_ends_by_cancelling(context: RecordingContext, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(serve_run, "look_up", lambda name: Family())
    monkeypatch.setattr(serve_run, "_LOOK", 0.05)
    began = time.monotonic()
    context.cancel_when = lambda context: bool(context.details) and time.monotonic() - began > 1
    with pytest.raises(Cancelled, match="the server was stopped") as stopped:
        serve_run.run(ServeSpec(model="bundled:base", engine="family"), context)
    result = stopped.value.result
    assert isinstance(result, ServeResult)
    (event,) = [ReadyEvent.parse(data) for kind, data in context.details if kind == ReadyEvent.kind]
    assert event is not None
    assert event.url == result.url
    assert result.served_model == "calibrated"
    assert result.peak_rss_bytes
    assert not psutil.pid_exists(event.pid)
    assert any("answers at http://127.0.0.1:" in line for line in context.lines)


def test_a_server_that_ends_by_itself_fails_its_run(context: RecordingContext, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(serve_run, "look_up", lambda name: Family())
    monkeypatch.setattr(serve_run, "_LOOK", 0.05)

    def kill(context: RecordingContext) -> bool:
        if context.details:
            psutil.Process(context.details[0][1]["pid"]).kill()
        return False

    context.cancel_when = kill
    with pytest.raises(RunFailed, match="ended by itself"):
        serve_run.run(ServeSpec(model="bundled:base", engine="family"), context)


@pytest.mark.parametrize(
    ("values", "word"),
    [
        ({"engine": "tgi"}, r"docker run .*then give its address"),
        ({"engine": "nobody"}, "unknown engine"),
        ({"context": 9999}, "exceeds the 1024"),
    ],
)
def test_a_server_that_cannot_be_is_refused_before_it_starts(values: dict[str, Any], word: str) -> None:
    with pytest.raises(RequestError, match=word):
        serve_check.check(ServeSpec(**({"model": "bundled:base", "engine": "runtime"} | values)), resolve("bundled:base").card())


def test_a_log_is_shown_without_what_would_disturb_a_terminal(tmp_path: Path) -> None:
    log = tmp_path / "x.log"
    log.write_bytes(b"one\n\x1b[2Jtwo\xff\n")
    lines: Sequence[str] = serving.tail(log)
    assert len(lines) == 2
    assert "\x1b" not in lines[1]
    assert serving.tail(tmp_path / "none") == []


def test_a_server_is_asked_with_the_key_that_it_finds_in_its_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    engine = look_up("vllm")
    monkeypatch.setattr(sanitize, "_SECRETS", set())
    monkeypatch.delenv(engine.facts.key_env, raising=False)
    assert serving._key(engine) is None
    monkeypatch.setenv(engine.facts.key_env, "sk-of-the-server")
    assert serving._key(engine) == "sk-of-the-server"
    assert sanitize.clean("Bearer sk-of-the-server") == "Bearer [key]"
    assert serving._key(look_up("sglang")) is None


def test_an_address_of_another_machine_is_none_to_listen_on() -> None:
    with pytest.raises(RequestError, match=r"cannot listen on 192\.0\.2\.1"):
        serving.free_port("192.0.2.1")


@pytest.mark.parametrize("word", ["--api-key", "--api_key=x", "--hf-token=x", "--ssl-keyfile-password=x"])
def test_a_key_has_no_place_in_a_command_line(word: str) -> None:
    with pytest.raises(RequestError, match="would put a key on the command line"):
        serve_check.check(ServeSpec(model="bundled:base", engine="runtime", extra=("--port", word)), None)


def test_a_format_that_an_engine_does_not_read_is_refused_before_it_starts() -> None:
    with pytest.raises(RequestError, match="supports only GGUF files"):
        serve_check.check(ServeSpec(model="bundled:base", engine="llama-cpp"), resolve("bundled:base").card())
