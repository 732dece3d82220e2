"""Requests as they are sent, and where they go."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass

from core.engine import Endpoint, Style

PATHS: Mapping[Style, str] = {
    "chat": "/v1/chat/completions",
    "completions": "/v1/completions",
    "tgi": "/generate_stream",
    "ollama": "/api/generate",
}
DIALECT_OF: Mapping[Style, str] = {"chat": "openai", "completions": "openai", "tgi": "tgi", "ollama": "ollama"}


def address_of(target: Endpoint) -> str:
    """Where requests go."""
    return target.at(PATHS[target.style])


def headers_of(target: Endpoint) -> dict[str, str]:
    """Of every request."""
    return {"Content-Type": "application/json"} | ({"Authorization": f"Bearer {target.key}"} if target.key else {})


@dataclass(frozen=True, slots=True)
class Request:
    """One request: when it is due, in nanoseconds from the start of the load, and its body."""

    index: int
    due: int
    body: bytes


def body_of(target: Endpoint, prompt: str, max_tokens: int, *, temperature: float = 0.0) -> bytes:
    """The JSON that requests `target` to continue a prompt, streamed, with its usage."""
    return json.dumps(_BODIES[target.style](target, prompt, max_tokens, temperature), ensure_ascii=False).encode()


def openai_body(target: Endpoint, prompt: str, max_tokens: int, temperature: float) -> dict[str, object]:
    """Of `/v1/chat/completions` or `/v1/completions`, streamed, with its usage, without what the server is known to refuse."""
    limit = "max_completion_tokens" if "max_tokens" in target.refuses else "max_tokens"
    body = {
        "model": target.model,
        **({"messages": [{"role": "user", "content": prompt}]} if target.style == "chat" else {"prompt": prompt}),
        limit: max_tokens,
        "temperature": temperature,
        "stream": True,
        "stream_options": {"include_usage": True},
        **({"ignore_eos": True} if target.ignores_eos else {}),
    }
    return {name: value for name, value in body.items() if name not in target.refuses}


def _tgi(_target: Endpoint, prompt: str, max_tokens: int, temperature: float) -> dict[str, object]:
    sampled: dict[str, object] = {"do_sample": True, "temperature": temperature} if temperature > 0 else {}
    return {"inputs": prompt, "parameters": {"max_new_tokens": max_tokens, "details": True, **sampled}}


def _ollama(target: Endpoint, prompt: str, max_tokens: int, temperature: float) -> dict[str, object]:
    return {"model": target.model, "prompt": prompt, "stream": True, "options": {"num_predict": max_tokens, "temperature": temperature}}


_BODIES = {"chat": openai_body, "completions": openai_body, "tgi": _tgi, "ollama": _ollama}
