"""What a client does wrong is an error of the client, in JSON, and stops nobody else."""

from __future__ import annotations

import asyncio
import json
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from aiohttp.test_utils import TestClient, TestServer

from core.errors import RequestError
from engines.server.app import make_app
from engines.server.backends.base import GenerationChunk, GenerationRequest, TokenProbability
from engines.server.backends.runtime import RuntimeBackend
from engines.server.bodies import most_bytes, parsed, token_list
from engines.server.requests import completion_request
from engines.server.worker import Worker

Client = TestClient[Any, Any]
COMPLETIONS, CHAT, TOKENIZE = "/v1/completions", "/v1/chat/completions", "/tokenize"


@pytest.fixture(scope="module")
def worker(tiny_llama_dir: Path) -> Iterator[Worker]:
    worker = Worker(RuntimeBackend(str(tiny_llama_dir), 100, "float32", "cpu"))
    yield worker
    worker.close()


@pytest.fixture
async def client(worker: Worker) -> AsyncIterator[Client]:
    async with TestClient(TestServer(make_app(worker))) as made:
        yield made


async def answer(client: Client, path: str, body: Any, **headers: str) -> tuple[int, str]:
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    response = await client.post(path, data=data, headers={"Content-Type": "application/json"} | headers)
    found = json.loads(await response.read())
    return response.status, str(found.get("error", {}).get("message", "")) if isinstance(found, dict) else ""


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ({"prompt": [2**70]}, "a token outside the vocabulary"),
        ({"prompt": [1, 999_999], "max_tokens": 0, "echo": True, "logprobs": 1}, "a token outside the vocabulary"),
        ({"prompt": [[-1]]}, "a token outside the vocabulary"),
        ({"prompt": "a", "seed": 2**64}, "seed = 18446744073709551616 is invalid"),
        ({"prompt": "a", "seed": -(2**63) - 1}, "seed"),
        ({"prompt": "a", "max_tokens": 10**400}, "maximum context length"),
        (b'{"prompt": "\\ud800"}', "a lone surrogate"),
        (b'{"prompt": "a", "stop": ["\\uDFFF"]}', "a lone surrogate"),
        (b'{"prompt": "\xff"}', "not JSON in UTF-8: byte 12"),
        (b'{"prompt": "\xed\xa0\x80"}', "not JSON in UTF-8: byte 12"),
        (b'{"prompt": "\xc0\x80"}', "not JSON in UTF-8: byte 12"),
        ('{"prompt": "'.encode("utf-16-le") + b"\x00\xd8" + '"}'.encode("utf-16-le"), "not JSON in UTF-8"),
        ('{"prompt": "\\ud800"}'.encode("utf-16"), "a lone surrogate"),
        ({"prompt": "a", "min_tokens": 3}, "min_tokens only with ignore_eos"),
        (b"[" * 100_000, "not JSON"),
        (b'{"prompt": "a", "max_tokens": ' + b"1" * 5000 + b"}", "not JSON"),
        ({"prompt": "a " * 4000}, "more than 100 in the prompt"),
        ({"prompt": [1] * 5000}, "5000 in the prompt"),
    ],
    ids=lambda value: str(value)[:40],
)
async def test_what_is_wrong_with_a_completion_is_said(client: Client, body: Any, words: str) -> None:
    status, sentence = await answer(client, COMPLETIONS, body)
    assert (status, words in sentence) == (400, True), sentence
    assert len(sentence) < 300


@pytest.mark.parametrize("content", ["\ud800", [{"type": "text", "text": "\udc00"}], "long " * 4000])
async def test_what_is_wrong_with_a_conversation_is_said(client: Client, content: Any) -> None:
    assert (await answer(client, CHAT, {"messages": [{"role": "user", "content": content}]}))[0] == 400
    assert (await answer(client, CHAT, {"messages": [{"role": "\ud801", "content": "a"}]}))[0] == 400


