"""The one way in: what the form, the command line and a saved file ask for becomes a run here, or is refused with the same sentence."""

from __future__ import annotations

import contextlib

from core.errors import Cancelled, RequestError
from core.runs.launch.admission import Find, admit
from core.runs.launch.launch import Launcher
from core.runs.state import store
from core.runs.state.store import Run
from core.spec import Spec


def begin(spec: Spec, launcher: Launcher, find: Find | None = None) -> Run:
    """Admit a request, create its run and start it.

    Args:
        spec: the request.
        launcher: brings the run to a machine.
        find: as `admit` takes it.

    Raises:
        RequestError: the request is wrong; no run was created.
        RunFailed: the run's folder cannot be written, or its worker could not be started.
        Cancelled: by ctrl+c while the worker started; so is the run.
    """
    admit(spec, find)
    run = store.create(spec)
    try:
        launcher.start(run)
    except KeyboardInterrupt:
        with contextlib.suppress(RequestError):
            launcher.cancel(run)
        raise Cancelled(f"cancelling run {run.id}, which had just started") from None
    return run
