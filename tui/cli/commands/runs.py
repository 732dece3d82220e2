"""`llmopt runs`: what was run, what runs, what came of it."""

from __future__ import annotations

import time
from datetime import datetime
from pathlib import Path
from typing import Annotated, Any, Literal

from cyclopts import App, Parameter

from core.errors import RunFailed
from core.measure.units import duration, size
from core.runs.compare.compare import Comparison, metrics_of
from core.runs.compare.compare import compare as compare_runs
from core.runs.export import Format, export_runs
from core.runs.figures import figure, show
from core.runs.launch.finish import finish
from core.runs.launch.launch import GRACE
from core.runs.launch.pause import go_on, is_paused, pause
from core.runs.launch.resume import kept_bytes, resumable, resume
from core.runs.state import store
from core.runs.state.files import why, write_bytes
from core.runs.state.home import check_home
from core.runs.state.state import State
from core.runs.state.store import Run
from tui.cli import experiment, follow
from tui.cli.printing.output import narrate, print_document, print_facts, print_table

app = App(name="runs", help="List, show, follow, pause, resume, finish, cancel, compare, export and remove runs.", help_format="plaintext")

Json = Annotated[bool, Parameter(help="Print one JSON document", negative="", show_default=False)]
Id = Annotated[str, Parameter(help="Id of a run, any unique prefix or suffix of it, or `last`")]

_HEADLINES = (
    ("ppl_ratio", "ppl x{:.3f}"),
    ("throughput_tokens_per_second", "{:.1f} token/s"),
    ("ppl", "ppl {:.3f}"),
    ("bits_per_weight", "{:.2f} bits"),
)
_UNITS = ((3600, "h"), (60, "min"), (1, "s"))


@app.command(name="list")
def list_runs(
    *,
    status: Annotated[Literal["queued", "running", "done", "failed", "cancelled"] | None, Parameter(help="Only runs in this state")] = None,
    limit: Annotated[int, Parameter(help="Maximum number of runs, newest first; 0: all")] = 50,
    json: Json = False,
) -> int:
    """List runs, newest first."""
    check_home()
    launcher = experiment.launcher()
    seen = [(run, state) for run in store.list_runs() for state in [launcher.refresh(run)] if status in {None, state.status}]
    shown = seen[:limit] if limit > 0 else seen
    if json:
        print_document("runs", {"runs": [_summary(run, state) for run, state in shown]})
    elif shown:
        rows = [(run.id, state.status, run.model, _about(state), _headline(run, state)) for run, state in shown]
        print_table(rows, ("run", "state", "model", "time", "result"), right=(3,), shrink=(4, 2))
    else:
        narrate("no runs yet: start one with `llmopt quantize bundled:base`")
    if len(seen) > len(shown):
        narrate(f"{len(seen) - len(shown)} older runs: --limit 0 lists them all")
    return 0


@app.command(name="show")
def show_run(run_id: Id, /, *, json: Json = False, log: Annotated[bool, Parameter(help="Print log.txt too", negative="")] = False) -> int:
    """Show a run's spec, state and result."""
    run = store.find(run_id)
    state = experiment.launcher().refresh(run)
    if json:
        print_document("run", _summary(run, state) | {"spec": run.document, "result": run.result, "log": run.log() if log else None})
        return 0
    print_facts([(name, value) for name, value in _facts(run, state) if value])
    if run.values:
        print()
        print_facts([(name.replace("_", "-"), _plain(value)) for name, value in run.values.items()])
    if (result := run.typed_result()) is not None:
        from tui.cli.printing.results import print_result

        print()
        print_result(result)
    if log:
        print(f"\n{run.log()}", end="")
    return 0


@app.command(name="follow")
def follow_run(run_id: Id, /, *, json: Json = False) -> int:
    """Follow a run until it ends, then print its result; ctrl+c stops following, not the run."""
    run = store.find(run_id)
    state = follow.until_over(run, experiment.launcher(), cancel_on_interrupt=False)
    return experiment.conclude(run, state, as_json=json)


@app.command(name="cancel")
def cancel_run(
    run_id: Id, /, *, grace: Annotated[float, Parameter(help="Seconds to wait for it to stop by itself")] = GRACE, json: Json = False
) -> int:
    """Cancel a run."""
    run = store.find(run_id)
    state = experiment.launcher().cancel(run, grace)
    return _say(run, state, f"{run.id} {state.status}", as_json=json)


@app.command(name="pause")
def pause_run(run_id: Id, /, *, json: Json = False) -> int:
    """Pause a benchmark: no new requests are sent until `runs resume`; requests in flight are finished."""
    run = store.find(run_id)
    state = pause(run, experiment.launcher())
    return _say(run, state, f"{run.id} is paused: `llmopt runs resume {run.id}` resumes it", as_json=json)


@app.command(name="finish")
def finish_run(run_id: Id, /, *, json: Json = False) -> int:
    """Let a training come to its end early: its best step so far is evaluated and written."""
    run = store.find(run_id)
    state = finish(run, experiment.launcher())
    return _say(run, state, f"{run.id} comes to its end", as_json=json)


@app.command(name="resume")
def resume_run(
    run_id: Id,
    /,
    *,
    detach: Annotated[bool, Parameter(help="Print the run's id and return", negative="", show_default=False)] = False,
    json: Json = False,
) -> int:
    """Resume a paused run, or a cancelled or failed one from its last finished block."""
    run, chosen = store.find(run_id), experiment.launcher()
    if is_paused(run, chosen.refresh(run)):
        return _say(run, go_on(run, chosen), f"{run.id} resumed", as_json=json)
    heard = run.events_file.stat().st_size if run.events_file.exists() else 0
    state = resume(run, chosen)
    return experiment.see_through(run, state, chosen, as_json=json, detach=detach, heard=heard)


