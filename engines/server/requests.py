"""Bodies of requests, checked: every field that is known, in its range, with one sentence for what is wrong."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from core.errors import RequestError
from core.sanitize import clean
from engines.server.backends.base import Backend, GenerationRequest

_MOST_STOPS = 16
_DEFAULT_TOKENS = 16
_MOST_LOGPROBS = 20
_SEEDS = 2**63
_COLDEST = 1e-5
"""Below this the likeliest token is taken, as vLLM does: logits divided by less overflow."""
_TOKEN = 8
"""Characters of a text that are looked at for each token of the context."""
_MARGIN = 64
"""Tokens by which the beginning of a text may be cut otherwise than within it."""


class Refused(RequestError):
    """A request that cannot be answered: which field is wrong, and OpenAI's word for it where it has one."""

    def __init__(self, sentence: str, param: str | None = None, code: str | None = None) -> None:
        super().__init__(sentence)
        self.param, self.code = param, code


@dataclass(frozen=True)
class Request:
    """One checked request."""

    asked: GenerationRequest
    stream: bool
    usage: bool
    """Whether a stream ends with its usage."""
    chat: bool
    echo: bool = False
    """Whether the prompt is given back, with its probabilities where those are asked for."""
    top: int = 0
    """How many alternatives of each token are reported where probabilities are asked for."""


def chat_request(body: Any, backend: Backend) -> Request:
    """A body of `/v1/chat/completions`. Raises RequestError: what is wrong with it."""
    fields = _object(body)
    messages = fields.get("messages")
    if not isinstance(messages, list) or not messages:
        raise Refused("messages must be a list of at least one message", "messages")
    checked = [_message(message, number) for number, message in enumerate(messages)]
    _check_length("".join(message["content"] for message in checked), backend, "messages")
    limit = _whole(fields, "max_completion_tokens", None, 0) or _whole(fields, "max_tokens", None, 0)
    top = _whole(fields, "top_logprobs", 0, 0, _MOST_LOGPROBS) or 0
    return _request(fields, backend, backend.chat(checked), limit, top if _flag(fields, "logprobs") else None, chat=True)


def completion_request(body: Any, backend: Backend) -> Request:
    """A body of `/v1/completions`. Raises RequestError."""
    fields = _object(body)
    prompt = fields.get("prompt")
    if isinstance(prompt, list) and len(prompt) == 1 and isinstance(prompt[0], str | list):
        prompt = prompt[0]
    if isinstance(prompt, str):
        _check_length(prompt, backend, "prompt")
        tokens = backend.encode(prompt)
    elif isinstance(prompt, list) and prompt and all(isinstance(token, int) and not isinstance(token, bool) for token in prompt):
        if not 0 <= min(prompt) <= max(prompt) < backend.vocabulary:
            raise Refused(
                f"the prompt has a token outside the vocabulary of {backend.vocabulary}: tokens are 0 to {backend.vocabulary - 1}", "prompt"
            )
        tokens = list(prompt)
    else:
        raise Refused("prompt must be one string, or one list of tokens", "prompt")
    limit = _whole(fields, "max_tokens", _DEFAULT_TOKENS, 0)
    return _request(fields, backend, tokens, limit, _whole(fields, "logprobs", None, 0, _MOST_LOGPROBS), chat=False)


def _request(fields: Mapping[str, Any], backend: Backend, tokens: Sequence[int], limit: int | None, top: int | None, *, chat: bool) -> Request:
    _known(fields)
    if _whole(fields, "n", 1, 1) != 1 or _whole(fields, "best_of", 1, 1) != 1:
        raise Refused("this server returns one completion per request: omit n and best_of", "n")
    echo, ignore_eos = _flag(fields, "echo"), _flag(fields, "ignore_eos")
    if _whole(fields, "min_tokens", 0, 0) and not ignore_eos:
        raise Refused("this server supports min_tokens only with ignore_eos: omit it", "min_tokens")
    if not tokens:
        raise Refused("the prompt is empty: give at least one token", "messages" if chat else "prompt")
    room = backend.context - len(tokens)
    if limit == 0 and not echo:
        raise Refused("max_tokens = 0 is invalid: request at least one, or echo", "max_tokens")
    if room < 1 or (limit is not None and limit > room):
        raise _too_long(backend, f"{len(tokens)}", f"{limit or 1}", "messages" if chat else "prompt")
    seed = _whole(fields, "seed", None, -_SEEDS, _SEEDS - 1)
    temperature = _number(fields, "temperature", 1.0, 0.0, 10.0)
    asked = GenerationRequest(
        tokens,
        room if limit is None else limit,
        temperature=temperature if temperature >= _COLDEST else 0.0,
        top_p=_number(fields, "top_p", 1.0, 1e-9, 1.0),
        top_k=min(max(_whole(fields, "top_k", 0, -1) or 0, 0), backend.vocabulary),
        min_p=_number(fields, "min_p", 0.0, 0.0, 0.999999),
        repetition_penalty=_number(fields, "repetition_penalty", 1.0, 1e-3, 100.0),
        seed=None if seed is None else abs(seed),
        stop=_stops(fields.get("stop")),
        ignore_eos=ignore_eos,
        logprobs=0 if top is None else max(top, 1),
    )
    options = fields.get("stream_options")
    if not isinstance(options, dict | None):
        raise Refused("stream_options must be an object", "stream_options")
    return Request(asked, _flag(fields, "stream"), _flag(options or {}, "include_usage"), chat, echo, top or 0)


