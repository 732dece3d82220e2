"""Answers out of a response's reads: each server's dialect is one function of `DIALECTS`.

What servers really send is survived: an empty first chunk with a role, several tokens in one chunk, a last chunk with nothing but usage, no `[DONE]`,
comments, lines cut across reads, text that is not UTF-8. Thinking text counts as content: it is generated, and waited for.
"""

from __future__ import annotations

import re
from bisect import bisect_left
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import accumulate
from typing import Final

from core.benchmark.client.documents import read_json
from core.benchmark.client.outcome import Piece, Usage
from core.benchmark.client.refusal import error_in
from core.benchmark.client.sse import Read, events
from core.sanitize import clean

_DONE = b"[DONE]"
_FAILED = re.compile(r"error|abort|cancel|time_?out|insufficient_system", re.IGNORECASE)
"""Finish reasons of answers that the server gave up: OpenRouter's `error`, SGLang's `abort`, GLM's `network_error`, DeepSeek's."""
_LARGEST_COUNT = 2**31


@dataclass
class Reply:
    """The answer of one response."""

    pieces: list[Piece] = field(default_factory=list)
    usage: Usage = field(default_factory=Usage)
    finish: str = ""
    heard: bool = False
    """Whether anything came that has the form of an answer."""
    complete: bool = False
    """Whether the server said that this is the end."""
    problem: str = ""
    """What the server, or its format, did wrong; fit to be shown."""

    @property
    def fault(self) -> str:
        """Why this is not a complete answer; "" when it is one."""
        return self.problem or ("" if self.complete else "the response was cut off: it ended without a finish reason or an end mark")


Dialect = Callable[[Sequence[Read]], Reply]


def openai(reads: Sequence[Read]) -> Reply:
    """Server-sent events of `/v1/chat/completions` and `/v1/completions`."""
    reply, summed = Reply(), False
    for event in events(reads):
        if event.data.strip() == _DONE:
            reply.complete = True
            break
        message = _message(event.data, reply)
        if message is None:
            break
        choices = message.get("choices")
        choices = [choice for choice in choices if isinstance(choice, dict)] if isinstance(choices, list) else []
        if error := _error(message, anywhere=event.kind == "error" or not (choices or message.get("usage"))):
            reply.problem = error
            break
        reply.heard = reply.heard or bool(choices)
        for place in (message, message.get("x_groq"), *choices):
            _take_usage(place.get("usage") if isinstance(place, dict) else None, reply)
        if reply.usage.completion is None:
            _take_timings(message.get("timings"), reply)
        for choice in choices:
            _take_choice(event.t, choice, reply)
        # A last chunk of nothing but usage comes when everything was generated.
        summed = not choices and reply.usage.completion is not None
    if reply.complete and not reply.heard:
        reply.problem = reply.problem or "the response was empty: an end mark and no answer before it"
    reply.complete = reply.complete or bool(reply.finish) or (summed and bool(reply.pieces))
    return reply


def _take_choice(t: int, choice: Mapping[str, object], reply: Reply) -> None:
    delta = choice.get("delta")
    delta = delta if isinstance(delta, dict) else {}
    parts = (delta.get("reasoning_content") or delta.get("reasoning"), delta.get("content"), choice.get("text"))
    text = "".join(part for part in parts if isinstance(part, str))
    calls = delta.get("tool_calls")
    for call in calls if isinstance(calls, list) else ():
        function = call.get("function") if isinstance(call, dict) else None
        if isinstance(function, dict):
            text += "".join(part for part in (function.get("name"), function.get("arguments")) if isinstance(part, str))
    if text:
        ids = choice.get("token_ids")
        reply.pieces.append(Piece(t, text, len(ids) if isinstance(ids, list) else None))
    finish = choice.get("finish_reason")
    if isinstance(finish, str) and finish not in ("", "null"):
        reply.finish = clean(finish, limit=40)
    if error := _error(choice):
        reply.problem = reply.problem or error
    elif _FAILED.search(reply.finish):
        reply.problem = reply.problem or f"the server gave up the response: finish reason {reply.finish}"


def _take_timings(timings: object, reply: Reply) -> None:
    """What llama.cpp's server counted, where it reports no usage."""
    if isinstance(timings, dict) and (generated := _count(timings.get("predicted_n"))) is not None:
        reply.usage = Usage(reply.usage.prompt, generated, reply.usage.cached)


