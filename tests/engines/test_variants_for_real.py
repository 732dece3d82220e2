"""The servers that engines bring themselves, for real.

LLMOPT_ENGINE_LLAMA_CPP names an environment with llama-cpp-python[server] and llama-server,
LLMOPT_ENGINE_TRANSFORMERS one with transformers[serving].
"""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from core.benchmark.server.serving import Server, served
from core.engine import Engine, Missing, ServeSpec, look_up
from core.errors import RequestError, RunFailed
from core.formats.gguf.write.convert import convert, plan_conversion
from core.models.resolve import resolve
from engines.common import http

PROMPT = "import os\nimport sys\n\ndef main("
CONTEXT = 256
REFERENCE = {"llama-cpp/llama-server": "llama-cpp/own", "llama-cpp/python": "llama-cpp/own", "transformers/serve": "transformers"}
pytestmark = pytest.mark.engines


@pytest.fixture(scope="module")
def gguf(tmp_path_factory: pytest.TempPathFactory) -> str:
    file = tmp_path_factory.mktemp("gguf") / "base.gguf"
    convert(plan_conversion(resolve("bundled:base").path, "base"), file, "F32")
    return str(file)


@pytest.fixture(scope="module", params=sorted(REFERENCE))
def started(request: pytest.FixtureRequest, gguf: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Engine, Server, Engine, Server]]:
    """A server, and this program's own over the same engine."""
    folder = tmp_path_factory.mktemp("server")
    with ExitStack() as stack:
        both: list[Any] = []
        for name in (request.param, REFERENCE[request.param]):
            engine = look_up(name)
            if isinstance(missing := engine.find(), Missing):
                pytest.skip(missing.reason)
            model = gguf if name.startswith("llama-cpp") else "bundled:base"
            spec = ServeSpec(model=model, engine=name, context=CONTEXT, concurrency=2, threads=1, dtype="float32", device="cpu")
            both += [engine, stack.enter_context(served(engine, spec, folder / f"{name.replace('/', '-')}.log"))]
        yield both[0], both[1], both[2], both[3]


def said(engine: Engine, server: Server, prompt: str = PROMPT) -> str:
    endpoint = replace(server.endpoint, style="completions")
    return "".join(piece.text for piece in engine.generate(endpoint, prompt, 16))


def test_it_says_what_the_same_engine_says_in_our_server(started: tuple[Engine, Server, Engine, Server]) -> None:
    engine, server, own, other = started
    assert server.endpoint.model in engine.models(server.endpoint)
    assert server.version in str(engine.find())
    text = said(engine, server)
    assert text
    assert text == said(own, other)


def test_requests_at_once_are_all_answered_to_their_end(started: tuple[Engine, Server, Engine, Server]) -> None:
    engine, server, _, _ = started
    prompts = [f"{PROMPT}{number}" for number in range(6)]
    alone = [said(engine, server, prompt) for prompt in prompts]
    with ThreadPoolExecutor(6) as pool:
        assert list(pool.map(lambda prompt: said(engine, server, prompt), prompts)) == alone


def test_a_wrong_request_is_a_sentence(started: tuple[Engine, Server, Engine, Server]) -> None:
    engine, server, _, _ = started
    with pytest.raises(RequestError, match=r"HTTP [45]\d\d"):
        http.post_json(server.endpoint, "/v1/chat/completions", {"model": server.endpoint.model, "messages": "none"})
    assert engine.readiness(server.endpoint).state == "ready"


def test_a_text_is_scored_or_it_is_said_why_not(started: tuple[Engine, Server, Engine, Server]) -> None:
    engine, server, own, other = started
    scoring: Any = engine
    if engine.facts.name != "llama-cpp/python":
        with pytest.raises(RequestError, match="log-probabilities"):
            scoring.score(server.endpoint, PROMPT, None, 2)
        return
    own_scoring: Any = own
    found, expected = scoring.score(server.endpoint, PROMPT, None, 2), own_scoring.score(other.endpoint, PROMPT, None, 2)
    # It leaves out the token that begins a text, and so the first of the text stands behind nothing.
    assert [score.text for score in found] == [score.text for score in expected[1:]]
    assert [score.logprob for score in found] == pytest.approx([score.logprob for score in expected[1:]], abs=1e-3)


def test_llama_server_gives_every_sequence_its_context_and_counts(started: tuple[Engine, Server, Engine, Server]) -> None:
    engine, server, _, _ = started
    if engine.facts.name != "llama-cpp/llama-server":
        pytest.skip("a property of llama-server")
    told = http.get_json(server.endpoint, "/props")
    assert told["total_slots"] == 2
    assert told["default_generation_settings"]["n_ctx"] >= CONTEXT
    before = engine.figures(server.endpoint)
    *_, last = engine.generate(server.endpoint, PROMPT, 16)
    after = engine.figures(server.endpoint)
    assert after.generated is not None
    assert before.generated is not None
    assert after.generated - before.generated == last.completion_tokens
    assert after.prefix_hits is not None


def test_a_damaged_file_is_told(tmp_path: Path, gguf: str) -> None:
    damaged = tmp_path / "damaged.gguf"
    damaged.write_bytes(Path(gguf).read_bytes()[:-200_000])
    for name in ("llama-cpp/llama-server", "llama-cpp/python"):
        engine = look_up(name)
        if isinstance(missing := engine.find(), Missing):
            pytest.skip(missing.reason)
        spec = ServeSpec(model=str(damaged), engine=name, context=CONTEXT, threads=1)
        with pytest.raises((RunFailed, RequestError), match="damaged"), served(engine, spec, tmp_path / "log"):
            pass
