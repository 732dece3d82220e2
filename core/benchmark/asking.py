"""Requests as they are sent, and where they go."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

Style = Literal["chat", "completions", "tgi", "ollama"]

PATHS: Mapping[Style, str] = {
    "chat": "/v1/chat/completions",
    "completions": "/v1/completions",
    "tgi": "/generate_stream",
    "ollama": "/api/generate",
}
DIALECT_OF: Mapping[Style, str] = {"chat": "openai", "completions": "openai", "tgi": "tgi", "ollama": "ollama"}


@dataclass(frozen=True)
class Target:
    """A server. The key is not part of its text, so that no log or report can hold it."""

    url: str
    """Without the path, for example `http://127.0.0.1:8000`."""
    model: str
    style: Style = "chat"
    key: str | None = field(default=None, repr=False)
    verify: bool = True
    """Whether its certificate must be good."""
    ignores_eos: bool = False
    """Whether it knows `ignore_eos`."""

    @property
    def address(self) -> str:
        """Where requests go."""
        return self.url.rstrip("/").removesuffix("/v1") + PATHS[self.style]

    def headers(self) -> dict[str, str]:
        """Of every request."""
        return {"Content-Type": "application/json"} | ({"Authorization": f"Bearer {self.key}"} if self.key else {})


@dataclass(frozen=True, slots=True)
class Ask:
    """One request: when it is due, in nanoseconds from the start of the load, and its body."""

    index: int
    due: int
    body: bytes


def body_of(target: Target, prompt: str, max_tokens: int, *, temperature: float = 0.0, seed: int | None = None) -> bytes:
    """The JSON that asks `target` to continue a prompt, streamed, with its usage."""
    return json.dumps(_BODIES[target.style](target, prompt, max_tokens, temperature, seed), ensure_ascii=False).encode()


def _openai(target: Target, asked: Mapping[str, Any], max_tokens: int, temperature: float, seed: int | None) -> dict[str, Any]:
    body = {
        "model": target.model,
        **asked,
        "max_tokens": max_tokens,
        "temperature": temperature,
        "stream": True,
        "stream_options": {"include_usage": True},
    }
    return body | ({"ignore_eos": True} if target.ignores_eos else {}) | ({} if seed is None else {"seed": seed})


def _chat(target: Target, prompt: str, max_tokens: int, temperature: float, seed: int | None) -> dict[str, Any]:
    return _openai(target, {"messages": [{"role": "user", "content": prompt}]}, max_tokens, temperature, seed)


def _completions(target: Target, prompt: str, max_tokens: int, temperature: float, seed: int | None) -> dict[str, Any]:
    return _openai(target, {"prompt": prompt}, max_tokens, temperature, seed)


def _tgi(_target: Target, prompt: str, max_tokens: int, temperature: float, seed: int | None) -> dict[str, Any]:
    sampled: dict[str, Any] = {"do_sample": True, "temperature": temperature} if temperature > 0 else {}
    return {"inputs": prompt, "parameters": {"max_new_tokens": max_tokens, "details": True, **sampled, **({} if seed is None else {"seed": seed})}}


def _ollama(target: Target, prompt: str, max_tokens: int, temperature: float, seed: int | None) -> dict[str, Any]:
    options = {"num_predict": max_tokens, "temperature": temperature} | ({} if seed is None else {"seed": seed})
    return {"model": target.model, "prompt": prompt, "stream": True, "options": options}


_BODIES = {"chat": _chat, "completions": _completions, "tgi": _tgi, "ollama": _ollama}
