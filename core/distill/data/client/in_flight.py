"""Several requests in flight, with retries; replies are handed over in groups, in the order in which they come."""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field

from core.distill.data.client.request import Reply, Request, RequestFailed, Send
from core.errors import RunFailed

_FIRST_PAUSE, _LONGEST_PAUSE = 0.5, 60.0
_LOOK_EVERY = 0.2
"""Seconds between two looks whether the user has cancelled."""
_AT_LEAST = 20


@dataclass(frozen=True)
class Patience:
    """How often, and after which pauses, a request is sent again."""

    retries: int = 4
    first_pause: float = _FIRST_PAUSE
    """Seconds before the first retry; doubled for each further one, of which a random half to whole is waited."""

    def pause(self, attempt: int, asked: float | None) -> float:
        """Seconds before the retry after attempt number `attempt`, from 0; a server that asks for more gets it."""
        grown = min(self.first_pause * 2.0**attempt, _LONGEST_PAUSE)
        return max(grown * random.uniform(0.5, 1.0), asked or 0.0)


@dataclass(frozen=True, slots=True)
class Answered:
    """A request with its reply."""

    request: Request
    reply: Reply
    attempts: int


@dataclass
class Totals:
    """What happened so far; counted as it happens."""

    answered: int = 0
    failed: int = 0
    retries: int = 0
    reasons: Counter[str] = field(default_factory=Counter)
    """Of requests that failed for good."""


Keep = Callable[[Sequence[Answered]], None]
"""Stores answers; what it returns from is safe."""


class InFlight:
    """Sends requests, at most `concurrency` at once.

    Args:
        send: one request, once.
        concurrency: requests in flight.
        patience: of each.
        keep: called with every answer, once; several at a time.
        look: called a few times per second; may raise `Cancelled`.
    """

    def __init__(self, send: Send, concurrency: int, patience: Patience, keep: Keep, look: Callable[[Totals], None]) -> None:
        self._send, self._concurrency, self._patience = send, concurrency, patience
        self._keep, self._look = keep, look
        self.totals = Totals()
        self._in_a_row = 0
        """Requests that failed for good since the last answer."""

    async def run(self, requests: Iterable[Request]) -> Totals:
        """Send all.

        Raises:
            RunFailed: the server refuses every request, or is gone; answers until then were kept.
            Cancelled: by `look`; what was in flight is given up, answers until then were kept.
        """
        left = iter(requests)
        running: set[asyncio.Task[Answered]] = set()
        try:
            while True:
                while len(running) < self._concurrency and (request := next(left, None)) is not None:
                    running.add(asyncio.create_task(self._answered(request)))
                if not running:
                    return self.totals
                done, running = await asyncio.wait(running, timeout=_LOOK_EVERY, return_when=asyncio.FIRST_COMPLETED)
                self._take(done)
                self._look(self.totals)
        finally:
            for task in running:
                task.cancel()
            left_over = await asyncio.gather(*running, return_exceptions=True)
            # Paid for already: what came while the end was decided.
            self._store([each for each in left_over if isinstance(each, Answered)])

    def _take(self, done: set[asyncio.Task[Answered]]) -> None:
        errors = [error for task in done if (error := task.exception()) is not None]
        self._store([task.result() for task in done if task.exception() is None])
        for failure in errors:
            if not isinstance(failure, RequestFailed):
                raise failure
            self.totals.failed += 1
            self.totals.reasons[failure.reason] += 1
            self._in_a_row += 1
            if failure.fatal:
                raise RunFailed(f"the server refuses requests: {failure.reason}; answers so far are kept, resume the run when it is mended")
            if self._in_a_row >= max(_AT_LEAST, 2 * self._concurrency):
                raise RunFailed(
                    f"{self._in_a_row} requests in a row failed, the last with: {failure.reason}; answers so far are kept, resume the run when "
                    "the server answers again"
                )

    def _store(self, answers: Sequence[Answered]) -> None:
        if answers:
            self._keep(answers)
            self.totals.answered += len(answers)
            self._in_a_row = 0

    async def _answered(self, request: Request) -> Answered:
        attempt = 0
        while True:
            try:
                return Answered(request, await self._send(request), attempt + 1)
            except RequestFailed as error:
                if not error.again or error.fatal or attempt >= self._patience.retries:
                    raise
                await asyncio.sleep(self._patience.pause(attempt, error.wait))
            attempt += 1
            self.totals.retries += 1
