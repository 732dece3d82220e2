"""Replies out of what servers send."""

from __future__ import annotations

import json
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.distill.data.client.request import Reply, RequestFailed
from core.distill.data.client.stream import Completion


def chunk(text: str | None = None, **more: object) -> bytes:
    return b"data: " + json.dumps({"choices": [{"delta": {} if text is None else {"content": text}, **more}]}).encode() + b"\r\n\r\n"


USAGE = b'data: {"choices": [], "usage": {"prompt_tokens": 7, "completion_tokens": 2}}\n\n'
DONE = b"data: [DONE]\n\n"
WHOLE = b": comment\n\n" + chunk("") + chunk("数") + chunk("学", finish_reason=None) + chunk(finish_reason="stop") + USAGE + DONE


@given(st.lists(st.integers(0, len(WHOLE)), max_size=6))
def test_a_reply_is_the_same_however_it_is_cut(places: list[int]) -> None:
    completion = Completion()
    ends = [0, *sorted(places), len(WHOLE)]
    found = [completion.feed(WHOLE[start:end]) for start, end in pairwise(ends)]
    assert found[-1]
    assert completion.reply() == Reply("数学", "stop", 7, 2)


@pytest.mark.parametrize(
    ("data", "reply"),
    [
        (chunk("a") + DONE, Reply("a")),
        (chunk("a", finish_reason="length"), Reply("a", "length")),
        (chunk("a", finish_reason="length")[:-4], Reply("a", "length")),
        (DONE, Reply("")),
        (chunk("\ud83d") + DONE, Reply("\ufffd")),
        (b'data: {"choices": [{"delta": {"content": "a"}}], "usage": {"prompt_tokens": true, "completion_tokens": -1}}\n\n' + DONE, Reply("a")),
    ],
)
def test_replies(data: bytes, reply: Reply) -> None:
    completion = Completion()
    completion.feed(data)
    assert completion.reply() == reply


@pytest.mark.parametrize(
    ("data", "complaint"),
    [
        (chunk("a"), "cut off"),
        (b"", "cut off"),
        (b"data: {oops\n", "invalid JSON"),
        (b"data: [" + b"[" * 100_000 + b"\n", "invalid JSON"),
        (b"data: \xff\n", "not UTF-8"),
        (b"data: [1]\n", "not an object"),
        (b'data: {"error": {"message": "out of\x1b memory"}}\n'.replace(b"\x1b", b"\\u001b"), "out of\ufffd memory"),
        (b'data: {"error": "no"}\n', "ended the stream: no"),
        (chunk("a", finish_reason="abort"), "gave up"),
    ],
)
def test_what_is_no_reply_is_named(data: bytes, complaint: str) -> None:
    def read() -> None:
        completion = Completion()
        completion.feed(data)
        completion.reply()

    with pytest.raises(RequestFailed, match=complaint):
        read()


def test_a_server_that_does_not_stream() -> None:
    body = {"choices": [{"message": {"content": "yes"}, "finish_reason": "stop"}], "usage": {"prompt_tokens": 1, "completion_tokens": 1}}
    assert Completion().document(json.dumps(body).encode()) == Reply("yes", "stop", 1, 1)
    with pytest.raises(RequestFailed, match="holds no choice"):
        Completion().document(b"{}")