def _check_length(text: str, backend: Backend, param: str) -> None:
    """Raises Refused where the beginning of a text fills the context already, so that a long one is not tokenized to its end."""
    if len(text) <= backend.context * _TOKEN:
        return
    count = len(backend.encode(text[: backend.context * _TOKEN], special=False))
    if count > backend.context + _MARGIN:
        raise _too_long(backend, f"more than {backend.context}", "1", param)


def _too_long(backend: Backend, prompt: str, answer: str, param: str) -> Refused:
    return Refused(
        f"this model's maximum context length is {backend.context} tokens, and {prompt} in the prompt with "
        f"{clean(answer, limit=40)} of the answer are more: shorten one of them",
        param,
        "context_length_exceeded",
    )


def _known(fields: Mapping[str, Any]) -> None:
    """What would change the answer and is not known here is refused, never silently left out."""
    for name, means_nothing in _NOT_KNOWN.items():
        if (value := fields.get(name)) is not None and not means_nothing(value):
            raise Refused(f"this server does not support {name}: omit it", name)


def _empty(value: Any) -> bool:
    return value in (0, "", [], {}) and value is not True


def _equals(expected: Any) -> Callable[[Any], bool]:
    return lambda value: type(value) is type(expected) and value == expected


_EMPTY_ONLY = (
    *("tools", "functions", "logit_bias", "frequency_penalty", "presence_penalty", "suffix", "audio", "web_search_options"),
    *(
        "stop_token_ids",
        "allowed_token_ids",
        "bad_words",
        "prompt_logprobs",
        "chat_template",
        "chat_template_kwargs",
        "documents",
        "structured_outputs",
    ),
    *("guided_json", "guided_regex", "guided_choice", "guided_grammar", "truncate_prompt_tokens", "logits_processors", "prediction"),
)
_NOT_KNOWN: Mapping[str, Callable[[Any], bool]] = {
    **dict.fromkeys(_EMPTY_ONLY, _empty),
    **dict.fromkeys(("skip_special_tokens", "add_generation_prompt"), _equals(True)),
    **dict.fromkeys(("continue_final_message", "include_stop_str_in_output", "use_beam_search"), _equals(False)),
    "response_format": _equals({"type": "text"}),
    "modalities": _equals(["text"]),
}
"""Fields of OpenAI's and vLLM's that this server has no part for, and the values that ask for nothing."""


def _object(body: Any) -> Mapping[str, Any]:
    if not isinstance(body, dict):
        raise RequestError("the body must be a JSON object")
    return body


def _message(message: Any, number: int) -> dict[str, str]:
    role = message.get("role") if isinstance(message, dict) else None
    if not isinstance(role, str):
        raise Refused(f"messages[{number}] has no role", f"messages[{number}].role")
    if message.get("tool_calls"):
        raise Refused(f"messages[{number}] has tool_calls, which this server does not support", f"messages[{number}].tool_calls")
    content = message.get("content")
    if isinstance(content, list):
        parts = [part.get("text") for part in content if isinstance(part, dict) and part.get("type") == "text"]
        if len(parts) != len(content) or not all(isinstance(part, str) for part in parts):
            raise Refused(f"messages[{number}] has content that is not text, which this server does not support", f"messages[{number}].content")
        content = "".join(part for part in parts if part)
    if content is None and role == "assistant":
        content = ""
    if not isinstance(content, str):
        raise Refused(f"messages[{number}].content must be a string", f"messages[{number}].content")
    return {"role": role, "content": content}


def _stops(value: Any) -> tuple[str, ...]:
    if value is None:
        return ()
    stops = (value,) if isinstance(value, str) else value
    if not isinstance(stops, list | tuple) or not all(isinstance(stop, str) and stop for stop in stops) or len(stops) > _MOST_STOPS:
        raise Refused(f"stop must be a string, or a list of at most {_MOST_STOPS}", "stop")
    return tuple(stops)


def _flag(fields: Mapping[str, Any], name: str) -> bool:
    value = fields.get(name)
    if not isinstance(value, bool | None):
        raise Refused(f"{name} = {clean(repr(value), limit=40)} is invalid: give true or false", name)
    return value is True


def _number(fields: Mapping[str, Any], name: str, default: float, low: float, high: float) -> float:
    value = fields.get(name)
    if value is None:
        return default
    if isinstance(value, bool) or not isinstance(value, int | float) or not low <= value <= high:
        raise Refused(f"{name} = {clean(repr(value), limit=40)} is invalid: give a number from {low:g} to {high:g}", name)
    return float(value)


def _whole(fields: Mapping[str, Any], name: str, default: int | None, low: int | None, high: int | None = None) -> int | None:
    value = fields.get(name)
    if value is None:
        return default
    if isinstance(value, bool) or not isinstance(value, int) or (low is not None and value < low) or (high is not None and value > high):
        bounds = "" if low is None else f" from {low}{'' if high is None else f' to {high}'}"
        raise Refused(f"{name} = {clean(repr(value), limit=40)} is invalid: give a whole number{bounds}", name)
    return value
