"""A chat completion out of its server-sent events, or out of one JSON document from servers that do not stream."""

from __future__ import annotations

import json
import re
from typing import Any

from core.distill.data.client.request import Reply, RequestFailed
from core.sanitize import clean

_GIVEN_UP = re.compile(r"error|abort|cancel|time_?out|insufficient_system", re.IGNORECASE)
"""Finish reasons of answers that the server gave up."""
_SHOWN = 200


class Completion:
    """Takes the events of one reply in their order."""

    def __init__(self) -> None:
        self._texts: list[str] = []
        self._finish = ""
        self._prompt: int | None = None
        self._generated: int | None = None
        self._ended = False
        self._rest = b""

    def feed(self, data: bytes) -> bool:
        """Take bytes as they come; whether the end mark was among them. Raises RequestFailed: the server sent something else than a reply."""
        *lines, self._rest = (self._rest + data).split(b"\n")
        for line in lines:
            self._line(line.rstrip(b"\r"))
        return self._ended

    def reply(self) -> Reply:
        """The whole reply. Raises RequestFailed: it was cut off."""
        if self._rest:
            self._line(self._rest.rstrip(b"\r"))
            self._rest = b""
        if not self._ended and not self._finish:
            raise RequestFailed("the response was cut off: it ended without a finish reason or an end mark")
        if _GIVEN_UP.search(self._finish):
            raise RequestFailed(f"the server gave up the response: finish reason {self._finish}")
        # JSON may spell half a surrogate pair, which no file takes.
        text = "".join(self._texts).encode("utf-16", "surrogatepass").decode("utf-16", "replace")
        return Reply(text, self._finish, self._prompt, self._generated)

    def document(self, body: bytes) -> Reply:
        """The reply in one JSON document. Raises RequestFailed: it is none."""
        self._take(body)
        if not self._finish and not self._texts:
            raise RequestFailed("the server answered with JSON that holds no choice: check the address", again=False)
        self._ended = True
        return self.reply()

    def _line(self, line: bytes) -> None:
        if self._ended or not line.startswith(b"data:"):
            return
        data = line[5:].strip()
        if data == b"[DONE]":
            self._ended = True
        elif data:
            self._take(data)

    def _take(self, data: bytes) -> None:
        try:
            found: Any = json.loads(data.decode())
        except UnicodeDecodeError as error:
            raise RequestFailed("the server sent text that is not UTF-8") from error
        except (ValueError, RecursionError) as error:
            raise RequestFailed(f"the server sent invalid JSON: {clean(data[:4096].decode(errors='replace'), limit=80)}") from error
        if not isinstance(found, dict):
            raise RequestFailed("the server sent JSON that is not an object")
        if error_text := error_in(found):
            raise RequestFailed(f"the server ended the stream: {error_text}")
        usage = found.get("usage")
        if isinstance(usage, dict):
            self._prompt, self._generated = _count(usage.get("prompt_tokens")), _count(usage.get("completion_tokens"))
        choices = found.get("choices")
        for choice in choices if isinstance(choices, list) else ():
            if isinstance(choice, dict):
                self._choice(choice)

    def _choice(self, choice: dict[str, Any]) -> None:
        part = choice.get("delta") if isinstance(choice.get("delta"), dict) else choice.get("message")
        text = part.get("content") if isinstance(part, dict) else choice.get("text")
        if isinstance(text, str):
            self._texts.append(text)
        finish = choice.get("finish_reason")
        if isinstance(finish, str) and finish not in ("", "null"):
            self._finish = clean(finish, limit=40)


def error_in(document: Any) -> str:
    """What a JSON document says went wrong, safe to show; "" where it reports no error."""
    if not isinstance(document, dict) or not (found := document.get("error") or document.get("errors")):
        return ""
    if isinstance(found, dict):
        found = found.get("message") or found.get("detail") or json.dumps(found)
    return clean(str(found), limit=_SHOWN)


def _count(value: Any) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 2**31 else None
