"""A tiny capability for tests, and a worker that knows it: `python -m tests.core.runs.tick RUN_DIR`."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field

from core.context import RunContext
from core.errors import RunFailed
from core.runs import registry
from core.runs.launch.launch import LocalLauncher
from core.runs.worker import supervise
from core.runs.worker import work as worker
from core.spec import Spec

End = Literal["well", "sentence", "crash", "segfault", "deaf", "full", "silent"]


class TickSpec(Spec):
    """Tick a number of times."""

    capability: ClassVar[str] = "tick"

    ticks: Annotated[int, Field(description="How often", ge=1, le=10_000)] = 3
    pause: Annotated[float, Field(description="Seconds between", ge=0)] = 0.01
    end: Annotated[End, Field(description="How it ends")] = "well"
    child: Annotated[bool, Field(description="Start a program of its own")] = False
    out: Annotated[str | None, Field(description="File to write")] = None


def run(spec: TickSpec, context: RunContext) -> dict[str, Any]:
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
        if spec.end != "deaf":
            context.check_cancelled()
        _pause(spec)
    ENDS[spec.end]()
    partial.rename(final)
    context.artifact(final, "text")
    context.progress(spec.ticks, spec.ticks, "")
    return {"metrics": {"ticks": spec.ticks, "nothing": float("nan"), "seed": context.seed}, "spec": spec.model_dump()}


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

    faulthandler._sigsegv()


def _full() -> None:
    import errno

    raise OSError(errno.ENOSPC, "No space left on device", "/full/weights.safetensors")


ENDS = {
    "well": lambda: None,
    "deaf": lambda: None,
    "sentence": _fail,
    "crash": _crash,
    "segfault": _segfault,
    "full": _full,
    "silent": lambda: os._exit(7),
}

CAPABILITY = registry.Capability("tests.core.runs.tick:TickSpec", "tests.core.runs.tick:run", "Tick")
LAUNCHER_COMMAND = (sys.executable, "-P", "-m", "tests.core.runs.tick")


def launcher() -> LocalLauncher:
    """A local launcher whose workers know the capability."""
    return LocalLauncher(LAUNCHER_COMMAND)


if __name__ == "__main__":
    registry.CAPABILITIES["tick"] = CAPABILITY
    supervise.STEP_SECONDS = 0.5
    sys.exit(worker.main())
