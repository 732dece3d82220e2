"""`llmopt serve ENGINE MODEL`: start a server, print the exact command, wait until it answers. It keeps running when this command ends."""

from __future__ import annotations

import inspect
import time
from typing import Any

from core.benchmark.serve.events import ReadyEvent
from core.engine import ServeSpec, names
from core.errors import RequestError
from core.runs.launch.begin import begin
from core.runs.launch.launch import Launcher
from core.runs.state.events import Detail, Log
from core.runs.state.store import Run
from tui.cli.experiment import conclude, launcher
from tui.cli.follow import cancel
from tui.cli.options import build_spec, from_spec
from tui.cli.printing.output import narrate, print_document, print_facts

_LOOK = 0.1


def _serve(engine: str | None, model: str | None, **given: Any) -> int:
    as_json, detach, saved_file = bool(given.pop("json", False)), bool(given.pop("detach", False)), given.pop("spec", None)
    if saved_file is None and (engine is None or model is None):
        raise RequestError(f"give an ENGINE and a MODEL, for example `llmopt serve runtime bundled:base`; engines: {', '.join(names())}")
    spec = build_spec(ServeSpec, model, given | ({} if engine is None else {"engine": engine}), saved_file)
    chosen = launcher()
    run = begin(spec, chosen)
    try:
        return _see_ready(run, chosen, as_json=as_json, detach=detach)
    except KeyboardInterrupt:
        return conclude(run, cancel(run, chosen), as_json=as_json)


def _see_ready(run: Run, chosen: Launcher, *, as_json: bool, detach: bool) -> int:
    """Wait until the server answers, unless detached, and print where; returns the exit code."""
    if detach:
        print_document("run", {"run": run.id, "path": str(run.path), "status": run.state.status}) if as_json else print(run.id)
        return 0
    ready = _wait(run, chosen)
    if ready is None:
        return conclude(run, chosen.refresh(run), as_json=as_json)
    if as_json:
        print_document("serve", {"run": run.id} | ready.data())
        return 0
    print_facts([("url", ready.url), ("model", ready.model), ("engine", f"{ready.engine} {ready.version}"), ("run", run.id)])
    narrate(f"the server keeps running; `llmopt runs cancel {run.id}` stops it")
    return 0


def _wait(run: Run, chosen: Launcher) -> ReadyEvent | None:
    """Tell what the run says until its server answers; None when the run is over without."""
    offset = 0
    while True:
        state = chosen.refresh(run)
        events, offset = run.new_events(offset)
        for event in events:
            if isinstance(event, Log):
                narrate(event.text)
            elif isinstance(event, Detail) and event.kind == ReadyEvent.kind and (ready := ReadyEvent.parse(event.data)) is not None:
                return ready
        if state.is_over:
            return None
        time.sleep(_LOOK)


def _command() -> Any:
    made = from_spec(
        lambda model, **given: _serve(given.pop("engine", None), model, **given),
        ServeSpec,
        "Start a server, print the exact command and wait until it answers; the server keeps running.",
    )
    signature = inspect.signature(made)
    parameters = dict(signature.parameters)
    engine = parameters.pop("engine").replace(kind=inspect.Parameter.POSITIONAL_OR_KEYWORD, default=None)

    def serve(engine: str | None = None, model: str | None = None, **given: Any) -> int:
        return _serve(engine, model, **given)

    serve.__signature__ = signature.replace(parameters=[engine, *parameters.values()])  # type: ignore[attr-defined]
    serve.__doc__ = made.__doc__
    return serve


serve = _command()
