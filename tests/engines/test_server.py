"""The OpenAI-compatible server over real models: answers, streams, probabilities, refusals, clients that leave."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from aiohttp.test_utils import TestClient, TestServer

from core.benchmark.client.replies import DIALECTS
from core.runtime.generate import generate
from engines.server.app import make_app
from engines.server.backends.base import Backend, GenerationChunk, GenerationRequest, TokenProbability
from engines.server.backends.runtime import RuntimeBackend
from engines.server.backends.transformers import TransformersBackend
from engines.server.worker import Worker

Client = TestClient[Any, Any]
PROMPT = "def f(x):"


@pytest.fixture(scope="module", params=["runtime", "transformers"])
def worker(request: pytest.FixtureRequest, tiny_llama_dir: Path) -> Iterator[Worker]:
    made: dict[str, Callable[..., Backend]] = {"runtime": RuntimeBackend, "transformers": TransformersBackend}
    worker = Worker(made[request.param](str(tiny_llama_dir), 100, "float32", "cpu"))
    yield worker
    worker.close()


@pytest.fixture
async def client(worker: Worker) -> AsyncIterator[Client]:
    async with TestClient(TestServer(make_app(worker))) as made:
        yield made


async def asked(client: Client, path: str, **body: Any) -> dict[str, Any]:
    response = await client.post(path, json=body)
    found: dict[str, Any] = await response.json()
    assert response.status == 200, found
    return found


def greedy(worker: Worker, count: int) -> tuple[list[int], str]:
    model: Any = worker.backend
    tokens = generate(model.model, torch.tensor(model.encode(PROMPT)), max_new_tokens=count).tokens[0]
    return tokens, model.tokenizer.decode(tokens)


async def test_the_model_is_listed(client: Client, worker: Worker) -> None:
    listed = await (await client.get("/v1/models")).json()
    assert [model["id"] for model in listed["data"]] == [worker.backend.name]
    assert listed["data"][0]["max_model_len"] == 100
    assert (await client.get("/health")).status == 200


async def test_a_completion_is_the_models_own_text(client: Client, worker: Worker) -> None:
    tokens, text = greedy(worker, 12)
    found = await asked(client, "/v1/completions", prompt=PROMPT, max_tokens=12, temperature=0, ignore_eos=True)
    assert found["choices"][0]["text"] == text
    assert found["choices"][0]["finish_reason"] == "length"
    prompt = len(worker.backend.encode(PROMPT))
    assert found["usage"] == {"prompt_tokens": prompt, "completion_tokens": len(tokens), "total_tokens": prompt + len(tokens)}
    by_tokens = await asked(client, "/v1/completions", prompt=worker.backend.encode(PROMPT), max_tokens=12, temperature=0, ignore_eos=True)
    assert by_tokens["choices"][0]["text"] == text


async def test_a_stream_is_the_same_text_in_pieces(client: Client, worker: Worker) -> None:
    _, text = greedy(worker, 12)
    body = {"prompt": PROMPT, "max_tokens": 12, "temperature": 0, "ignore_eos": True, "stream": True, "stream_options": {"include_usage": True}}
    response = await client.post("/v1/completions", json=body)
    assert response.headers["Content-Type"].startswith("text/event-stream")
    reply = DIALECTS["openai"]([(0, await response.read())])
    assert "".join(piece.text for piece in reply.pieces) == text
    assert len(reply.pieces) > 1
    assert reply.usage.completion == 12
    assert reply.complete


async def test_a_conversation_is_answered(client: Client, worker: Worker) -> None:
    messages = [{"role": "system", "content": "be short"}, {"role": "user", "content": [{"type": "text", "text": "hi"}]}]
    found = await asked(client, "/v1/chat/completions", messages=messages, max_tokens=5, temperature=0)
    assert found["object"] == "chat.completion"
    assert isinstance(found["choices"][0]["message"]["content"], str)
    assert found["usage"]["prompt_tokens"] == len(worker.backend.encode("be short\nhi\n"))


async def test_a_stop_string_ends_the_text_before_it(client: Client, worker: Worker) -> None:
    _, text = greedy(worker, 12)
    stop = text[5:7]
    found = await asked(client, "/v1/completions", prompt=PROMPT, max_tokens=12, temperature=0, ignore_eos=True, stop=[stop])
    assert found["choices"][0]["text"] == text[: text.index(stop)]
    assert found["choices"][0]["finish_reason"] == "stop"


async def test_equal_seeds_give_equal_texts(client: Client) -> None:
    texts = [
        (await asked(client, "/v1/completions", prompt=PROMPT, max_tokens=12, temperature=1.0, seed=seed, ignore_eos=True))["choices"][0]["text"]
        for seed in (1, 1, 2)
    ]
    assert texts[0] == texts[1] != texts[2]


async def test_the_prompt_is_scored_as_the_model_scores_it(client: Client, worker: Worker) -> None:
    model: Any = worker.backend
    tokens = model.encode(PROMPT)
    found = await asked(client, "/v1/completions", prompt=tokens, max_tokens=0, echo=True, logprobs=3)
    row = torch.tensor([tokens])
    with torch.inference_mode():
        expected = model.model(row).logits[0, :-1].log_softmax(-1).gather(1, row[0, 1:, None])[:, 0]
    told = found["choices"][0]["logprobs"]
    assert told["token_logprobs"] == pytest.approx(expected.tolist(), abs=1e-4)
    assert told["token_ids"] == tokens[1:]
    assert all(len(top) == 3 for top in told["top_ids"])
    assert found["usage"]["completion_tokens"] == 0


@pytest.mark.parametrize("temperature", [0.0, 1.0])
async def test_tokens_of_an_answer_come_with_what_the_model_says_of_them(client: Client, worker: Worker, temperature: float) -> None:
    asking = {"prompt": PROMPT, "max_tokens": 6, "temperature": temperature, "seed": 3, "ignore_eos": True, "logprobs": 2}
    told = (await asked(client, "/v1/completions", **asking))["choices"][0]["logprobs"]
    assert len(told["token_ids"]) == 6
    assert told["text_offset"] == [len("".join(told["tokens"][:count])) for count in range(6)]
    both = [*worker.backend.encode(PROMPT), *told["token_ids"]]
    expected = worker.backend.score(both, 2)[-6:]
    assert told["token_logprobs"] == pytest.approx([each.logprob for each in expected], abs=1e-4)
    assert [[token for token, _ in top] for top in told["top_ids"]] == [[token for token, _ in each.top] for each in expected]
    none = (await asked(client, "/v1/completions", **asking | {"logprobs": 0}))["choices"][0]["logprobs"]
    assert none["token_ids"] == told["token_ids"]
    assert none["top_logprobs"] == [{}] * 6


async def test_an_echo_is_streamed_before_the_answer(client: Client) -> None:
    for most in (0, 4):
        body = {"prompt": PROMPT, "max_tokens": most, "temperature": 0, "echo": True, "stream": True, "ignore_eos": True}
        reply = DIALECTS["openai"]([(0, await (await client.post("/v1/completions", json=body)).read())])
        whole = await asked(client, "/v1/completions", **body | {"stream": False})
        assert "".join(piece.text for piece in reply.pieces) == whole["choices"][0]["text"]
        assert whole["choices"][0]["text"].removeprefix("<s>").startswith(PROMPT)


@pytest.mark.parametrize(
    ("path", "body", "param", "code"),
    [
        ("completions", {"prompt": "a", "max_tokens": 500}, "prompt", "context_length_exceeded"),
        ("completions", {"prompt": "a", "model": "other"}, "model", "model_not_found"),
        ("completions", {"prompt": "a", "suffix": "b"}, "suffix", None),
        ("completions", {"prompt": ["a", "b"]}, "prompt", None),
        ("chat/completions", {"messages": [{"role": "user", "content": "a"}], "tools": [{"type": "function"}]}, "tools", None),
        ("chat/completions", {"messages": [{"role": "user", "content": "a"}], "response_format": {"type": "json_object"}}, "response_format", None),
        ("chat/completions", {"messages": [{"role": "user", "content": "a"}], "frequency_penalty": 0.5}, "frequency_penalty", None),
        ("chat/completions", {"messages": [{"role": "user", "content": 5}]}, "messages[0].content", None),
    ],
)
async def test_an_error_names_the_field(client: Client, path: str, body: dict[str, Any], param: str, code: str | None) -> None:
    error = (await (await client.post(f"/v1/{path}", json=body)).json())["error"]
    assert (error["param"], error["code"]) == (param, code)


async def test_fields_that_ask_for_nothing_are_taken(client: Client, worker: Worker) -> None:
    nothing = {
        "tools": [],
        "logit_bias": {},
        "frequency_penalty": 0,
        "presence_penalty": 0.0,
        "response_format": {"type": "text"},
        "user": "x",
        "n": 1,
    }
    tokens = worker.backend.encode(PROMPT)
    found = await asked(client, "/v1/completions", prompt=[tokens], max_tokens=2, temperature=0, ignore_eos=True, **nothing)
    assert found["usage"]["prompt_tokens"] == len(tokens)


@pytest.mark.parametrize(
    ("path", "body", "status", "word"),
    [
        ("/v1/completions", {}, 400, "prompt must be"),
        ("/v1/completions", {"prompt": "a", "max_tokens": 500}, 400, "maximum context length is 100"),
        ("/v1/completions", {"prompt": "a", "temperature": -1}, 400, "temperature"),
        ("/v1/completions", {"prompt": "a", "max_tokens": "many"}, 400, "max_tokens"),
        ("/v1/completions", {"prompt": "a", "n": 2}, 400, "one completion per request"),
        ("/v1/completions", {"prompt": "a", "stop": 5}, 400, "stop must be"),
        ("/v1/completions", {"prompt": "a", "model": "other\u001b[2J"}, 404, "does not exist"),
        ("/v1/chat/completions", {"messages": []}, 400, "at least one message"),
        ("/v1/chat/completions", {"messages": [{"content": "x"}]}, 400, "no role"),
        ("/v1/chat/completions", {"messages": [{"role": "user", "content": [{"type": "image_url"}]}]}, 400, "not text"),
        ("/v1/nothing", {}, 404, ""),
    ],
)
async def test_a_wrong_request_gets_a_sentence_in_openais_form(client: Client, path: str, body: dict[str, Any], status: int, word: str) -> None:
    response = await client.post(path, json=body)
    assert response.status == status
    error = (await response.json())["error"]
    assert word in error["message"]
    assert "\x1b" not in error["message"]
    assert error["type"] == "invalid_request_error"


async def test_a_body_that_is_not_json_is_refused(client: Client) -> None:
    response = await client.post("/v1/completions", data=b"{oops")
    assert response.status == 400
    assert "not JSON" in (await response.json())["error"]["message"]


async def test_figures_are_told_in_prometheus_words(client: Client) -> None:
    await asked(client, "/v1/completions", prompt=PROMPT, max_tokens=3, temperature=0, ignore_eos=True)
    text = await (await client.get("/metrics")).text()
    assert "llmopt_requests_waiting 0.0" in text
    assert "llmopt_generation_tokens_total" in text


class Slow:
    """A backend that never ends, and knows when it was stopped."""

    name, context, vocabulary, words = "slow", 100, 100, "slowly"

    def __init__(self) -> None:
        self.stopped = asyncio.Event()
        self.loop = asyncio.get_running_loop()

    def encode(self, text: str, *, special: bool = True) -> list[int]:
        return [ord(character) for character in text]

    def decode(self, tokens: Any) -> str:
        return "".join(map(chr, tokens))

    def chat(self, messages: Any) -> list[int]:
        return [1]

    def generate(self, asked: GenerationRequest, stopped: Callable[[], bool]) -> Iterator[GenerationChunk]:
        if asked.prompt[0] == ord("!"):
            raise ValueError("broken\x1b[2J kernel")
        import time

        try:
            while not stopped():
                time.sleep(0.01)
                yield GenerationChunk("x", (1,))
        finally:
            with contextlib.suppress(RuntimeError):
                self.loop.call_soon_threadsafe(self.stopped.set)

    def score(self, tokens: Any, top: int) -> list[TokenProbability]:
        return []


async def test_a_client_that_leaves_stops_the_work_and_the_next_is_answered() -> None:
    backend = Slow()
    worker = Worker(backend)
    async with TestClient(TestServer(make_app(worker))) as client:
        response = await client.post("/v1/completions", json={"prompt": "a", "max_tokens": 50, "stream": True})
        await response.content.readany()
        response.close()
        await asyncio.wait_for(backend.stopped.wait(), 5)
        broken = await client.post("/v1/completions", json={"prompt": "!", "max_tokens": 5})
        assert broken.status == 500
        assert "ValueError: broken" in (await broken.json())["error"]["message"]
        streamed = await client.post("/v1/completions", json={"prompt": "!", "max_tokens": 5, "stream": True})
        assert streamed.status == 500
        assert worker.counters.running == 0
    worker.close()


async def test_requests_wait_in_a_queue() -> None:
    worker = Worker(Slow())
    async with TestClient(TestServer(make_app(worker))) as client:
        bodies = [{"prompt": "a", "max_tokens": 50, "stream": True}] * 3
        first = await client.post("/v1/completions", json=bodies[0])
        others = [asyncio.create_task(client.post("/v1/completions", json=body)) for body in bodies[1:]]
        for _ in range(200):
            if (worker.counters.running, worker.counters.waiting) == (1, 2):
                break
            await asyncio.sleep(0.01)
        assert (worker.counters.running, worker.counters.waiting) == (1, 2)
        first.close()
        for other in others:
            other.cancel()
        await asyncio.gather(*others, return_exceptions=True)
    worker.close()


async def test_a_server_with_a_key_answers_whoever_has_it_and_stays_open_to_those_who_watch() -> None:
    worker = Worker(Slow())
    async with TestClient(TestServer(make_app(worker, "sk-right"))) as client:
        for path in ("/health", "/metrics"):
            assert (await client.get(path)).status == 200
        for given in ({}, {"Authorization": "Bearer sk-wrong"}, {"Authorization": "sk-right"}, {"Authorization": "Bearer \xe9"}):
            for response in (await client.get("/v1/models", headers=given), await client.post("/v1/completions", json={}, headers=given)):
                assert response.status == 401
                error = (await response.json())["error"]
                assert error["code"] == "invalid_api_key"
                assert "sk-" not in error["message"]
        assert (await client.get("/v1/models", headers={"Authorization": "Bearer sk-right"})).status == 200
    worker.close()
