"""The teacher's answers on their way to the disk: kept, counted, reported."""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from core.context import RunContext
from core.distill.data.answers import AnswerFile
from core.distill.data.client.in_flight import Answered, Totals
from core.distill.data.client.request import Reply
from core.distill.data.events import AnswersSoFar
from core.distill.data.spec import DistillDataSpec

_REPORT_EVERY = 1.0


@dataclass
class Spent:
    """Tokens of answers, as far as the server counts them."""

    prompt: int = 0
    completion: int = 0
    uncounted: int = 0
    """Answers without a count."""

    def add(self, replies: Iterable[Reply]) -> None:
        """Count further answers."""
        for reply in replies:
            self.prompt += reply.prompt_tokens or 0
            self.completion += reply.completion_tokens or 0
            self.uncounted += reply.completion_tokens is None

    def cost(self, price_in: float | None, price_out: float | None) -> float | None:
        """In the currency of prices per million tokens; None without prices."""
        return None if price_in is None or price_out is None else (self.prompt * price_in + self.completion * price_out) / 1e6


class Asking:
    """Keeps answers as they come, and reports how far they are.

    Args:
        context: of the run.
        file: open, takes the answers.
        keys: of all requests of the run, answered or not.
        spec: of the run.
    """

    def __init__(self, context: RunContext, file: AnswerFile, keys: Sequence[str], spec: DistillDataSpec) -> None:
        self._context, self._file, self._spec = context, file, spec
        self._requests = len(keys)
        earlier = [file.found[key] for key in keys if key in file.found]
        self.reused = self.kept = len(earlier)
        """`kept`: answers to the requests of the run that are on the disk."""
        self.earlier_retries = sum(answer.attempts - 1 for answer in earlier)
        self.spent = Spent()
        self.spent.add(answer.reply for answer in earlier)
        self._began = self._reported = time.monotonic()

    @property
    def seconds(self) -> float:
        """From the first to the last report."""
        return max(self._reported - self._began, 1e-9)

    def keep(self, answers: Sequence[Answered]) -> None:
        """Write answers; they are on the disk when this returns. Raises RunFailed: the disk does not take them."""
        self._file.add(answers)
        self.kept += len(answers)
        self.spent.add(each.reply for each in answers)

    def look(self, totals: Totals) -> None:
        """Report once per second. Raises Cancelled: the user cancelled the run."""
        self._context.check_cancelled()
        if time.monotonic() - self._reported >= _REPORT_EVERY:
            self.report(totals)

    def report(self, totals: Totals) -> None:
        """Progress in words and counts."""
        self._reported = time.monotonic()
        pace = totals.answered / self.seconds
        words = f"{self.kept} of {self._requests} answers"
        if totals.failed:
            words += f", {totals.failed} failed"
        if totals.answered:
            words += f", {pace:.1f} per second"
        self._context.progress(self.kept, self._requests + 1, words)
        self._context.detail(
            AnswersSoFar(
                answered=totals.answered,
                reused=self.reused,
                failed=totals.failed,
                retries=totals.retries,
                requests=self._requests,
                completion_tokens=self.spent.completion,
                answers_per_second=pace,
                cost=self.spent.cost(self._spec.price_in, self._spec.price_out),
            )
        )
