"""A run outlives the workstation: the app is killed in the middle of one, and the next start shows its result."""

from __future__ import annotations

import contextlib
import fcntl
import os
import pty
import re
import select
import shutil
import signal
import struct
import subprocess
import sys
import termios
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from core.runs.launch.launch import refresh
from core.runs.state.store import Run, list_runs

ROOT = Path(__file__).parents[2]
F2, F4, F5 = "\x1bOQ", "\x1bOS", "\x1b[15~"
ESCAPES = re.compile(rb"\x1b(?:\[[0-9;?<>=]*[a-zA-Z]|\][^\x07\x1b]*(?:\x07|\x1b\\)|[()][A-Z0-9]|[=>78MP])")


class Screen:
    """The workstation in a pseudo-terminal of 80 x 24."""

    def __init__(self, environment: dict[str, str]) -> None:
        self._master, slave = pty.openpty()
        fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 80, 0, 0))
        self.process = subprocess.Popen(
            [sys.executable, "-m", "tui"], stdin=slave, stdout=slave, stderr=slave, cwd=ROOT, env=environment, start_new_session=True
        )
        os.close(slave)
        self._heard = b""

    def press(self, keys: str) -> None:
        """Type."""
        os.write(self._master, keys.encode())

    def press_until(self, keys: str, true: Callable[[str], bool], seconds: float) -> None:
        """Type again every two seconds: a key that comes before the tab has the focus goes nowhere."""
        for _ in range(max(int(seconds / 2), 1)):
            self.press(keys)
            with contextlib.suppress(AssertionError):
                self.wait_for(true, 2)
                return
        self.wait_for(true, 0.1)

    def wait_for(self, true: Callable[[str], bool], seconds: float) -> str:
        """Read what is painted until it holds what is waited for."""
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            if select.select([self._master], [], [], 0.05)[0]:
                try:
                    self._heard += os.read(self._master, 65536)
                except OSError:
                    break
            text = ESCAPES.sub(b"", self._heard).decode(errors="replace")
            if true(text):
                return text
        raise AssertionError(f"not seen in {seconds} s; the end of what was painted: {text[-2000:]!r}")

    def kill(self) -> None:
        """kill -9, as an out-of-memory killer does it."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGKILL)
        self.process.wait()
        os.close(self._master)


@contextmanager
def opened(environment: dict[str, str]) -> Iterator[Screen]:
    screen = Screen(environment)
    try:
        yield screen
    finally:
        screen.kill()


@pytest.fixture
def model(tiny_llama_dir: Path, tmp_path: Path) -> Path:
    """A random Llama that every default of the form fits, large enough for a run of some seconds."""
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    folder = tmp_path / "survivor"
    torch.manual_seed(0)
    sizes: dict[str, Any] = {
        "hidden_size": 128,
        "intermediate_size": 256,
        "num_hidden_layers": 4,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "head_dim": 32,
    }
    config = LlamaConfig(**sizes, vocab_size=320, max_position_embeddings=512, bos_token_id=0, eos_token_id=1)
    LlamaForCausalLM(config).bfloat16().save_pretrained(folder)
    for name in ("tokenizer.json", "tokenizer_config.json"):
        shutil.copy(tiny_llama_dir / name, folder)
    return folder


@pytest.fixture
def environment(llmopt_home: Path, model: Path) -> dict[str, str]:
    """A user's terminal, with one model to choose."""
    own = {
        "LLMOPT_HOME": str(llmopt_home),
        "LLMOPT_MODELS": str(model),
        "TERM": "xterm-256color",
        "HF_HUB_OFFLINE": "1",
        "OMP_NUM_THREADS": "1",
        "PYTHONPATH": str(ROOT),
    }
    return {name: value for name, value in os.environ.items() if not name.startswith(("SSH_", "TMUX"))} | own


def the_run(status: str, seconds: float) -> Run:
    """The only run, when it has this status."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        for run in list_runs():
            if refresh(run).status == status:
                return run
        time.sleep(0.05)
    raise AssertionError([(run.id, run.state) for run in list_runs()])


@pytest.mark.slow
def test_a_run_outlives_the_workstation_that_started_it(environment: dict[str, str], model: Path) -> None:
    with opened(environment) as screen:
        screen.wait_for(lambda text: "Hardware" in text, 30)
        screen.press("2")
        screen.wait_for(lambda text: "calibration samples" in text, 30)
        screen.press_until(F2, lambda text: "type to filter" in text, 30)
        screen.press("survivor\r")
        screen.wait_for(lambda text: "28 linears quantized" in text, 30)
        screen.press(F5)
        run = the_run("running", 60)
        assert run.values["model"] == str(model)
    assert screen.process.returncode == -signal.SIGKILL
    assert not run.state.is_over, "killed in the middle"

    with opened(environment) as screen:
        screen.wait_for(lambda text: "Hardware" in text, 30)
        screen.press("2")
        screen.wait_for(lambda text: "gptq 4 bit g128: survivor" in text and "runs" in text, 30)

    finished = the_run("done", 180)
    assert finished.id == run.id
    assert finished.result is not None
    assert [path.name for path in finished.artifacts.iterdir() if "partial" in path.name] == []

    with opened(environment) as screen:
        screen.wait_for(lambda text: "Hardware" in text, 30)
        screen.press("2")
        screen.wait_for(lambda text: "calibration samples" in text, 30)
        screen.press_until(F4, lambda text: "KL divergence" in text and run.id in text, 30)
