"""Bodies of requests, checked: every field that is known, in its range, with one sentence for what is wrong."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from core.errors import RequestError
from core.sanitize import clean
from engines.server.backends.base import Asked, Backend

_MOST_STOPS = 16
_DEFAULT_TOKENS = 16
_MOST_LOGPROBS = 20


@dataclass(frozen=True)
class Request:
    """One checked request."""

    asked: Asked
    stream: bool
    usage: bool
    """Whether a stream ends with its usage."""
    chat: bool
    echo: bool = False
    """Whether the prompt is given back, with its probabilities where those are asked for."""


def chat_request(body: Any, backend: Backend) -> Request:
    """A body of `/v1/chat/completions`.

    Raises:
        RequestError: what is wrong with it.
    """
    fields = _object(body)
    messages = fields.get("messages")
    if not isinstance(messages, list) or not messages:
        raise RequestError("messages must be a list of at least one message")
    checked = [_message(message, number) for number, message in enumerate(messages)]
    limit = _whole(fields, "max_completion_tokens", None, 0) or _whole(fields, "max_tokens", None, 0)
    wanted = _whole(fields, "top_logprobs", 0, 0, _MOST_LOGPROBS) or 0
    logprobs = (wanted or 1) if fields.get("logprobs") is True else 0
    return _request(fields, backend, backend.chat(checked), limit, logprobs, chat=True)


def completion_request(body: Any, backend: Backend) -> Request:
    """A body of `/v1/completions`. Raises RequestError."""
    fields = _object(body)
    prompt = fields.get("prompt")
    if isinstance(prompt, list) and len(prompt) == 1 and isinstance(prompt[0], str):
        prompt = prompt[0]
    if isinstance(prompt, str):
        tokens = backend.encode(prompt)
    elif isinstance(prompt, list) and prompt and all(isinstance(token, int) and not isinstance(token, bool) and token >= 0 for token in prompt):
        tokens = list(prompt)
    else:
        raise RequestError("prompt must be one text, or one list of tokens")
    logprobs = _whole(fields, "logprobs", 0, 0, _MOST_LOGPROBS) or 0
    limit = _whole(fields, "max_tokens", _DEFAULT_TOKENS, 0)
    return _request(fields, backend, tokens, limit, logprobs, chat=False)


def _request(fields: Mapping[str, Any], backend: Backend, tokens: Sequence[int], limit: int | None, logprobs: int, *, chat: bool) -> Request:
    if _whole(fields, "n", 1, 1) != 1 or _whole(fields, "best_of", 1, 1) != 1:
        raise RequestError("this server gives one answer a request: leave out n and best_of")
    echo = fields.get("echo") is True
    if not tokens:
        raise RequestError("the prompt is empty: give at least one token")
    room = backend.context - len(tokens)
    if limit == 0 and not echo:
        raise RequestError("max_tokens = 0 cannot be used: ask for at least one, or for echo")
    if room < 1 or (limit is not None and limit > room):
        raise RequestError(
            f"this model's maximum context length is {backend.context} tokens, and {len(tokens)} in the prompt with "
            f"{limit or 1} of the answer are more: shorten one of them"
        )
    seed = _whole(fields, "seed", None, None)
    asked = Asked(
        tokens,
        room if limit is None else limit,
        temperature=_number(fields, "temperature", 1.0, 0.0, 10.0),
        top_p=_number(fields, "top_p", 1.0, 1e-9, 1.0),
        top_k=max(_whole(fields, "top_k", 0, -1) or 0, 0),
        min_p=_number(fields, "min_p", 0.0, 0.0, 0.999999),
        repetition_penalty=_number(fields, "repetition_penalty", 1.0, 1e-3, 100.0),
        seed=None if seed is None else abs(seed),
        stop=_stops(fields.get("stop")),
        ignore_eos=fields.get("ignore_eos") is True,
        logprobs=logprobs,
    )
    options = fields.get("stream_options")
    usage = isinstance(options, dict) and options.get("include_usage") is True
    return Request(asked, fields.get("stream") is True, usage, chat, echo)


def _object(body: Any) -> Mapping[str, Any]:
    if not isinstance(body, dict):
        raise RequestError("the body must be a JSON object")
    return body


def _message(message: Any, number: int) -> dict[str, str]:
    role = message.get("role") if isinstance(message, dict) else None
    if not isinstance(role, str):
        raise RequestError(f"messages[{number}] has no role")
    content = message.get("content")
    if isinstance(content, list):
        parts = [part.get("text") for part in content if isinstance(part, dict) and part.get("type") == "text"]
        if len(parts) != len(content) or not all(isinstance(part, str) for part in parts):
            raise RequestError(f"messages[{number}] holds what is not text, which this server does not read")
        content = "".join(part for part in parts if part)
    if content is None:
        content = ""
    if not isinstance(content, str):
        raise RequestError(f"messages[{number}].content must be a text")
    return {"role": role, "content": content}


def _stops(value: Any) -> tuple[str, ...]:
    if value is None:
        return ()
    stops = (value,) if isinstance(value, str) else value
    if not isinstance(stops, list | tuple) or not all(isinstance(stop, str) and stop for stop in stops) or len(stops) > _MOST_STOPS:
        raise RequestError(f"stop must be a text, or a list of at most {_MOST_STOPS}")
    return tuple(stops)


def _number(fields: Mapping[str, Any], name: str, default: float, low: float, high: float) -> float:
    value = fields.get(name)
    if value is None:
        return default
    if isinstance(value, bool) or not isinstance(value, int | float) or not low <= value <= high:
        raise RequestError(f"{name} = {clean(repr(value), limit=40)} cannot be used: give a number from {low:g} to {high:g}")
    return float(value)


def _whole(fields: Mapping[str, Any], name: str, default: int | None, low: int | None, high: int | None = None) -> int | None:
    value = fields.get(name)
    if value is None:
        return default
    if isinstance(value, bool) or not isinstance(value, int) or (low is not None and value < low) or (high is not None and value > high):
        bounds = "" if low is None else f" from {low}{'' if high is None else f' to {high}'}"
        raise RequestError(f"{name} = {clean(repr(value), limit=40)} cannot be used: give a whole number{bounds}")
    return value
