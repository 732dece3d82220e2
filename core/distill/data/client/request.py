"""One request to a teacher, its reply, and the narrow way between them."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from core.distill.data.conversation import Conversation, documents


@dataclass(frozen=True, slots=True)
class Request:
    """What is asked of a teacher."""

    model: str
    """Name that the server knows it by."""
    messages: Conversation
    max_tokens: int
    temperature: float
    top_p: float
    sample: int = 0
    """Which of several samples of the same prompt, from 0."""
    seed: int | None = None
    """Sent where the server accepts it; None: not sent."""

    @property
    def key(self) -> str:
        """Hex SHA-256 of everything that the reply depends on; the address is not part of it, so that a server may move."""
        content = {
            "model": self.model,
            "messages": documents(self.messages),
            "max_tokens": self.max_tokens,
            "temperature": self.temperature,
            "top_p": self.top_p,
            "sample": self.sample,
            "seed": self.seed,
        }
        return hashlib.sha256(json.dumps(content, ensure_ascii=True, sort_keys=True, separators=(",", ":")).encode()).hexdigest()


@dataclass(frozen=True, slots=True)
class Reply:
    """What a teacher answered."""

    text: str
    finish: str = ""
    """Why it ended, as the server calls it: `stop`, `length`; empty where it does not say."""
    prompt_tokens: int | None = None
    completion_tokens: int | None = None
    """Of thinking and answer together; None where the server does not count."""


class RequestFailed(Exception):
    """No reply to one request: one sentence, safe to show."""

    def __init__(self, reason: str, *, again: bool = True, wait: float | None = None, fatal: bool = False) -> None:
        super().__init__(reason)
        self.reason = reason
        self.again = again
        """Whether the same request may succeed later."""
        self.wait = wait
        """Seconds that the server asks to wait; None: it does not say."""
        self.fatal = fatal
        """Whether every other request would fail too: a refused key, an unknown model."""


Send = Callable[[Request], Awaitable[Reply]]
"""Sends one request, once. Raises RequestFailed."""
