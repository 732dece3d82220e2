"""Let a run that was stopped go on."""

from __future__ import annotations

from core.errors import RequestError, RunFailed
from core.runs.launch.launch import Launcher
from core.runs.registry import CAPABILITIES
from core.runs.state.events import EventWriter, StateChange, now
from core.runs.state.files import why
from core.runs.state.state import State
from core.runs.state.store import Run
from core.runs.state.verdict import sweep


def resumable(run: Run, state: State) -> bool:
    """Whether `resume` would take the run: it was cancelled or failed, and its capability keeps what is finished."""
    entry = CAPABILITIES.get(run.capability)
    return entry is not None and entry.resumable and state.status in {"cancelled", "failed"}


def kept_bytes(run: Run) -> int:
    """Bytes on disk of what the run keeps to go on from; 0 when it would begin anew."""
    try:
        return sum(entry.stat().st_size for entry in run.kept.iterdir())
    except OSError:
        return 0


def resume(run: Run, launcher: Launcher) -> State:
    """Start a stopped run again, under its own id; it continues from what it kept, or begins anew where it kept nothing.

    Whether what was kept still fits the model is seen by the worker, which fails with a sentence when it does not.

    Raises:
        RequestError: the run is not over, is done, or is of a kind that keeps nothing.
        RunFailed: its folder may not be written, or the worker could not be started.
    """
    state = launcher.refresh(run)
    if not state.is_over:
        raise RequestError(f"run {run.id} is {state.status}: `llmopt runs follow {run.id}` shows it")
    if state.status == "done":
        raise RequestError(f"run {run.id} is done: nothing is left to resume")
    if not resumable(run, state):
        raise RequestError(f"runs of {run.capability} cannot be resumed: start again with --spec {run.spec_file}")
    spec = run.spec
    if state.pid is not None:
        sweep(run, state.pid)
    fresh = State(status="queued", created=state.created, resumed=now(), host=state.host, boot=state.boot, namespace=state.namespace)
    try:
        writer = EventWriter(run.events_file)
        writer.write(StateChange(now(), "queued", f"asked to resume with {spec.model}"))
        writer.close()
        run.save_state(fresh)
    except OSError as error:
        raise RunFailed(why(error, run.path)) from error
    return launcher.start(run)
