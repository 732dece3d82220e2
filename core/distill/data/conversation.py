"""A message and a conversation, as files of seeds and training hold them: OpenAI's `messages`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

ROLES = ("system", "user", "assistant")


@dataclass(frozen=True, slots=True)
class Message:
    """One turn."""

    role: str
    """One of `ROLES`."""
    content: str

    def document(self) -> dict[str, str]:
        """As JSON has it."""
        return {"role": self.role, "content": self.content}


Conversation = tuple[Message, ...]


def documents(messages: Sequence[Message]) -> list[dict[str, str]]:
    """As JSON has them."""
    return [message.document() for message in messages]


def conversation_in(found: Any) -> Conversation:
    """The conversation of a JSON value. Raises ValueError: what is wrong with it, as the rest of a sentence that names the place."""
    if not isinstance(found, list) or not found:
        raise ValueError("messages must be a list with at least one message")
    messages = tuple(_message(number, each) for number, each in enumerate(found, 1))
    if any(message.role == "system" for message in messages[1:]):
        raise ValueError("a system message must be the first of messages")
    return messages


def _message(number: int, found: Any) -> Message:
    if not isinstance(found, dict) or found.get("role") not in ROLES:
        raise ValueError(f"message {number} must have a role: system, user or assistant")
    content = found.get("content")
    if not isinstance(content, str) or not (content.strip() or found["role"] == "assistant"):
        raise ValueError(f"message {number} must have a text as its content")
    return Message(found["role"], content)
