"""What became of one request."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

Status = Literal["done", "failed", "timed_out", "unsent", "cancelled"]


@dataclass(frozen=True, slots=True)
class Piece:
    """Part of an answer as it arrived. One piece may hold several tokens, or a part of one."""

    t: int
    """Nanoseconds of the monotonic clock."""
    text: str
    tokens: int | None = None
    """How many tokens it holds, where the server says so."""


@dataclass(frozen=True, slots=True)
class Usage:
    """What the server counted; None where it said nothing."""

    prompt: int | None = None
    completion: int | None = None
    cached: int | None = None
    """Of the prompt's tokens, those found in a prefix cache."""


@dataclass(slots=True)
class Outcome:
    """One request from the moment it was due. Times are nanoseconds of the monotonic clock; None where it never came so far."""

    index: int
    status: Status
    due: int
    """When the schedule wanted it sent."""
    free: int | None = None
    """When there was a free slot for it: before this it waited in the client."""
    sent: int | None = None
    """When the request was written to a connection."""
    ended: int | None = None
    pieces: list[Piece] = field(default_factory=list)
    """Those with content."""
    usage: Usage = field(default_factory=Usage)
    counted: int | None = None
    """Tokens of the answer by the model's own tokenizer, where the server gave no usage."""
    finish: str = ""
    http: int | None = None
    reason: str = ""
    """What went wrong, fit to be shown."""
    retries: int = 0
    connected: bool = False
    """Whether a connection was opened for it; False: one was used again."""

    @property
    def tokens(self) -> int | None:
        """Tokens of the answer: as the server counted, else by the tokenizer."""
        return self.counted if self.usage.completion is None else self.usage.completion

    @property
    def text(self) -> str:
        """The answer."""
        return "".join(piece.text for piece in self.pieces)
