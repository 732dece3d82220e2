"""llama.cpp through llama-cpp-python, always in a child process: native code that crashes ends nothing but itself."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
from collections import deque
from collections.abc import Callable, Generator, Sequence
from importlib.util import find_spec
from pathlib import Path
from threading import Thread
from typing import IO, Any

from core.errors import RequestError, RunFailed
from core.formats.gguf.blocks import FILE_TYPES
from core.measure.limits import cores
from core.models.disk.files import shown
from core.sanitize import clean

PYTHON_VARIABLE = "LLMOPT_LLAMA_PYTHON"
"""Environment variable: an interpreter that has llama-cpp-python, when ours has not."""
PORTABLE = "-DGGML_NATIVE=OFF -DGGML_AVX2=ON -DGGML_FMA=ON -DGGML_F16C=ON -DGGML_BMI2=ON"
"""Flags of a build that runs on every x86-64 machine of the last ten years."""
INSTALL = f"CMAKE_ARGS='{PORTABLE}' pip install 'llmopt-tui[llama-cpp]'"

_CHILD = Path(__file__).with_name("child.py")
_KEPT_LINES = 40

OnLine = Callable[[str], None]
"""Called with each line of llama.cpp's log; may raise to cancel."""


def is_installed() -> bool:
    """Whether llama.cpp can be called."""
    return bool(os.environ.get(PYTHON_VARIABLE)) or find_spec("llama_cpp") is not None


def require_llama_cpp(purpose: str, instead: str = "") -> None:
    """Nothing, when llama.cpp can be called.

    Args:
        purpose: what needs it, the beginning of a sentence.
        instead: what to do without it, the end of the sentence.

    Raises:
        RequestError: llama-cpp-python is not installed.
    """
    if not is_installed():
        otherwise = f", or {instead}" if instead else ""
        raise RequestError(f"{purpose} needs llama.cpp: install it with {INSTALL}, name a Python that has it in {PYTHON_VARIABLE}{otherwise}")


def quantize_file(
    source: Path, target: Path, level: str, *, imatrix: bytes = b"", threads: int | None = None, on_line: OnLine = lambda _: None
) -> None:
    """Have llama.cpp quantize a file in F32, F16 or BF16.

    Args:
        source: the file.
        target: the new file.
        level: for example Q4_K_M.
        imatrix: importance matrix in llama.cpp's older format; empty: none.
        threads: of llama.cpp; default: as many as there are cores.
        on_line: called with each line of its log.

    Raises:
        RequestError: llama-cpp-python is not installed.
        RunFailed: llama.cpp refused or crashed, in one sentence.
    """
    complaints: list[str] = []

    def keep(line: str) -> None:
        complaints.extend([line.partition("failed to quantize: ")[2]] if "failed to quantize: " in line else [])
        on_line(line)

    answer = call("quantize", source, imatrix, str(target), str(FILE_TYPES[level]), threads=threads, on_line=keep)
    if answer.get("code") != 0:
        said = complaints[-1] if complaints else f"code {answer.get('code')}"
        raise RunFailed(f"llama.cpp could not quantize {shown(source)} to {level}: {said}")


def tokenize(model: Path, texts: Sequence[str], *, bos: bool = False) -> list[list[int]]:
    """llama.cpp's token ids of texts, special tokens in them recognized; `bos` puts a BOS before each where the file asks for one."""
    found: list[list[int]] = _ask("tokenize", model, {"texts": list(texts), "bos": bos})["tokens"]
    return found


def logits(model: Path, tokens: Sequence[int]) -> list[list[float]]:
    """llama.cpp's logits [T][V] of one window of tokens, keys and values kept in F32."""
    found: list[list[float]] = _ask("logits", model, {"tokens": list(tokens)})["logits"]
    return found


def score(
    model: Path, windows: Sequence[Sequence[int]], first: int, *, threads: int | None = None, on_line: OnLine = lambda _: None
) -> list[list[float]]:
    """Negative log-likelihoods in nats of the tokens from position `first` on of equal windows, by llama.cpp."""
    request = json.dumps({"windows": [list(window) for window in windows], "first": first}).encode()
    found: list[list[float]] = call("score", model, request, threads=threads, on_line=on_line)["nll"]
    return found


