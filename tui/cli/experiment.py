"""Carry out one experiment from the command line: check, start a run, follow it, print its result."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from core.runs import registry
from core.runs.launch.begin import begin
from core.runs.launch.launch import Launcher, LocalLauncher
from core.runs.launch.resume import kept_bytes, resumable
from core.runs.state.state import State
from core.runs.state.store import Run
from tui.cli import follow
from tui.cli.keys import ask_for_key
from tui.cli.options import build_spec, without_effect
from tui.cli.printing.output import narrate, print_document
from tui.cli.printing.results import print_result


def launcher() -> Launcher:
    """What brings runs to this machine."""
    return LocalLauncher()


def experiment(key: str, model: str | None, given: dict[str, Any]) -> int:
    """Run capability `key` with the options that were given; returns the exit code."""
    as_json, detach = bool(given.pop("json", False)), bool(given.pop("detach", False))
    saved_file: Path | None = given.pop("spec", None)
    spec = build_spec(registry.spec_class(key), model, given, saved_file)
    ask_for_key(spec)
    chosen = launcher()
    notes = [f"note: {sentence}" for sentence in without_effect(spec, given)]
    run = begin(spec, chosen)
    try:
        return see_through(run, run.state, chosen, as_json=as_json, detach=detach, notes=notes)
    except KeyboardInterrupt:
        if run.state.is_over:
            raise
        return conclude(run, follow.cancel(run, chosen), as_json=as_json)


def see_through(run: Run, state: State, chosen: Launcher, *, as_json: bool, detach: bool, heard: int = 0, notes: Sequence[str] = ()) -> int:
    """Follow a run that has begun to its end, unless detached; returns its exit code.

    Args:
        run: that has begun.
        state: that it began with.
        chosen: what brought it to this machine.
        as_json: print one JSON document.
        detach: print the run's id and return.
        heard: bytes of events that are from before.
        notes: sentences about the request, for the user.
    """
    if detach and not state.is_over:
        for note in notes:
            narrate(note)
        if as_json:
            print_document("run", {"run": run.id, "path": str(run.path), "status": state.status})
        else:
            print(run.id)
        return 0
    opening = [*notes, f"run {run.id} in {run.path}"]
    return conclude(run, follow.until_over(run, chosen, cancel_on_interrupt=True, heard=heard, opening=opening), as_json=as_json)


def conclude(run: Run, state: State, *, as_json: bool) -> int:
    """Print the result of a run that is over, also what one that ended early has kept, or why there is none; returns its exit code."""
    result = run.result
    if state.status == "done" and result is not None:
        if as_json:
            print_document(run.capability, result)
        else:
            _print(run)
        return state.exit_code or 0
    reason = state.exit_reason or state.status
    narrate(f"llmopt: {reason}")
    if result is not None:
        narrate(f"everything measured so far is kept: `llmopt runs show {run.id}`")
        if as_json:
            print_document(run.capability, result)
        else:
            _print(run)
        return state.exit_code or 1
    if resumable(run, state) and kept_bytes(run):
        narrate(f"finished blocks are kept: `llmopt runs resume {run.id}` continues from there")
    if as_json:
        print_document("error", {"error": reason, "exit_code": state.exit_code or 1, "run": run.id, "status": state.status})
    return state.exit_code or 1


def _print(run: Run) -> None:
    result = run.typed_result()
    if result is None:
        narrate(f"the result is of another version of llmopt: `llmopt runs show {run.id} --json` prints it as it is")
    else:
        print_result(result)
