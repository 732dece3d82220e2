"""Ollama's library: what `/api/tags`, `/api/ps` and `/api/pull` say, as documented, and sentences for what goes wrong."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.engine import Endpoint
from core.errors import LlmoptError, RequestError, RunFailed
from engines import ollama_library
from engines.common import http
from engines.ollama_library import LibraryModel, LoadedModel, PullStep
from tests.engines.documented import Answer, documented

TAGS: dict[str, Any] = {
    "models": [
        {
            "name": "llama3.2:1b",
            "model": "llama3.2:1b",
            "modified_at": "2026-05-01T10:11:12.5Z",
            "size": 1321098329,
            "digest": "baf6a787fdff",
            "details": {"format": "gguf", "family": "llama", "parameter_size": "1.2B", "quantization_level": "Q8_0"},
        },
        {"name": "bad\x1b[2Jname", "size": -1, "details": None},
    ]
}
PS: dict[str, Any] = {
    "models": [{"name": "llama3.2:1b", "size": 900, "size_vram": 700, "context_length": 4096, "expires_at": "2026-05-01T10:16:12Z"}]
}
STEPS: list[dict[str, Any]] = [
    {"status": "pulling manifest"},
    {"status": "pulling 6a0746a1ec1a", "digest": "sha256:6a07", "total": 1000},
    {"status": "pulling 6a0746a1ec1a", "digest": "sha256:6a07", "total": 1000, "completed": 400},
    {"status": "pulling 6a0746a1ec1a", "digest": "sha256:6a07", "total": 1000, "completed": 1000},
    {"status": "verifying sha256 digest"},
    {"status": "writing manifest"},
    {"status": "success"},
]


def lines(*messages: dict[str, Any]) -> str:
    return "".join(json.dumps(message) + "\n" for message in messages)


def pulled(answer: Answer, model: str = "llama3.2:1b") -> list[PullStep]:
    with documented({"/api/pull": answer}) as server:
        return list(ollama_library.pull(Endpoint(server.url), model))


def test_the_library_and_what_is_loaded_are_read() -> None:
    with documented({"/api/tags": TAGS, "/api/ps": PS}) as server:
        first, second = ollama_library.library(Endpoint(server.url))
        assert first == LibraryModel("llama3.2:1b", 1321098329, "1.2B", "Q8_0", "2026-05-01T10:11:12.5Z")
        assert second.file_bytes is None
        assert "\x1b" not in second.name
        assert ollama_library.loaded(Endpoint(server.url)) == (LoadedModel("llama3.2:1b", 900, 700, 4096, "2026-05-01T10:16:12Z"),)


def test_a_fetch_is_told_step_by_step() -> None:
    with documented({"/api/pull": lines(*STEPS)}) as server:
        found = list(ollama_library.pull(Endpoint(server.url), "llama3.2:1b"))
        assert server.asked == [("POST", "/api/pull", {"model": "llama3.2:1b", "stream": True})]
    assert found[0] == PullStep("pulling manifest")
    assert found[2] == PullStep("pulling 6a0746a1ec1a", 400, 1000)
    assert found[-1].words == "success"
    assert len(found) == len(STEPS)


@pytest.mark.parametrize("size", [1, 7, 1000])
def test_lines_may_be_cut_anywhere(size: int, monkeypatch: pytest.MonkeyPatch) -> None:
    data = lines(*STEPS).encode().rstrip()

    def stream(*_: Any, **__: Any) -> Iterator[tuple[int, bytes]]:
        yield from ((0, data[start : start + size]) for start in range(0, len(data), size))

    monkeypatch.setattr(http, "stream", stream)
    assert len(list(ollama_library.pull(Endpoint("http://x"), "m"))) == len(STEPS)


def test_a_model_that_there_is_not_is_a_wrong_request() -> None:
    with pytest.raises(RequestError, match="cannot pull nope: pull model manifest: file does not exist"):
        pulled(lines(STEPS[0], {"error": "pull model manifest: file does not exist"}), "nope")
    with pytest.raises(RequestError, match="no model given"):
        pulled(lines(*STEPS), " ")
    with pytest.raises(RequestError, match="HTTP 400"):
        pulled((400, '{"error":"invalid model name"}'))


def test_a_fetch_that_breaks_off_has_failed_and_goes_on_later() -> None:
    with pytest.raises(RunFailed, match=r"no space left on device.*the next pull resumes"):
        pulled(lines(*STEPS[:3], {"error": "write: no space left on device"}))
    with pytest.raises(RunFailed, match="without success"):
        pulled(lines(*STEPS[:4]))


@pytest.mark.parametrize("answer", ["<html>no", '{"status":"ok"}\n[1]\n', b"\xff\n", "5\n"])
def test_a_server_of_another_kind_is_told(answer: Answer) -> None:
    with pytest.raises(RequestError, match="is it an Ollama server"):
        pulled(answer)


@given(
    st.lists(st.dictionaries(st.sampled_from(["status", "completed", "total", "error"]), st.none() | st.integers() | st.text(max_size=9)), max_size=5)
)
def test_no_message_brings_it_down(messages: list[dict[str, Any]]) -> None:
    read = iter([(0, lines(*messages).encode())])
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(http, "stream", lambda *_: read)
        try:
            steps = list(ollama_library.pull(Endpoint("http://x"), "m"))
        except LlmoptError:
            return
    assert steps[-1].words == "success"
