"""Tick."""

from __future__ import annotations

import ctypes
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

from core.context import RunContext
from core.errors import RequestError, RunFailed
from tests.core.runs.tick.result import TickMetrics, TickResult
from tests.core.runs.tick.spec import TickSpec


def run(spec: TickSpec, context: RunContext) -> TickResult:
    """Tick, write a file under a temporary name, end as asked."""
    final = Path(spec.out) if spec.out else context.artifacts / "ticks.txt"
    partial = final.with_name(f"{final.name}.partial-{os.getpid()}")
    partial.write_text("half")
    print("ticking", flush=True)
    if spec.child:
        program = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
        print(f"child {program.pid}", flush=True)
    for tick in range(spec.ticks):
        context.progress(tick, spec.ticks, f"tick {tick}")
        context.metric("height", tick * 1.5, step=tick, label=f"layer.{tick}")
        if spec.end in LIBRARIES:
            LIBRARIES[spec.end](spec.pause)
            continue
        if spec.end not in {"deaf", "unaware"}:
            context.check_cancelled()
        _pause(spec)
    ENDS[spec.end]()
    partial.rename(final)
    context.artifact(final, "text")
    context.progress(spec.ticks, spec.ticks, "")
    return TickResult(metrics=TickMetrics(ticks=spec.ticks, nothing=float("nan"), seed=context.seed), spec=spec.model_dump())


def _pause(spec: TickSpec) -> None:
    if spec.end != "deaf":
        time.sleep(spec.pause)
        return
    # The time that native code spends without a look at signals: Python's handlers do not run.
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
    time.sleep(spec.pause)


def _fail() -> None:
    raise RunFailed("the clock stopped: wind it up")


def _crash() -> None:
    raise ZeroDivisionError("a \x1b[31mred\nsurprise")


def _segfault() -> None:
    import faulthandler

    faulthandler._sigsegv()  # type: ignore[attr-defined]


def _full() -> None:
    import errno

    raise OSError(errno.ENOSPC, "No space left on device", "/full/weights.safetensors")


def _library(seconds: float) -> None:
    """Takes every exception for a fault of its input, as tokenizers do."""
    try:
        time.sleep(seconds)
    except Exception as error:
        raise RequestError("cannot read a tokenizer: fetch the model again") from error


def _bare(seconds: float) -> None:
    """Takes whatever is raised for a fault of its input."""
    try:
        time.sleep(seconds)
    except BaseException:
        raise RequestError("cannot read a tokenizer: fetch the model again") from None


def _native(seconds: float) -> None:
    """What is raised while C calls back is printed, and lost."""
    callback = ctypes.CFUNCTYPE(None)(lambda: time.sleep(seconds))
    callback()
    raise RequestError("the native library was interrupted")


LIBRARIES = {"library": _library, "bare": _bare, "native": _native}
"""Ways in which the request to stop arrives inside other people's code."""

ENDS = {
    "well": lambda: None,
    "deaf": lambda: None,
    "unaware": lambda: None,
    **dict.fromkeys(LIBRARIES, lambda: None),
    "sentence": _fail,
    "crash": _crash,
    "segfault": _segfault,
    "full": _full,
    "silent": lambda: os._exit(7),
}