WRONG: dict[str, tuple[object, ...]] = {
    **dict.fromkeys(("stream", "echo", "ignore_eos"), (0, 1, "true", "", [], {}, 1.0)),
    "stream_options": (True, 1, "x", [], {"include_usage": "yes"}, {"include_usage": 1}),
    "model": (True, 1, [], {}, ["a"]),
    "min_tokens": (True, "1", -1, 1.0),
    "stop_token_ids": ([1], "x", 5),
    "bad_words": (["a"],),
    "guided_json": ({"type": "object"}, "{}"),
    "skip_special_tokens": (False, 1, "x"),
    "use_beam_search": (True, 0),
    "prediction": ({"type": "content", "content": "a"},),
}


@pytest.mark.parametrize(("name", "value"), [(name, value) for name, values in WRONG.items() for value in values])
async def test_a_field_of_another_type_or_meaning_is_refused_by_name(client: Client, name: str, value: object) -> None:
    status, sentence = await answer(client, COMPLETIONS, {"prompt": "a", "max_tokens": 1} | {name: value})
    assert (status, name in sentence or "include_usage" in sentence) == (400, True), sentence


@pytest.mark.parametrize(
    ("message", "words"),
    [
        ({"role": "user"}, "messages[0].content must be a string"),
        ({"role": "user", "content": None}, "messages[0].content must be a string"),
        ({"role": "assistant", "content": None, "tool_calls": [{"id": "x"}]}, "messages[0] has tool_calls"),
    ],
)
async def test_a_message_without_text_is_refused(client: Client, message: dict[str, Any], words: str) -> None:
    status, sentence = await answer(client, CHAT, {"messages": [message], "max_tokens": 1})
    assert (status, words in sentence) == (400, True), sentence
    assert (await answer(client, CHAT, {"messages": [{"role": "user", "content": "a"}], "logprobs": 1}))[0] == 400


@pytest.mark.parametrize("name", ["seed", "top_k", "logprobs", "temperature", "top_p", "min_p", "repetition_penalty", "max_tokens", "n"])
@pytest.mark.parametrize("value", [10**30, -(10**30), 1e308, float("nan"), 1e-300, [], {}, "x", True])
async def test_no_value_of_a_field_breaks_the_server(client: Client, name: str, value: Any) -> None:
    status, _ = await answer(client, COMPLETIONS, {"prompt": "a", "max_tokens": 1, "temperature": 1.0} | {name: value})
    assert status in (200, 400)


@pytest.mark.parametrize(("given", "taken"), [(1e-300, 0.0), (1e-45, 0.0), (9e-6, 0.0), (1e-5, 1e-5), (0.7, 0.7), (0, 0.0)])
def test_temperatures_that_overflow_are_greedy(given: float, taken: float) -> None:
    assert completion_request({"prompt": [1], "temperature": given}, Tokenizing()).asked.temperature == taken


@pytest.mark.parametrize("charset", ["bogus", "zlib", "utf-16", "rot13"])
@pytest.mark.parametrize("path", [COMPLETIONS, TOKENIZE])
async def test_json_is_utf8_whatever_the_charset_says(client: Client, path: str, charset: str) -> None:
    status, _ = await answer(client, path, {"prompt": "ä", "max_tokens": 1}, **{"Content-Type": f"application/json; charset={charset}"})
    assert status == 200


async def test_a_compressed_body_is_refused_in_words(client: Client) -> None:
    status, sentence = await answer(client, TOKENIZE, b"", **{"Content-Encoding": "gzip"})
    assert (status, "send it as it is" in sentence) == (415, True)


async def test_a_body_beyond_the_context_is_not_read(client: Client) -> None:
    for path in (COMPLETIONS, TOKENIZE):
        status, sentence = await answer(client, path, {"prompt": "ab " * most_bytes(100)})
        assert (status, "more than a context of 100 tokens holds" in sentence) == (413, True)


@pytest.mark.parametrize(
    ("origin", "status"),
    [
        *((origin, 403) for origin in ("http://evil.example", "null", "http://127.0.0.1:1", "", "http://[::1", "http://[", "//", "http://a:b")),
        *((origin, 403) for origin in ("file://", "chrome-extension://x", "http://" + "a" * 5000, "\u00e4")),
        (None, 200),
        ("own", 200),
    ],
)
async def test_pages_of_other_sites_are_not_answered(client: Client, origin: str | None, status: int) -> None:
    own = f"http://{client.server.host}:{client.server.port}"
    headers = {} if origin is None else {"Origin": own if origin == "own" else origin}
    assert (await answer(client, TOKENIZE, {"prompt": "a"}, **{"Content-Type": "text/plain"} | headers))[0] == status
    assert (await client.get("/health", headers=headers)).status == 200


