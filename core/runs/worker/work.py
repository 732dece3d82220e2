"""Carry one run out: what `python -m core.runs.worker RUN_DIR` does."""

from __future__ import annotations

import contextlib
import os
import sys
import time
import traceback
from pathlib import Path
from typing import Any

from core.errors import Cancelled, EarlyEnd
from core.result import Result
from core.runs.registry import run_function
from core.runs.state.files import finite, write_json
from core.runs.state.process import here, started
from core.runs.state.store import Run
from core.runs.state.verdict import sweep
from core.runs.worker.sentences import sentence_for
from core.runs.worker.supervise import supervise
from core.runs.worker.worker_context import WorkerContext


def main(arguments: list[str] | None = None) -> int:
    """Carry out the queued run in the folder that is the only argument; returns the exit code."""
    folders = sys.argv[1:] if arguments is None else arguments
    if len(folders) != 1:
        print("usage: python -m core.runs.worker RUN_DIR", file=sys.stderr)  # noqa: T201
        return 2
    run = Run(Path(folders[0]).absolute())
    if run.state.status != "queued":
        print(f"{run.path} has no queued run", file=sys.stderr)  # noqa: T201
        return 2
    supervisor = os.getpid()
    return supervise(run, lambda: work(run, supervisor))


def work(run: Run, supervisor: int) -> int:
    """What the worker process does, from `running` to the final state."""
    place = here()
    state = run.state.model_copy(
        update={
            "status": "running",
            "started": time.time(),
            "pid": os.getpid(),
            "pid_started": started(os.getpid()),
            "supervisor": supervisor,
            "supervisor_started": started(supervisor),
            "host": place.host,
            "boot": place.boot,
            "namespace": place.namespace,
        }
    )
    context = WorkerContext(run, state)
    try:
        result = _carry_out(run, context)
    except BaseException as error:
        return _end_early(run, context, error)
    return context.end("done", "", result.exit_code)


def _carry_out(run: Run, context: WorkerContext) -> Result:
    context.begin()
    spec = run.spec
    context.prepare(spec)
    result = run_function(spec.capability)(spec, context)
    context.stop_listening()
    if context.cancelled:
        raise Cancelled("cancelled after its last step: the result is kept", result=result)
    write_json(run.path / "result.json", _document(run, result, context))
    return result


def _end_early(run: Run, context: WorkerContext, error: BaseException) -> int:
    """A run that was asked to stop is cancelled, whatever the request became in the libraries that it came through."""
    context.stop_listening()
    if isinstance(error, EarlyEnd) and error.result is not None:
        # What was measured by then is the run's result, where the disk takes it.
        with contextlib.suppress(OSError):
            write_json(run.path / "result.json", _document(run, error.result, context))
    if context.cancelled or not isinstance(error, EarlyEnd):
        traceback.print_exception(error)
    sweep(run, os.getpid())
    if isinstance(error, Cancelled):
        return context.end("cancelled", str(error), Cancelled.exit_code)
    if context.cancelled or isinstance(error, KeyboardInterrupt):
        return context.end("cancelled", "cancelled", Cancelled.exit_code)
    return context.end("failed", sentence_for(error, run), error.exit_code if isinstance(error, EarlyEnd) else 1)


def _document(run: Run, result: Result, context: WorkerContext) -> dict[str, Any]:
    """result.json: the schema first, the artifacts last."""
    document = result.model_copy(update={"run": run.id, "artifacts": ()}).model_dump(mode="json")
    del document["artifacts"]
    return dict(finite(document | {"artifacts": context.artifacts_made}))
