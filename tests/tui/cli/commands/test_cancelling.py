"""Ctrl+C at every moment of the start of every experiment: the run is cancelled, exit code 130, and nothing blames the model."""

from __future__ import annotations

import random
import signal
import subprocess
import sys
import time

import pytest

from core.runs.registry import CAPABILITIES
from core.runs.state import store
from tests.tui.cli.conftest import _listen

LLMOPT = (sys.executable, "-c", "import sys; from tui.cli import main; sys.exit(main())")
BASE, SHORT = "bundled:base", ("--eval-tokens", "4096")
ARGUMENTS: dict[str, tuple[str, ...]] = {
    "quantize": (BASE, "--method", "gptq", *SHORT),
    "quantize-compare": (BASE, *SHORT),
    "verify": (BASE,),
    "evaluate": (BASE, "--tokens", "16384"),
    "kv-cache": (BASE,),
    "kv-cache-why": (BASE,),
    "kv-cache-pages": (BASE,),
    "speculate": (BASE,),
    "speculate-test": (BASE,),
    "benchmark": (BASE, "--requests", "200"),
    "benchmark-compare": (BASE, "--requests", "100"),
    "benchmark-machine": (BASE,),
    "serve": ("runtime", BASE),
}


def cancelled_after(key: str, seconds: float, times: int = 1) -> None:
    """Press ctrl+c `seconds` after the start. What was over by then cannot be cancelled any more."""
    known = {run.id for run in store.list_runs()}
    options = () if key == "serve" else ("--device", "cpu")
    front = subprocess.Popen([*LLMOPT, key, *ARGUMENTS[key], *options], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, preexec_fn=_listen)
    time.sleep(seconds)
    pressed = time.time()
    over = front.poll() is not None
    for _ in range(times):
        if front.poll() is None:
            front.send_signal(signal.SIGINT)
            time.sleep(0.05)
    out, err = front.communicate(timeout=60)
    states = [run.state for run in store.list_runs() if run.id not in known]
    over = over or any(state.status == "done" and (state.ended or 0.0) < pressed + 0.2 for state in states)
    if not over:
        assert front.returncode in ({130, -signal.SIGINT, 1} if seconds <= 0.2 else {130}), (key, seconds, out, err)
        assert [(state.status, state.exit_code) for state in states] in ([], [("cancelled", 130)]), (key, seconds, states, err)


def test_every_experiment_is_here() -> None:
    assert sorted(ARGUMENTS) == sorted(key for key in CAPABILITIES if key != "tick")


@pytest.mark.parametrize(("key", "seconds", "times"), [("quantize", 1.2, 1), ("benchmark", 1.6, 2), ("evaluate", 0.8, 2)])
def test_ctrl_c_during_the_start_is_a_cancel(key: str, seconds: float, times: int) -> None:
    cancelled_after(key, seconds, times)


@pytest.mark.slow
@pytest.mark.parametrize("key", ARGUMENTS)
def test_ctrl_c_at_every_fifth_of_a_second_is_a_cancel(key: str) -> None:
    for fifth in range(1, 16):
        cancelled_after(key, fifth / 5, times=random.Random(fifth).choice((1, 1, 2)))
