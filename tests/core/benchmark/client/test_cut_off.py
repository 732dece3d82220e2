"""Answers that end before their end, and errors under every key that servers use for them."""

from __future__ import annotations

import json
from typing import Any

import pytest

from core.benchmark.client.raw import Raw


def piece(text: str | None = "a", finish: Any = None, **more: Any) -> dict[str, Any]:
    return {"choices": [{"index": 0, "delta": {"content": text} if text else {}, "finish_reason": finish}]} | more


def sse(*messages: Any) -> bytes:
    return b"".join(b"data: " + (message if isinstance(message, bytes) else json.dumps(message).encode()) + b"\n\n" for message in messages)


def outcome(body: bytes, dialect: str = "openai", kind: str = "text/event-stream") -> tuple[str, str]:
    found = Raw(0, 0, reads=[(1, body)], http=200, content_type=kind).outcome(dialect)
    return found.status, found.reason


DONE = b"[DONE]"
USAGE = {"prompt_tokens": 1, "completion_tokens": 2}


@pytest.mark.parametrize(
    "body",
    [
        sse(piece(), piece(None, "stop")),
        sse(piece(), DONE),
        sse(piece(), {"choices": [], "usage": USAGE}),
        sse(piece(error=None, base_resp={"status_code": 0, "status_msg": "success"}), piece(None, "length")),
        sse({"type": "ping"}, {"id": "x", "choices": [], "prompt_filter_results": []}, piece("a", "length")),
        sse(piece(finish="null"), piece(None, "stop")),
    ],
)
def test_what_has_an_end_is_done(body: bytes) -> None:
    assert outcome(body) == ("done", "")


@pytest.mark.parametrize(
    ("body", "dialect"),
    [
        (sse(piece(), piece()), "openai"),
        (sse(piece(finish="null")), "openai"),
        (sse(piece(finish="")), "openai"),
        (sse(piece(usage=USAGE)), "openai"),
        (sse(piece(None)), "openai"),
        (sse({"choices": [], "usage": USAGE}, piece()), "openai"),
        (sse({"token": {"text": "a"}}, {"token": {"text": "b"}, "generated_text": None, "details": None}), "tgi"),
        (b'{"response": "a", "done": false}\n{"response": "b", "done": false}\n', "ollama"),
    ],
)
def test_what_has_no_end_is_cut_off(body: bytes, dialect: str) -> None:
    assert outcome(body, dialect) == ("failed", "the response was cut off: it ended without a finish reason or an end mark")


@pytest.mark.parametrize(
    "message",
    [
        {"error": {"message": "died"}},
        {"error": "died"},
        {"errors": [{"message": "died"}]},
        {"object": "error", "message": "died", "type": "InternalServerError", "code": 500},
        {"detail": "died"},
        {"detail": [{"loc": ["body"], "msg": "died"}]},
        {"message": "died", "code": 429},
        {"code": 429, "msg": "died"},
        {"text": "died", "error_code": 50001},
        {"type": "error", "error": {"type": "overloaded_error", "message": "died"}},
        {"base_resp": {"status_code": 1002, "status_msg": "died"}},
        {"error_msg": "died", "error_code": 17},
        {"choices": [{"index": 0, "finish_reason": "error", "error": {"code": 502, "message": "died"}}]},
    ],
)
@pytest.mark.parametrize("pieces", [0, 3])
def test_an_error_is_one_under_any_key(message: dict[str, Any], pieces: int) -> None:
    assert outcome(sse(*[piece()] * pieces, message, DONE)) == ("failed", "the server ended the stream: died")


@pytest.mark.parametrize("line", [b'error: {"code": 500, "message": "died"}', b'event: error\ndata: {"code": 500, "message": "died"}'])
def test_an_error_is_one_as_an_event_too(line: bytes) -> None:
    assert outcome(sse(piece()) + line + b"\n\n") == ("failed", "the server ended the stream: died")


@pytest.mark.parametrize("finish", ["error", "abort", "network_error", "insufficient_system_resource", "cancelled"])
def test_a_finish_reason_that_is_none(finish: str) -> None:
    assert outcome(sse(piece(), piece(None, finish), DONE)) == ("failed", f"the server gave up the response: finish reason {finish}")


def test_a_document_instead_of_a_stream_is_quoted() -> None:
    status, reason = outcome(b'{"error": {"message": "bad key"}}', kind="application/json")
    assert (status, "(application/json: bad key)" in reason) == ("failed", True)


@pytest.mark.parametrize("number", ["9" * 400, "1" + "0" * 20, "4294967296", "1e400", "-1", "true", '"12"'])
def test_a_count_that_cannot_be_one_is_not_taken(number: str) -> None:
    last = f'{{"choices": [{{"delta": {{}}, "finish_reason": "stop"}}], "usage": {{"completion_tokens": {number}, "prompt_tokens": 3}}}}'
    found = Raw(0, 0, reads=[(1, sse(piece(), last.encode()))], http=200).outcome("openai")
    assert (found.status, found.usage.completion, found.usage.prompt) == ("done", None, 3)