def _take_usage(usage: object, reply: Reply) -> None:
    """From wherever it is: next to the choices, within one (Moonshot), or in a part of its own (Groq)."""
    if not isinstance(usage, dict):
        return
    details = usage.get("prompt_tokens_details")
    reply.usage = Usage(
        _count(usage.get("prompt_tokens")),
        _count(usage.get("completion_tokens")),
        _count(details.get("cached_tokens")) if isinstance(details, dict) else None,
    )


def tgi(reads: Sequence[Read]) -> Reply:
    """Server-sent events of Text Generation Inference's `/generate_stream`: one token an event."""
    reply = Reply()
    for event in events(reads):
        message = _message(event.data, reply)
        if message is None:
            break
        if error := _error(message, anywhere=event.kind == "error" or "token" not in message):
            reply.problem = error
            break
        token = message.get("token")
        reply.heard = reply.heard or isinstance(token, dict)
        if isinstance(token, dict) and isinstance(token.get("text"), str) and token["text"] and not token.get("special"):
            reply.pieces.append(Piece(event.t, token["text"], 1))
        details = message.get("details")
        if isinstance(details, dict):
            reply.usage = Usage(_count(details.get("input_length")), _count(details.get("generated_tokens")))
            reply.finish = clean(str(details.get("finish_reason") or ""), limit=40)
        reply.complete = reply.complete or bool(reply.finish) or isinstance(message.get("generated_text"), str)
    return reply


def ollama(reads: Sequence[Read]) -> Reply:
    """Lines of JSON of Ollama's `/api/generate` and `/api/chat`."""
    reply = Reply()
    for t, line in _lines(reads):
        message = _message(line, reply)
        if message is None:
            break
        if error := _error(message):
            reply.problem = error
            break
        chat = message.get("message")
        reply.heard = reply.heard or "done" in message
        parts = [message.get("thinking"), message.get("response")]
        parts += [chat.get("thinking"), chat.get("content")] if isinstance(chat, dict) else []
        if text := "".join(part for part in parts if isinstance(part, str)):
            reply.pieces.append(Piece(t, text))
        if message.get("done") is True:
            reply.complete = True
            reply.finish = clean(str(message.get("done_reason") or "stop"), limit=40)
            reply.usage = Usage(_count(message.get("prompt_eval_count")), _count(message.get("eval_count")))
    return reply


def calibrated(reads: Sequence[Read]) -> Reply:
    """Of `core.benchmark.calibrate.server`: the text of a piece is the moment at which the server wrote it, in nanoseconds of the monotonic clock."""
    reply = Reply()
    for event in events(reads):
        message = _message(event.data, reply) if event.data.strip() != _DONE else None
        if message is None:
            break
        if isinstance(stamp := message.get("t"), int):
            reply.pieces.append(Piece(event.t, str(stamp), 1))
        _take_usage(message.get("usage"), reply)
    reply.complete = reply.usage.completion == len(reply.pieces)
    return reply


DIALECTS: Final[Mapping[str, Dialect]] = {"openai": openai, "tgi": tgi, "ollama": ollama, "calibrated": calibrated}


def _message(data: bytes, reply: Reply) -> dict[str, object] | None:
    """The JSON object of an event; None, with the problem noted, when it is none."""
    if not data.strip():
        return {}
    try:
        message = read_json(data.decode())
    except UnicodeDecodeError:
        reply.problem = "the server sent text that is not UTF-8"
        return None
    except (ValueError, RecursionError):
        reply.problem = f"the server sent invalid JSON: {clean(data[:4096].decode(errors='replace'), limit=80)}"
        return None
    if not isinstance(message, dict):
        reply.problem = "the server sent JSON that is not an object"
        return None
    return message


def _error(message: Mapping[str, object], *, anywhere: bool = False) -> str:
    """What a message says went wrong; with `anywhere`, as it holds no part of an answer, under any key that servers report errors by."""
    found = error_in(message, anywhere=anywhere)
    return f"the server ended the stream: {clean(found, limit=200)}" if found else ""


def _count(value: object) -> int | None:
    """A number of tokens; None for what cannot be one."""
    return value if isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= _LARGEST_COUNT else None


def _lines(reads: Sequence[Read]) -> list[tuple[int, bytes]]:
    """Each line that is not empty, with the time of the read that completed it."""
    body = b"".join(data for _, data in reads)
    ends = list(accumulate(len(data) for _, data in reads))
    found, first = [], 0
    for line in body.split(b"\n"):
        last = min(first + len(line) + 1, len(body))
        if line.strip():
            found.append((reads[bisect_left(ends, last)][0], line))
        first += len(line) + 1
    return found