@pytest.mark.parametrize(
    ("name", "key", "status"), [("evil.example", None, 403), ("evil.example", "k", 200), ("localhost", None, 200), ("[::1]", None, 200)]
)
async def test_a_site_that_points_its_name_here_is_not_answered_without_a_key(worker: Worker, name: str, key: str | None, status: int) -> None:
    async with TestClient[Any, Any](TestServer(make_app(worker, key))) as client:
        headers = {"Host": f"{name}:80", "Origin": f"http://{name}:80"} | ({"Authorization": f"Bearer {key}"} if key else {})
        assert (await answer(client, TOKENIZE, {"prompt": "a"}, **headers))[0] == status


@pytest.mark.parametrize(
    ("given", "status"),
    [("Bearer k", 200), ("bearer k", 200), ("BEARER  k ", 200), ("Bearer K", 401), ("Basic k", 401), ("k", 401), ("Bearer", 401), ("Bearerk", 401)],
)
async def test_the_scheme_of_a_key_has_no_case(worker: Worker, given: str, status: int) -> None:
    async with TestClient[Any, Any](TestServer(make_app(worker, "k"))) as client:
        assert (await answer(client, TOKENIZE, {"prompt": "a"}, Authorization=given))[0] == status


class Tokenizing:
    """A backend whose tokenizer takes half a second."""

    name, context, vocabulary, words = "slow", 100, 100, "slowly"

    def __init__(self) -> None:
        self.threads: set[int] = set()

    def encode(self, text: str, *, special: bool = True) -> list[int]:
        del text, special
        self.threads.add(threading.get_ident())
        time.sleep(0.5)
        return [1]

    def decode(self, tokens: Sequence[int]) -> str:
        self.threads.add(threading.get_ident())
        return "x" * len(tokens)

    def chat(self, messages: Sequence[dict[str, str]]) -> list[int]:
        del messages
        return self.encode("")

    def generate(self, request: GenerationRequest, stopped: Callable[[], bool]) -> Iterator[GenerationChunk]:
        del request, stopped
        yield GenerationChunk("x", (1,), "stop")

    def score(self, tokens: Sequence[int], top: int) -> list[TokenProbability]:
        del top
        return [TokenProbability(token, 0.0, ()) for token in tokens[1:]]


@pytest.mark.parametrize(
    ("path", "body"),
    [
        (TOKENIZE, {"prompt": "a"}),
        (COMPLETIONS, {"prompt": "a", "max_tokens": 1}),
        (COMPLETIONS, {"prompt": [1, 2], "max_tokens": 0, "echo": True, "logprobs": 1}),
        (CHAT, {"messages": [{"role": "user", "content": "a"}], "max_tokens": 1}),
    ],
)
async def test_nobody_waits_for_a_tokenizer(path: str, body: dict[str, Any]) -> None:
    backend = Tokenizing()
    worker = Worker(backend)
    async with TestClient[Any, Any](TestServer(make_app(worker))) as client:
        asked = asyncio.create_task(answer(client, path, body))
        slowest = 0.0
        while not asked.done():
            began = time.monotonic()
            assert (await client.get("/health")).status == 200
            slowest = max(slowest, time.monotonic() - began)
            await asyncio.sleep(0.01)
        assert (await asked)[0] == 200
        assert slowest < 0.25
        assert threading.get_ident() not in backend.threads
    worker.close()


def test_bodies() -> None:
    assert most_bytes(100) < most_bytes(4096) < most_bytes(10**9) == 32 << 20
    assert parsed(b'\xef\xbb\xbf{"a": "\\ud83d\\ude00"}') == {"a": "😀"}
    assert json.loads(token_list(list(range(10_000)))) == {"tokens": list(range(10_000)), "count": 10_000}
    assert json.loads(token_list([])) == {"tokens": [], "count": 0}
    with pytest.raises(RequestError, match="lone surrogate"):
        parsed(b'["\\ud83d", "\\ude00"]')
