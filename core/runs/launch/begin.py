"""The one way in: what the form, the command line and a saved file ask for becomes a run here, or is refused with the same sentence."""

from __future__ import annotations

import signal

from core.errors import Cancelled
from core.runs.launch.admission import Find, admit
from core.runs.launch.launch import Launcher, cancel_for_ctrl_c
from core.runs.state import store
from core.runs.state.home import check_home
from core.runs.state.store import Run
from core.spec import Spec


def begin(spec: Spec, launcher: Launcher, find: Find | None = None) -> Run:
    """Admit a request, create its run and start it.

    Args:
        spec: the request.
        launcher: brings the run to a machine.
        find: as `admit` takes it.

    Raises:
        RequestError: the request is wrong, or runs cannot be kept; no run was created.
        RunFailed: the run's folder cannot be written, or its worker could not be started.
        Cancelled: by ctrl+c while the worker started; so is the run.
    """
    check_home()
    admit(spec, find)
    # No ctrl+c between a run that exists and the one place that cancels it.
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        run = store.create(spec)
    except BaseException:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
        raise
    try:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
        launcher.start(run)
        return run
    except KeyboardInterrupt:
        cancel_for_ctrl_c(run, launcher)
        raise Cancelled(f"cancelling run {run.id}, which had just started") from None