def stream_logits(model: Path, windows: Sequence[Sequence[int]], *, threads: int | None = None) -> Generator[bytes, None, None]:
    """llama.cpp's logits of equal windows of T tokens, one window after another: the bytes of float32 [T, V].

    Raises:
        RequestError: llama-cpp-python is not installed.
        RunFailed: the child crashed, or ended too early.
    """
    request = json.dumps({"windows": [list(window) for window in windows]}).encode()
    with tempfile.TemporaryFile() as log:
        child = _start("stream", model, (), threads, subprocess.PIPE, log)
        feeder = Thread(target=_feed, args=(child, request), daemon=True)
        feeder.start()
        assert child.stdout is not None
        try:
            vocabulary = int.from_bytes(_exactly(child.stdout, 8, child, log), "little")
            for window in windows:
                yield _exactly(child.stdout, 4 * vocabulary * len(window), child, log)
        finally:
            child.kill()
            child.wait()
            feeder.join()
            child.stdout.close()


def _exactly(stream: IO[bytes], count: int, child: subprocess.Popen[bytes], log: IO[bytes]) -> bytes:
    data = stream.read(count)
    if len(data) < count:
        code = child.wait()
        log.seek(0)
        lines = [clean(line, limit=400) for line in log.read().decode("utf-8", errors="replace").splitlines()]
        raise RunFailed(_why(code, lines[-_KEPT_LINES:]) if code else "llama.cpp's process ended before it answered")
    return data


def generate(model: Path, tokens: Sequence[int], count: int) -> list[int]:
    """The tokens and `count` more, each the most likely one."""
    found: list[int] = _ask("generate", model, {"tokens": list(tokens), "count": count})["tokens"]
    return found


def _ask(command: str, model: Path, request: dict[str, Any]) -> dict[str, Any]:
    return call(command, model, json.dumps(request).encode())


def call(command: str, model: Path, request: bytes, *arguments: str, threads: int | None = None, on_line: OnLine = lambda _: None) -> dict[str, Any]:
    """Run one command of the child process and return its answer.

    Raises:
        RequestError: llama-cpp-python is not installed.
        RunFailed: the child crashed, was killed, or answered nothing.
    """
    with tempfile.TemporaryFile() as answer:
        child = _start(command, model, arguments, threads, answer, subprocess.PIPE)
        last = _follow(child, request, on_line)
        code = child.wait()
        if code:
            raise RunFailed(_why(code, last))
        answer.seek(0)
        try:
            found = json.loads(answer.read())
        except ValueError as error:
            raise RunFailed("llama.cpp's process returned an unreadable response") from error
    return found if isinstance(found, dict) else {}


def _start(
    command: str, model: Path, arguments: Sequence[str], threads: int | None, stdout: IO[bytes] | int, stderr: IO[bytes] | int
) -> subprocess.Popen[bytes]:
    require_llama_cpp("this")
    python = os.environ.get(PYTHON_VARIABLE) or sys.executable
    line = [python, str(_CHILD), command, str(model.absolute()), str(threads or cores()), *arguments]
    try:
        return subprocess.Popen(line, stdin=subprocess.PIPE, stdout=stdout, stderr=stderr)
    except OSError as error:
        raise RequestError(f"{shown(python)} cannot be started ({error.strerror}): correct {PYTHON_VARIABLE}") from error


def _follow(child: subprocess.Popen[bytes], request: bytes, on_line: OnLine) -> list[str]:
    """Feed the request and read the log; the last lines of it."""
    assert child.stderr is not None
    kept: deque[str] = deque(maxlen=_KEPT_LINES)
    feeder = Thread(target=_feed, args=(child, request), daemon=True)
    feeder.start()
    try:
        for raw in child.stderr:
            text = clean(raw.decode("utf-8", errors="replace").rstrip("\n"), limit=400)
            if text:
                kept.append(text)
                on_line(text)
    except BaseException:
        child.kill()
        child.wait()
        raise
    finally:
        feeder.join()
        child.stderr.close()
    return list(kept)


def _feed(child: subprocess.Popen[bytes], request: bytes) -> None:
    assert child.stdin is not None
    try:
        child.stdin.write(request)
        child.stdin.close()
    except OSError:
        return


def _why(code: int, last: list[str]) -> str:
    """A sentence for a child that ended badly."""
    if code < 0:
        name = signal.Signals(-code).name if -code in set(signal.Signals) else f"signal {-code}"
        advice = {"SIGILL": f": its build is for another CPU, reinstall it with {INSTALL}", "SIGKILL": ": memory may have run out"}
        return f"llama.cpp's process was ended by {name}{advice.get(name, '')}"
    own = (line for line in last if "error loading model" in line or "failed to quantize" in line)
    said = next(own, None) or next((line for line in reversed(last) if "rror" in line or "failed" in line), last[-1] if last else "")
    return f"llama.cpp's process failed with code {code}{': ' + said if said else ''}"
