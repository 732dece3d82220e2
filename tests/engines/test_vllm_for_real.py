"""vLLM itself, from the environment that LLMOPT_ENGINE_VLLM names: on a CPU where it was built for one."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest

from core.benchmark.server.serving import Server, served
from core.engine import Engine, Missing, ServeSpec, look_up
from core.errors import RequestError, RunFailed
from engines.common import http

PROMPT = "import os\nimport sys\n\ndef main("
CONTEXT = 256
pytestmark = [pytest.mark.engines, pytest.mark.slow]


@pytest.fixture(scope="module")
def vllm() -> Engine:
    engine = look_up("vllm")
    if isinstance(missing := engine.find(), Missing):
        pytest.skip(missing.reason)
    return engine


@pytest.fixture(scope="module")
def server(vllm: Engine, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    spec = ServeSpec(model="bundled:base", engine="vllm", context=CONTEXT, concurrency=4, dtype="float32", threads=1)
    with served(vllm, spec, tmp_path_factory.mktemp("vllm") / "server.log") as made:
        yield made


def said(engine: Engine, server: Server, prompt: str, most: int = 12) -> str:
    endpoint = replace(server.endpoint, style="completions")
    return "".join(piece.text for piece in engine.generate(endpoint, prompt, most))


def test_it_says_what_our_own_decode_loop_says(vllm: Engine, server: Server, tmp_path: Path) -> None:
    own = look_up("runtime")
    with served(own, ServeSpec(model="bundled:base", engine="runtime", context=CONTEXT, dtype="float32", threads=1), tmp_path / "log") as other:
        assert said(vllm, server, PROMPT) == said(own, other, PROMPT)


def test_its_figures_are_read(vllm: Engine, server: Server) -> None:
    before = vllm.figures(server.endpoint)
    prompts = [f"# number {number}\n{PROMPT * 20}" for number in range(4)]
    with ThreadPoolExecutor(4) as pool:
        assert all(pool.map(lambda prompt: said(vllm, server, prompt, 8), prompts))
    said(vllm, server, prompts[0], 8)
    after = vllm.figures(server.endpoint)
    assert before.generated is not None
    assert after.generated is not None
    assert after.generated - before.generated == 5 * 8
    assert (after.running, after.waiting) == (0, 0)
    assert after.kv_usage is not None
    assert after.prefix_queries is not None
    assert after.prefix_hits is not None
    # Of the prompt that came twice.
    assert after.prefix_hits > (before.prefix_hits or 0)


def test_what_it_refuses_is_told_in_its_words(vllm: Engine, server: Server) -> None:
    with pytest.raises(RequestError, match=r"HTTP 400: .*max_model_len"):
        said(vllm, server, PROMPT, 10 * CONTEXT)
    with pytest.raises(RequestError, match=r"HTTP 404: .*does not exist"):
        said(vllm, replace(server, endpoint=replace(server.endpoint, model="none")), PROMPT)
    assert http.get_json(server.endpoint, "/version")["version"]
    assert vllm.readiness(server.endpoint).state == "ready"


def test_a_start_beyond_the_models_context_is_explained(vllm: Engine, tmp_path: Path) -> None:
    spec = ServeSpec(model="bundled:base", engine="vllm", context=CONTEXT, dtype="float32", extra=("--max-model-len", "100000"))
    with pytest.raises(RunFailed, match="lower context"), served(vllm, spec, tmp_path / "log"):
        pass
