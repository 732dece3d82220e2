"""Answers of servers as they are documented, and as they really come."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.benchmark.client.outcome import Usage
from core.benchmark.client.replies import DIALECTS, openai
from core.benchmark.client.sse import Read


def sse(*messages: Any, ending: str = "\n", done: bool = True) -> bytes:
    lines = [f"data: {message if isinstance(message, str) else json.dumps(message)}{ending}{ending}" for message in messages]
    return "".join([*lines, f"data: [DONE]{ending}{ending}" if done else ""]).encode()


def chat(text: str | None, finish: str | None = None, **more: Any) -> dict[str, Any]:
    return {"choices": [{"index": 0, "delta": {} if text is None else {"content": text}, "finish_reason": finish}], **more}


USAGE = {"prompt_tokens": 7, "completion_tokens": 4, "prompt_tokens_details": {"cached_tokens": 3}}
GOLDEN = [
    {"choices": [{"delta": {"role": "assistant", "content": ""}}]},
    chat("Hel"),
    chat("lo, wor"),
    chat("ld", "stop"),
    {"choices": [], "usage": USAGE},
]


@given(st.lists(st.integers(0, 700), max_size=20), st.sampled_from(["\n", "\r\n"]), st.booleans())
def test_a_golden_answer_comes_out_whatever_the_cuts(places: list[int], ending: str, done: bool) -> None:
    body = b": keep-alive" + 2 * ending.encode() + sse(*GOLDEN, ending=ending, done=done)
    ends = sorted({min(place, len(body)) for place in places} | {len(body)})
    reads: list[Read] = [(index, body[first:last]) for index, (first, last) in enumerate(zip([0, *ends[:-1]], ends, strict=True))]
    reply = openai(reads)
    assert [piece.text for piece in reply.pieces] == ["Hel", "lo, wor", "ld"]
    assert reply.usage == Usage(7, 4, 3)
    assert (reply.finish, reply.complete, reply.problem) == ("stop", True, "")


def test_each_piece_has_the_time_of_its_read_and_the_end_none() -> None:
    reads = [(10 * index, sse(message, done=False)) for index, message in enumerate(GOLDEN)] + [(99, b"data: [DONE]\n\n")]
    assert [piece.t for piece in openai(reads).pieces] == [10, 20, 30]


def test_completions_thinking_and_tools_are_content_too() -> None:
    body = sse(
        {"choices": [{"text": "a"}]},
        chat(None) | {"choices": [{"delta": {"reasoning_content": "b"}}]},
        {"choices": [{"delta": {"tool_calls": [{"function": {"name": "f", "arguments": '{"x":'}}]}}]},
        {"choices": [{"text": "c", "token_ids": [1, 2]}]},
    )
    pieces = openai([(0, body)]).pieces
    assert [piece.text for piece in pieces] == ["a", "b", 'f{"x":', "c"]
    assert [piece.tokens for piece in pieces] == [None, None, None, 2]


@pytest.mark.parametrize(
    ("body", "word"),
    [
        (b"data: {broken\n\n", "invalid JSON"),
        (b"data: \xff\xfe\n\n", "not UTF-8"),
        (b"data: [1]\n\n", "not an object"),
        (sse({"error": {"message": "out of \x1b[2Jmemory"}}), "ended the stream: out of"),
        (b'event: error\ndata: {"message": "gone"}\n\n', "gone"),
        (b"data: " + b"[" * 100_000 + b"\n\n", "invalid JSON"),
    ],
)
def test_what_is_wrong_is_said_and_what_came_before_stays(body: bytes, word: str) -> None:
    reply = openai([(1, sse(chat("ok"), done=False)), (2, body)])
    assert [piece.text for piece in reply.pieces] == ["ok"]
    assert word in reply.problem
    assert "\x1b" not in reply.problem
    assert not reply.complete


@given(st.binary(max_size=200), st.sampled_from(sorted(DIALECTS)))
def test_no_bytes_at_all_bring_a_dialect_down(body: bytes, dialect: str) -> None:
    DIALECTS[dialect]([(0, b'data: {"choices": 5}\n\n'), (1, body)])


JSON = st.recursive(st.none() | st.booleans() | st.integers() | st.text(max_size=5), lambda inner: st.lists(inner, max_size=3), max_leaves=6)
FIELDS = (
    "choices",
    "delta",
    "content",
    "text",
    "usage",
    "token",
    "details",
    "message",
    "response",
    "done",
    "tool_calls",
    "function",
    "prompt_tokens",
)
OBJECTS = st.recursive(JSON, lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.sampled_from(FIELDS), inner, max_size=4), max_leaves=12)


@given(st.dictionaries(st.sampled_from(FIELDS), OBJECTS, max_size=5), st.sampled_from(sorted(DIALECTS)))
def test_no_json_brings_a_dialect_down(message: dict[str, Any], dialect: str) -> None:
    text = json.dumps(message)
    DIALECTS[dialect]([(0, (text if dialect == "ollama" else f"data: {text}\n\n").encode())])


def test_tgi_sends_one_token_an_event_and_the_whole_text_last() -> None:
    body = "".join(
        f"data:{json.dumps(message)}\n\n"
        for message in (
            {"token": {"id": 1, "text": "a", "special": False}, "generated_text": None},
            {"token": {"id": 2, "text": "b", "special": False}, "generated_text": None},
            {
                "token": {"id": 3, "text": "</s>", "special": True},
                "generated_text": "ab",
                "details": {"finish_reason": "eos_token", "generated_tokens": 3, "input_length": 5},
            },
        )
    )
    reply = DIALECTS["tgi"]([(0, body.encode())])
    assert [(piece.text, piece.tokens) for piece in reply.pieces] == [("a", 1), ("b", 1)]
    assert (reply.usage, reply.finish, reply.complete) == (Usage(5, 3), "eos_token", True)


def test_ollama_sends_lines_and_counts_at_the_end() -> None:
    messages = [
        {"message": {"role": "assistant", "thinking": "hm"}, "done": False},
        {"response": "a", "done": False},
        {"response": "", "done": True, "done_reason": "length", "prompt_eval_count": 9, "eval_count": 2},
    ]
    body = "".join(json.dumps(message) + "\n" for message in messages).encode()
    reads = [(1, body[:30]), (2, body[30:90]), (3, body[90:])]
    reply = DIALECTS["ollama"](reads)
    assert [piece.text for piece in reply.pieces] == ["hm", "a"]
    assert [piece.t for piece in reply.pieces] == [2, 3]
    assert (reply.usage, reply.finish, reply.complete) == (Usage(9, 2), "length", True)


@pytest.mark.parametrize(
    "last",
    [
        chat(None, "length", usage=USAGE),
        {"choices": [{"index": 0, "delta": {}, "finish_reason": "length", "usage": USAGE}]},
        chat(None, "length", x_groq={"id": "r", "usage": USAGE}),
        {"choices": [], "object": "usage", "usage": USAGE},
    ],
    ids=["beside the choices", "in the choice", "x_groq", "alone"],
)
def test_usage_is_found_where_servers_put_it(last: dict[str, Any]) -> None:
    reply = openai([(0, sse(chat("a"), chat("b", "length"), last))])
    assert (reply.usage, reply.fault) == (Usage(7, 4, 3), "")


def test_tokens_counted_by_llama_cpp_stand_in_for_usage() -> None:
    assert openai([(0, sse(chat("a"), chat(None, "stop", timings={"prompt_n": 2, "predicted_n": 5})))]).usage == Usage(None, 5, None)
    both = chat(None, "stop", timings={"predicted_n": 5}, usage=USAGE)
    assert openai([(0, sse(chat("a"), both))]).usage == Usage(7, 4, 3)


def test_an_end_mark_alone_is_no_answer() -> None:
    assert "end mark and no answer" in openai([(0, sse())]).fault
    assert "end mark and no answer" in openai([(0, b": ping\n\n" + sse({"object": "hello"}))]).fault
    assert openai([(0, sse(chat(None, "stop")))]).fault == ""
