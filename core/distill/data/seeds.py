"""Seed tasks: a JSONL file of prompts or conversations, in any language."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from core.distill.data.conversation import Conversation, Message, conversation_in
from core.distill.data.lines import numbered_lines
from core.errors import RequestError
from core.sanitize import clean

_LARGEST_LINE = 4 << 20
_NAMED = 5
"""Bad lines that a refusal names."""


def read_seeds(path: Path, system: str | None = None, limit: int | None = None) -> list[Conversation]:
    """Conversations that end with a user's message, in the order of the file.

    A line is a JSON object with `prompt` (a text) or `messages` (OpenAI's), and perhaps `system`. Other fields are ignored, empty lines too.

    Args:
        path: of a UTF-8 file, with or without a byte order mark.
        system: message for lines without one of their own.
        limit: of lines with something in them that are read; None: all.

    Raises:
        RequestError: the file cannot be read, has no seeds, or lines of it are none; the first bad lines are named with their numbers.
    """
    shown = clean(str(path), limit=200)
    seeds: list[Conversation] = []
    bad: list[str] = []
    try:
        for number, line in numbered_lines(path):
            if limit is not None and len(seeds) + len(bad) >= limit:
                break
            try:
                seeds.append(_seed(line, system))
            except ValueError as error:
                bad.append(f"line {number}: {error}")
    except UnicodeDecodeError as error:
        raise RequestError(f"{shown} is not UTF-8 text (byte {error.start} of a line): convert it, for example with iconv") from error
    except OSError as error:
        raise RequestError(f"cannot read the seeds {shown}: {error.strerror or error}") from error
    except ValueError as error:
        raise RequestError(f"cannot read the seeds {shown}: {clean(str(error), limit=120)}") from error
    if bad:
        more = f"; and {len(bad) - _NAMED} more lines" if len(bad) > _NAMED else ""
        raise RequestError(f"{shown} has lines that are not seeds: {'; '.join(bad[:_NAMED])}{more}: correct or remove them")
    if not seeds:
        raise RequestError(f"{shown} has no seeds: give one JSON object with prompt or messages per line")
    return seeds


def _seed(line: str, system: str | None) -> Conversation:
    """Raises ValueError: what is wrong with the line."""
    if len(line) > _LARGEST_LINE:
        raise ValueError(f"it has more than {_LARGEST_LINE >> 20} Mi characters")
    try:
        found: Any = json.loads(line)
    except json.JSONDecodeError as error:
        raise ValueError(f"it is not JSON ({error.msg.lower()}, column {error.colno})") from error
    except RecursionError as error:
        raise ValueError("it is nested too deeply") from error
    if not isinstance(found, dict):
        raise ValueError("it is not a JSON object")
    given, messages = found.get("prompt"), found.get("messages")
    if (given is None) == (messages is None):
        raise ValueError("it must have either prompt or messages")
    if given is not None and not (isinstance(given, str) and given.strip()):
        raise ValueError("prompt must be a text that is not empty")
    conversation = (Message("user", given),) if given is not None else conversation_in(messages)
    if conversation[-1].role != "user":
        raise ValueError("messages must end with a user's message")
    own = found.get("system", system)
    if own is not None and not isinstance(own, str):
        raise ValueError("system must be a text")
    if own and conversation[0].role != "system":
        conversation = (Message("system", own), *conversation)
    # A lone surrogate, which JSON may spell as an escape, can be neither sent nor stored.
    if any(_surrogates(message.content) for message in conversation):
        raise ValueError("it has half a surrogate pair, which is not text")
    return conversation


def _surrogates(text: str) -> bool:
    return any("\ud800" <= character <= "\udfff" for character in text)
