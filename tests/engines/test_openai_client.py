"""OpenAI's own client against the server over each backend, in the environment that LLMOPT_PEER_OPENAI names."""

from __future__ import annotations

import json
import math
import os
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from core.benchmark.server.serving import served
from core.engine import Missing, ServeSpec, look_up
from core.models.resolve import resolve
from tests.peers.environments import interpreter, variable

SCRIPT = Path(__file__).parent / "scripts" / "openai_client.py"
BAD = "BadRequestError"
REFUSED = {
    "unknown model": ("NotFoundError", 404, "model", "model_not_found"),
    "unknown model of a completion": ("NotFoundError", 404, "model", "model_not_found"),
    "unknown model asked for": ("NotFoundError", 404, "model", "model_not_found"),
    "temperature": (BAD, 400, "temperature", None),
    "too long": (BAD, 400, "prompt", "context_length_exceeded"),
    "no messages": (BAD, 400, "messages", None),
    "several answers": (BAD, 400, "n", None),
    "several prompts": (BAD, 400, "prompt", None),
    "a picture": (BAD, 400, "messages[0].content", None),
    "tools": (BAD, 400, "tools", None),
    "a form": (BAD, 400, "response_format", None),
    "stream that is refused": (BAD, 400, "temperature", None),
    "embeddings": ("NotFoundError", 404, None, None),
    "wrong key": ("AuthenticationError", 401, None, "invalid_api_key"),
}
KEY = "sk-of-this-test"
pytestmark = pytest.mark.engines


@pytest.fixture(scope="module")
def _key() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        for name in ("LLMOPT_API_KEY", "LLAMA_API_KEY"):
            patch.setenv(name, KEY)
        yield


@pytest.fixture(scope="module", params=["runtime", "transformers", pytest.param("llama-cpp/own", marks=pytest.mark.llama)])
def told(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Any]]:
    """What the client got."""
    python = interpreter("openai")
    if python is None:
        pytest.skip(f"{variable('openai')} names no Python")
    name, folder = request.param, tmp_path_factory.mktemp("server")
    engine = look_up(name)
    if isinstance(missing := engine.find(), Missing):
        pytest.skip(missing.reason)
    spec = ServeSpec(model=_model(name, folder), engine=name, dtype="float32", context=512)
    settings = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"} | {"OPENAI_API_KEY": KEY}
    request.getfixturevalue("_key")
    with served(engine, spec, folder / "server.log") as server:
        assert KEY not in server.command.shown()
        arguments = [python, str(SCRIPT), server.endpoint.url, server.endpoint.model]
        done = subprocess.run(arguments, cwd=folder, env=settings, capture_output=True, text=True, timeout=300, check=False)
        assert done.returncode == 0, done.stderr[-2000:]
        yield json.loads(done.stdout) | {"served": server.endpoint.model}


def _model(engine: str, folder: Path) -> str:
    if engine != "llama-cpp/own":
        return "bundled:base"
    from core.formats.gguf.write.convert import convert, plan_conversion

    file = folder / "base.gguf"
    convert(plan_conversion(resolve("bundled:base").path, "base"), file, "F32")
    return str(file)


def test_models_are_listed_and_found(told: dict[str, Any]) -> None:
    models = told["models"]
    assert models["listed"] == [models["retrieved"]] == [told["served"]]
    assert abs(models["created"] - time.time()) < 3600


def test_a_conversation_is_answered_with_its_usage(told: dict[str, Any]) -> None:
    chat = told["chat"]
    assert (chat["object"], chat["model"], chat["role"]) == ("chat.completion", told["served"], "assistant")
    assert chat["text"]
    assert chat["finish"] in ("stop", "length")
    prompt, answer, both = chat["usage"]
    assert prompt > 0
    assert 0 < answer <= 12
    assert both == prompt + answer
    assert chat["logprobs"] is None
    assert told["newer_limit"] == [3, "length"]


def test_a_stream_says_the_same_and_ends_with_its_usage(told: dict[str, Any]) -> None:
    chat, streamed = told["chat"], told["chat_streamed"]
    assert streamed["text"] == chat["text"] == told["accumulated"]["text"]
    assert streamed["objects"] == ["chat.completion.chunk"]
    assert (streamed["ids"], streamed["role"]) == (1, "assistant")
    assert streamed["pieces"] > 1
    assert streamed["finish"] == [chat["finish"]] == [told["accumulated"]["finish"]]
    assert streamed["last_has_no_choice"]
    assert streamed["usage"] == [chat["usage"][1]]
    assert {"chunk", "content.delta", "content.done"} <= set(told["accumulated"]["kinds"])


def test_completions_whole_streamed_and_at_once_are_the_same(told: dict[str, Any]) -> None:
    whole = told["completion"]
    assert whole["object"] == "text_completion"
    assert whole["text"]
    assert told["completion_streamed"] == {"text": whole["text"], "usage": [whole["usage"][1]]}
    assert told["asynchronous"] == [whole["text"]] * 3
    assert whole["text"].startswith(told["left_early"][0])
    assert told["left_early"][1] == whole["text"]


def test_a_stop_string_ends_the_text_before_it(told: dict[str, Any]) -> None:
    stopped = told["stopped"]
    assert stopped["text"] == stopped["streamed"] == stopped["expected"]
    assert stopped["finish"] == "stop"


def test_equal_seeds_give_equal_texts(told: dict[str, Any]) -> None:
    first, again, other = told["seeded"]
    assert first == again != other


def test_tokens_come_with_their_probabilities(told: dict[str, Any]) -> None:
    chat = told["chat_logprobs"]
    assert "".join(chat["tokens"]) == chat["text"]
    assert all(len(top) == 3 for top in chat["tops"])
    # Of greedy decoding: each token is the likeliest of its place.
    assert chat["logprobs"] == [max(value for _, value in top) for top in chat["tops"]]
    assert all(sum(math.exp(value) for _, value in top) <= 1 + 1e-6 for top in chat["tops"])
    assert chat["streamed"] == pytest.approx(chat["logprobs"], abs=1e-4)
    assert [bytes(data).decode() for data in chat["bytes"]] == chat["tokens"]
    generated, echo = told["completion_logprobs"]["generated"], told["completion_logprobs"]["echo"]
    assert "".join(generated["tokens"]) == told["completion"]["text"]
    assert generated["offsets"] == [len("".join(generated["tokens"][:count])) for count in range(len(generated["tokens"]))]
    assert [max(top.values()) for top in generated["tops"]] == generated["logprobs"]
    assert echo["text"].endswith("".join(echo["tokens"]))
    assert all(value <= 0 for value in echo["logprobs"])


@pytest.mark.parametrize("case", sorted(REFUSED))
def test_what_is_wrong_is_raised_as_the_clients_exception(told: dict[str, Any], case: str) -> None:
    error = told["errors"][case]
    assert (error["raised"], error["status"], error["param"], error["code"]) == REFUSED[case]
    assert error["kind"] == "invalid_request_error"
    assert error["message"]


def test_a_server_that_is_slow_or_gone_is_told_apart(told: dict[str, Any]) -> None:
    assert told["errors"]["too slow"]["raised"] == "APITimeoutError"
    assert told["errors"]["nobody there"]["raised"] == "APIConnectionError"
