"""Training examples on disk: JSONL with OpenAI's `messages`, as transformers and most trainers read it."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from core.distill.data.conversation import Conversation, conversation_in, documents
from core.distill.data.lines import numbered_lines
from core.errors import RequestError
from core.runs.state.files import write_bytes
from core.sanitize import clean

ENDING = ".jsonl"


def write_training(path: Path, conversations: Sequence[Conversation]) -> None:
    """Replace the file by one line per conversation, in one step. Raises OSError: the disk does not take it."""
    lines = (json.dumps({"messages": documents(conversation)}, ensure_ascii=False).encode(errors="replace") for conversation in conversations)
    write_bytes(path, b"".join(line + b"\n" for line in lines))


def read_training(path: Path) -> list[Conversation]:
    """Conversations that end with an assistant's message, in the order of the file; empty lines and other fields are ignored.

    Raises:
        RequestError: the file cannot be read, is empty, or a line does not hold such a conversation; the line is named.
    """
    shown = clean(str(path), limit=200)
    try:
        found = [_conversation(line, f"line {number} of {shown}") for number, line in numbered_lines(path)]
    except UnicodeDecodeError as error:
        raise RequestError(f"{shown} is not UTF-8 text (byte {error.start} of a line): convert it, for example with iconv") from error
    except OSError as error:
        raise RequestError(f"cannot read {shown}: {error.strerror or error}") from error
    if not found:
        raise RequestError(f"{shown} has no conversations: give one JSON object with messages per line")
    return found


def is_held_out(conversation: Conversation, share: float) -> bool:
    """Whether a prompt belongs to the held-out share: by the hash of its messages, so that every run and every sample of it agrees."""
    digest = hashlib.sha256(json.dumps(documents(conversation)).encode()).digest()
    return int.from_bytes(digest[:8], "big") < share * 2**64


def _conversation(line: str, where: str) -> Conversation:
    try:
        found: Any = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise RequestError(f"{where} is not JSON: correct or remove it") from error
    try:
        conversation = conversation_in(found.get("messages") if isinstance(found, dict) else None)
    except ValueError as error:
        raise RequestError(f"{where} does not hold a conversation: {error}") from error
    if conversation[-1].role != "assistant":
        raise RequestError(f"{where} must end with an assistant's message: it has nothing to learn from")
    return conversation
