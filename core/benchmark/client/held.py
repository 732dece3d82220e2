"""How much of responses a worker process may hold."""

from __future__ import annotations

from threading import Lock

from core.benchmark.client.outcome import Outcome
from core.measure.units import size

_ONE = 2 << 20
_TOKEN = 16 << 10
_LARGEST = 64 << 20
_TOGETHER = 512 << 20
_SLOT = 2 << 20
_READ = 128
"""Of a read besides its bytes: a server may send them one by one."""

_PIECE = 128
"""Bytes of a piece besides its text, and so many bytes of a text count as one more."""
_PIECES = 4_000_000


class Kept:
    """What the parent process keeps of all answers of a load: room for twice the tokens that were requested, and some more."""

    def __init__(self, requests: int, tokens: int) -> None:
        self._room = _PIECES + 2 * requests * tokens

    def add(self, outcome: Outcome) -> None:
        """Keep an answer; one that finds no room fails, and its pieces are dropped."""
        self._room -= sum(1 + len(piece.text) // _PIECE for piece in outcome.pieces)
        if self._room < 0 and outcome.pieces:
            outcome.pieces.clear()
            if outcome.status == "done":
                outcome.status, outcome.reason = "failed", "the responses of this load are far longer than was requested, and this one was dropped"


class Held:
    """Bytes of the responses that are in flight or on their way to the parent process: an upper bound for each, and one for all together.

    Args:
        slots: requests at once.
        tokens: most tokens that a request asks for.
    """

    def __init__(self, slots: int, tokens: int) -> None:
        self.most_of_one = min(_ONE + tokens * _TOKEN, _LARGEST)
        self._most_of_all = max(_TOGETHER, slots * _SLOT)
        self._tokens = tokens
        self._all = 0
        self._lock = Lock()

    def add(self, before: int, data: bytes) -> int:
        """Bytes that a response holds with another read. Raises ValueError, which says so, where that is too much."""
        cost = len(data) + _READ
        if before + cost > self.most_of_one:
            raise ValueError(f"the response is longer than {size(self.most_of_one)} for {self._tokens} tokens")
        with self._lock:
            if self._all + cost > self._most_of_all:
                raise ValueError(f"the responses in flight exceed {size(self._most_of_all)} together: lower the concurrency or output-tokens")
            self._all += cost
        return before + cost

    def free(self, held: int) -> None:
        """A response is not held any more."""
        with self._lock:
            self._all -= held
