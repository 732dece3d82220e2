"""Carry one run out: what `python -m core.runs.worker RUN_DIR` does."""

from __future__ import annotations

import contextlib
import os
import sys
import time
import traceback
from pathlib import Path
from typing import Any

from core.errors import Cancelled, LlmoptError
from core.result import Result
from core.runs.registry import run_function
from core.runs.state.files import finite, write_json
from core.runs.state.process import here, started
from core.runs.state.state import Status
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
        context.begin()
        spec = run.spec
        context.prepare(spec)
        result = run_function(spec.capability)(spec, context)
        write_json(run.path / "result.json", _document(run, result, context))
    except Cancelled as error:
        _keep(run, error, context)
        sweep(run, os.getpid())
        return context.end("cancelled", str(error) or "cancelled", 130)
    except BaseException as error:
        if not isinstance(error, LlmoptError):
            traceback.print_exc()
        else:
            _keep(run, error, context)
        sweep(run, os.getpid())
        code = error.exit_code if isinstance(error, LlmoptError) else 1
        return context.end(_status(error), sentence_for(error, run), code)
    return context.end("done", "", result.exit_code)


def _keep(run: Run, error: LlmoptError, context: WorkerContext) -> None:
    """What was measured before a run ended early is its result, where the disk takes it."""
    if error.result is not None:
        with contextlib.suppress(OSError):
            write_json(run.path / "result.json", _document(run, error.result, context))


def _status(error: BaseException) -> Status:
    return "cancelled" if isinstance(error, KeyboardInterrupt) else "failed"


def _document(run: Run, result: Result, context: WorkerContext) -> dict[str, Any]:
    """result.json: the schema first, the artifacts last."""
    document = result.model_copy(update={"run": run.id, "artifacts": ()}).model_dump(mode="json")
    del document["artifacts"]
    return dict(finite(document | {"artifacts": context.artifacts_made}))