@app.command(name="compare")
def compare_two(first: Id, second: Id, /, *more: Id, json: Json = False) -> int:
    """Compare runs: settings that differ, and every figure."""
    comparison = compare_runs([store.find(run_id) for run_id in (first, second, *more)])
    if json:
        print_document("comparison", comparison.to_json())
        return 0
    names = [chr(ord("A") + index % 26) for index in range(len(comparison.ids))]
    print_table([(name, run_id, status) for name, run_id, status in zip(names, comparison.ids, comparison.statuses, strict=True)])
    if comparison.settings:
        print()
        rows = [(setting.name.replace("_", "-"), *(_plain(value) for value in setting.values)) for setting in comparison.settings]
        print_table(rows, ("asked", *names), shrink=range(1, len(names) + 1))
    if comparison.measures:
        print()
        two = len(names) == 2
        errors = {figure(measure.name).error for measure in comparison.measures}
        cells = [
            (measure.title, *(show(measure.name, value) + ("*" if index == measure.best else " ") for index, value in enumerate(measure.values)))
            + ((f"{ratio:.3f}" if (ratio := measure.ratios[1]) is not None else "—",) if two else ())
            for measure in comparison.measures
            if measure.name not in errors
        ]
        print_table(cells, ("measured", *names, *(("B/A",) if two else ())), right=range(1, len(cells[0])))
        narrate("* better than the others by more than noise")
    _print_differences(comparison, names)
    for warning in comparison.warnings:
        narrate(f"note: {warning}")
    return 0


def _print_differences(comparison: Comparison, names: list[str]) -> None:
    """What is more than noise, for runs that keep what they measured one by one."""
    rows = [(f"{name}/{names[0]}", each.name, each.words) for name, found in zip(names[1:], comparison.differences, strict=False) for each in found]
    if rows:
        print()
        print_table(rows, ("", "of the requests", "ratio and interval"), shrink=(2,))


@app.command(name="export")
def export(
    run_id: Id,
    /,
    *more: Id,
    to: Annotated[Format, Parameter(help="Format; samples: the raw values of a benchmark as CSV")] = "json",
    out: Annotated[Path | None, Parameter(help="File to write; default: stdout")] = None,
) -> int:
    """Export a run: settings, figures and their history; html includes charts. Several benchmarks go into one report."""
    runs = [store.find(each) for each in (run_id, *more)]
    for run in runs:
        experiment.launcher().refresh(run)
    text = export_runs(runs, to)
    if out is None:
        print(text, end="")
        return 0
    try:
        write_bytes(out, text.encode())
    except OSError as error:
        raise RunFailed(why(error, out)) from error
    narrate(f"wrote {out}")
    return 0


@app.command(name="rm")
def remove(run_id: Id, /) -> int:
    """Remove a finished run and its artifacts."""
    run = store.find(run_id)
    experiment.launcher().refresh(run)
    store.remove(run)
    print(f"removed {run.id}")
    return 0


def _say(run: Run, state: State, sentence: str, *, as_json: bool) -> int:
    if as_json:
        print_document("run", _summary(run, state))
    else:
        print(sentence)
    return 0


def _summary(run: Run, state: State) -> dict[str, Any]:
    return {
        "run": run.id,
        "capability": run.capability,
        "model": run.model,
        "path": str(run.path),
        "paused": is_paused(run, state),
        "resumable": resumable(run, state),
        "kept_bytes": kept_bytes(run),
        **state.model_dump(mode="json"),
        "metrics": metrics_of(run.result or {}),
    }


def _facts(run: Run, state: State) -> list[tuple[str, str]]:
    progress = state.progress
    return [
        ("run", run.id),
        ("state", f"{state.status}, paused: `llmopt runs resume {run.id}` resumes it" if is_paused(run, state) else state.status),
        ("reason", state.exit_reason or ""),
        ("asked", _when(state.created)),
        ("time", _time(state)),
        ("progress", f"{100 * progress.fraction:.0f} %  {progress.label}" if progress is not None and not state.is_over else ""),
        ("worker", f"pid {state.pid} on {state.host}" if state.status == "running" else ""),
        ("kept", _kept(run, state)),
        ("folder", str(run.path)),
    ]


def _kept(run: Run, state: State) -> str:
    """What a stopped run continues from."""
    found = kept_bytes(run)
    return f"{size(found)} of finished work: `llmopt runs resume {run.id}` continues from there" if found and resumable(run, state) else ""


def _time(state: State) -> str:
    seconds = state.seconds(time.time())
    return "" if seconds is None else duration(seconds)


def _when(stamp: float) -> str:
    return datetime.fromtimestamp(stamp).astimezone().strftime("%Y-%m-%d %H:%M:%S")


def _headline(run: Run, state: State) -> str:
    if state.status == "running" and state.progress is not None:
        return f"{'paused at ' if is_paused(run, state) else ''}{100 * state.progress.fraction:.0f} %"
    if state.status == "failed":
        return state.exit_reason or ""
    result = (run.result or {}) if state.is_over else {}
    metrics = metrics_of(result)
    headline = next((words.format(metrics[name]) for name, words in _HEADLINES if name in metrics), "")
    rows, entries = result.get("rows"), result.get("entries")
    return headline or (f"{len(rows)} rows" if isinstance(rows, list) else f"{len(entries)} targets" if isinstance(entries, list) else "")


def _about(state: State) -> str:
    """How long, in its largest unit."""
    seconds = state.seconds(time.time())
    if seconds is None:
        return ""
    length, unit = next((pair for pair in _UNITS if seconds >= pair[0]), _UNITS[-1])
    return f"{seconds / length:.0f} {unit}"


def _plain(value: Any) -> str:
    return "—" if value is None else str(value)
