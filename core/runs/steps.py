"""Progress as one count over a whole run: parts finished (linears, blocks, training steps), then steps of the evaluation."""

from __future__ import annotations

from core.context import RunContext
from core.runs.resume_store import ResumeStore


class Steps:
    """Reports to a run's context what was done and what comes next.

    Args:
        context: of the run.
        total: steps of the whole run.
        store: blocks that are finished already, and where further ones are kept; default: nothing is kept.
        quiet: for work that is tried out: nothing is reported, and cancelling still works.
    """

    def __init__(self, context: RunContext, total: int, store: ResumeStore | None = None, *, quiet: bool = False) -> None:
        self._context, self._total, self._done, self._quiet = context, total, 0, quiet
        self.store = store or ResumeStore()

    def silent(self) -> Steps:
        """The same run, of which nothing is reported and nothing kept."""
        return Steps(self._context, 1, quiet=True)

    def say(self, label: str) -> None:
        """Name what is being done; nothing more is finished."""
        self._context.check_cancelled()
        if not self._quiet:
            self._context.progress(min(self._done, self._total), self._total, label)

    def step(self, label: str) -> None:
        """One more step is finished; `label` says what comes next."""
        self._done += 1
        self.say(label)

    def skip(self, steps: int) -> None:
        """So many steps need not be done: they count as finished."""
        self._done += steps

    def measured(self, name: str, value: float, step: int, label: str) -> None:
        """A figure that was found; `label` names what it belongs to."""
        if not self._quiet:
            self._context.metric(name, value, step=step, label=label)

    def log(self, text: str) -> None:
        """A line for the user."""
        if not self._quiet:
            self._context.log(text)

    def check_cancelled(self) -> None:
        """Raise `Cancelled` when the user has cancelled the run."""
        self._context.check_cancelled()
