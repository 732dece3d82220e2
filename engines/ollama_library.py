"""Ollama's library of models: what is there, what is loaded, and fetching more. Ollama's API, `/api/tags`, `/api/ps`, `/api/pull`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from core.benchmark.client.documents import read_json
from core.engine import Endpoint
from core.errors import RequestError, RunFailed
from core.sanitize import clean
from engines.common import http

_SILENCE = 600.0
"""Seconds without a word from the server: it says nothing while it checks what it fetched."""
_LONGEST = 1 << 20


@dataclass(frozen=True)
class LibraryModel:
    """A model that Ollama has on its disk."""

    name: str
    file_bytes: int | None
    parameters: str
    """As Ollama writes it, for example 1.2B."""
    quantization: str
    modified: str
    """Day and time, ISO 8601."""


@dataclass(frozen=True)
class LoadedModel:
    """A model that Ollama holds in memory."""

    name: str
    memory_bytes: int | None
    gpu_bytes: int | None
    """Of them on GPUs."""
    context: int | None
    """Tokens."""
    until: str
    """When it is let go, ISO 8601."""


@dataclass(frozen=True)
class PullStep:
    """One message of a fetch."""

    words: str
    done: int | None = None
    """Bytes of the layer that is being fetched."""
    total: int | None = None


def library(endpoint: Endpoint) -> tuple[LibraryModel, ...]:
    """The models on disk, by `/api/tags`. Raises RequestError."""
    return tuple(_library_model(entry) for entry in entries(endpoint, "/api/tags"))


def loaded(endpoint: Endpoint) -> tuple[LoadedModel, ...]:
    """The models in memory, by `/api/ps`. Raises RequestError."""
    return tuple(
        LoadedModel(
            _text(entry.get("name")),
            _whole(entry.get("size")),
            _whole(entry.get("size_vram")),
            _whole(entry.get("context_length")),
            _text(entry.get("expires_at")),
        )
        for entry in entries(endpoint, "/api/ps")
    )


def pull(endpoint: Endpoint, model: str) -> Iterator[PullStep]:
    """Fetch a model, step by step; whoever stops listening stops the fetch, and the next one resumes there.

    Raises:
        RequestError: there is no server, or it does not know the model.
        RunFailed: the fetch was begun and broke off.
    """
    if not model.strip():
        raise RequestError("no model given: give a name from Ollama's library, for example llama3.2:1b")
    shown, begun = clean(model, limit=100), False
    try:
        for message in _lines(http.stream(endpoint, "/api/pull", {"model": model, "stream": True}, _SILENCE)):
            if (problem := message.get("error")) is not None:
                raise RequestError(f"Ollama cannot pull {shown}: {clean(str(problem), limit=300)}")
            words = _text(message.get("status"))
            yield PullStep(words, _whole(message.get("completed")), _whole(message.get("total")))
            if words == "success":
                return
            begun = begun or bool(message.get("completed"))
    except RequestError as error:
        if not begun:
            raise
        raise RunFailed(f"{error}; partial downloads are kept, and the next pull resumes") from error
    raise RunFailed(f"Ollama ended the pull of {shown} without success: try again, it resumes")


def entries(endpoint: Endpoint, path: str) -> list[dict[str, Any]]:
    """The models that a path lists. Raises RequestError: there is no server, or it is not Ollama's."""
    answer = http.get_json(endpoint, path)
    listed = answer.get("models") if isinstance(answer, dict) else None
    if not isinstance(listed, list):
        raise RequestError(f"{clean(endpoint.url)}{path} does not list models: is it an Ollama server?")
    return [entry for entry in listed if isinstance(entry, dict)]


def _lines(reads: Iterator[tuple[int, bytes]]) -> Iterator[Mapping[str, Any]]:
    """JSON objects, one a line, wherever the reads cut them. Raises RequestError for what is none."""
    held = b""
    for _, data in reads:
        *lines, held = (held + data).split(b"\n")
        yield from map(_object, filter(bytes.strip, lines))
        if len(held) > _LONGEST:
            raise RequestError("the response to a pull is not lines of JSON: is it an Ollama server?")
    if held.strip():
        yield _object(held)


def _object(line: bytes) -> Mapping[str, Any]:
    try:
        found = read_json(line)
    except (ValueError, RecursionError):
        found = None
    if not isinstance(found, dict):
        raise RequestError("the response to a pull is not lines of JSON: is it an Ollama server?")
    return found


def _library_model(entry: Mapping[str, Any]) -> LibraryModel:
    details = held if isinstance(held := entry.get("details"), dict) else {}
    return LibraryModel(
        _text(entry.get("name")),
        _whole(entry.get("size")),
        _text(details.get("parameter_size")),
        _text(details.get("quantization_level")),
        _text(entry.get("modified_at")),
    )


def _text(value: Any) -> str:
    return clean(value, limit=200) if isinstance(value, str) else ""


def _whole(value: Any) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) and value >= 0 else None
