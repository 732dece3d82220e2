"""Requests through an engine with a protocol of its own."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest

from core.distill.data.client.engine import EngineClient
from core.distill.data.client.request import Reply, Request, RequestFailed
from core.distill.data.conversation import Message
from core.engine import Endpoint, TimedText
from core.errors import RequestError

ENDPOINT = Endpoint("http://127.0.0.1:1", style="ollama")


def request(number: int = 0, *, system: bool = False) -> Request:
    first = (Message("system", "s"),) if system else ()
    return Request("m", (*first, Message("user", f"p{number}")), 3, 0.5, 1.0)


class Engine:
    facts = SimpleNamespace(title="Fake")

    def __init__(self, tokens: int | None = 2, error: RequestError | None = None) -> None:
        self.tokens, self.error = tokens, error
        self.asked: list[tuple[str, str, int, float]] = []

    def generate(self, endpoint: Endpoint, prompt: str, max_tokens: int, temperature: float = 0.0) -> Iterator[TimedText]:
        self.asked.append((endpoint.model, prompt, max_tokens, temperature))
        time.sleep(0.05)
        yield TimedText(0, "a")
        if self.error is not None:
            raise self.error
        yield TimedText(1, "b")
        yield TimedText(2, "", 5, self.tokens)


def sent(engine: Any, *requests: Request) -> list[Reply]:
    async def send() -> list[Reply]:
        async with EngineClient(engine, ENDPOINT, 8) as client:
            return await asyncio.gather(*(client.send(each) for each in requests))

    return asyncio.run(send())


@pytest.mark.parametrize(("tokens", "finish"), [(2, ""), (3, "length"), (None, "")])
def test_a_reply_with_as_many_tokens_as_it_may_have_was_cut_off(tokens: int | None, finish: str) -> None:
    engine = Engine(tokens)
    assert sent(engine, request()) == [Reply("ab", finish, 5, tokens)]
    assert engine.asked == [("m", "p0", 3, 0.5)]


def test_requests_are_under_way_together() -> None:
    began = time.monotonic()
    assert len(sent(Engine(), *map(request, range(8)))) == 8
    assert time.monotonic() - began < 8 * 0.05


def status(code: int) -> RequestError:
    error = RequestError("no")
    error.status = code  # type: ignore[attr-defined]
    return error


@pytest.mark.parametrize(
    ("error", "again", "fatal"),
    [(RequestError("gone"), True, False), (status(503), True, False), (status(422), False, False), (status(401), True, True)],
)
def test_failures_say_whether_to_ask_again(error: RequestError, again: bool, fatal: bool) -> None:
    with pytest.raises(RequestFailed) as failed:
        sent(Engine(error=error), request())
    assert (failed.value.again, failed.value.fatal) == (again, fatal)


def test_a_conversation_is_refused_for_all() -> None:
    with pytest.raises(RequestFailed, match="Fake takes one prompt") as failed:
        sent(Engine(), request(system=True))
    assert failed.value.fatal
