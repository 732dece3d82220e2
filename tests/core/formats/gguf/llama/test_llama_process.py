"""The child process that holds llama.cpp, played by small programs: what it says, and what becomes of its crashes."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from core.errors import Cancelled, RequestError, RunFailed
from core.formats.gguf.llama import process as llama_process


@pytest.fixture
def play(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Have another program answer in the child's place."""

    def with_program(body: str) -> None:
        script = tmp_path / "python"
        script.write_text(f"#!{sys.executable}\nimport json, os, signal, sys, time\n{body}\n")
        script.chmod(0o755)
        monkeypatch.setenv(llama_process.PYTHON_VARIABLE, str(script))

    return with_program


def test_the_answer_is_read_and_the_log_is_told(play, tmp_path: Path) -> None:
    play('sys.stderr.write("one\\ntwo \\x1b[31m\\n"); json.dump({"tokens": [json.load(sys.stdin)["texts"], sys.argv[2:4]]}, sys.stdout)')
    lines: list[str] = []
    answer = llama_process.call("tokenize", tmp_path / "m", b'{"texts": ["a"]}', on_line=lines.append)
    assert answer == {"tokens": [["a"], ["tokenize", str(tmp_path / "m")]]}
    assert lines == ["one", "two \ufffd[31m"]


@pytest.mark.parametrize(
    ("name", "message"),
    [("SIGILL", "ended by SIGILL: its build is for another CPU"), ("SIGKILL", "memory may have run out"), ("SIGSEGV", "ended by SIGSEGV$")],
)
def test_a_signal_is_named(name: str, message: str, play) -> None:
    play(f"os.kill(os.getpid(), signal.{name})")
    with pytest.raises(RunFailed, match=message):
        llama_process.tokenize(Path("m"), ["a"])


def test_an_error_is_quoted(play) -> None:
    play('sys.stderr.write("load\\nerror loading model: tensor missing\\nbye\\n"); sys.exit(3)')
    with pytest.raises(RunFailed, match="failed with code 3: error loading model: tensor missing"):
        llama_process.tokenize(Path("m"), ["a"])


def test_no_answer_is_an_error(play) -> None:
    play("pass")
    with pytest.raises(RunFailed, match="unreadable response"):
        llama_process.tokenize(Path("m"), ["a"])


def test_a_refusal_to_quantize_is_told(play, tmp_path: Path) -> None:
    play('sys.stdin.read(); json.dump({"code": 1}, sys.stdout)')
    with pytest.raises(RunFailed, match=r"could not quantize .* to Q4_K_M"):
        llama_process.quantize_file(tmp_path / "a", tmp_path / "b", "Q4_K_M")


def test_cancelling_ends_the_child(play, tmp_path: Path) -> None:
    play(f'open({str(tmp_path / "pid")!r}, "w").write(str(os.getpid())); sys.stderr.write("x\\n"); sys.stderr.flush(); time.sleep(60)')

    def cancel(_line: str) -> None:
        raise Cancelled("stopped")

    with pytest.raises(Cancelled):
        llama_process.call("tokenize", Path("m"), b"", on_line=cancel)
    with pytest.raises(ProcessLookupError):
        os.kill(int((tmp_path / "pid").read_text()), 0)


def test_without_llama_cpp_the_person_is_told_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(llama_process.PYTHON_VARIABLE, raising=False)
    monkeypatch.setattr(llama_process, "find_spec", lambda _: None)
    with pytest.raises(RequestError, match=r"level Q4_K_M needs llama.cpp: install it with CMAKE_ARGS='-DGGML_NATIVE=OFF .*llmopt-tui\[llama-cpp\]"):
        llama_process.require_llama_cpp("level Q4_K_M")
    monkeypatch.setenv(llama_process.PYTHON_VARIABLE, "/nowhere/python")
    with pytest.raises(RequestError, match="/nowhere/python cannot be started"):
        llama_process.tokenize(Path("m"), ["a"])
