"""Progress of a run of many short steps, reported no more often than anybody can read."""

from __future__ import annotations

import math
import time

from core.context import RunContext

_EVERY = 0.2
_POINTS = 48


class Steps:
    """Counts forward passes, `total` of the whole run; each one honours a request to stop."""

    def __init__(self, context: RunContext, total: int) -> None:
        self.context = context
        self._done, self._total = 0, total
        self._label, self._reported = "", 0.0

    def expect(self, total: int) -> None:
        """There will be so many passes."""
        self._total = total

    def begin(self, label: str) -> None:
        """Say what comes next."""
        self._label, self._reported = label, 0.0
        self.step(0)

    def step(self, count: int = 1) -> None:
        """`count` passes are done. Raises `core.errors.Cancelled` when the user has cancelled the run."""
        self.context.check_cancelled()
        self._done = min(self._done + count, self._total)
        if time.monotonic() - self._reported >= _EVERY:
            self._reported = time.monotonic()
            self.context.progress(self._done, self._total, self._label)

    def curve(self, label: str, scored: int) -> Curve:
        """The running perplexity of a scheme over batches of windows with so many scored tokens each."""
        return Curve(self, label, scored)


class Curve:
    """Tells the perplexity of all tokens so far at some points of each batch; `step` is their number."""

    def __init__(self, steps: Steps, label: str, scored: int) -> None:
        self._steps, self._label, self._scored = steps, label, scored
        self._every = max(scored // _POINTS, 1)
        self._rows, self._tokens, self._nll = 0, 0, 0.0

    def batch(self, rows: int) -> Curve:
        """A batch of so many windows begins."""
        self._rows = rows
        return self

    def __call__(self, done: int, nll: float) -> None:
        """After each target of every window: targets done and their mean negative log-likelihood, of this batch."""
        self._steps.step()
        tokens = self._tokens + done * self._rows
        summed = self._nll + nll * done * self._rows
        if done % self._every == 0 or done == self._scored:
            self._steps.context.metric("ppl", math.exp(min(summed / tokens, 700.0)), step=tokens, label=self._label)
        if done == self._scored:
            self._tokens, self._nll = tokens, summed
