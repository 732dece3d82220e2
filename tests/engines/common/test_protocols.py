"""Each engine against its documented protocol: readiness, models, metrics, text, and sentences for what goes wrong."""

from __future__ import annotations

import json
import socket

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.engine import Endpoint, Engine, ServerFigures, look_up
from core.errors import RequestError
from engines.common.base import read_metrics
from tests.engines.documented import Answer, documented

MODELS = {"object": "list", "data": [{"id": "org/model", "object": "model"}, {"id": "bad\x1b[2Jname"}]}
STREAM = (
    'data: {"choices":[{"delta":{"role":"assistant","content":""}}]}\r\n\r\n: ping\r\n\r\n'
    'data: {"choices":[{"delta":{"content":"Hi"}}]}\r\n\r\ndata: {"choices":[{"delta":{"content":" you"},"finish_reason":"stop"}]}\r\n\r\n'
    'data: {"choices":[],"usage":{"prompt_tokens":4,"completion_tokens":2}}\r\n\r\ndata: [DONE]\r\n\r\n'
)
VLLM = """# HELP vllm:num_requests_running Number of requests in model execution batches.
# TYPE vllm:num_requests_running gauge
vllm:num_requests_running{engine="0",model_name="m"} 3.0
vllm:num_requests_running{engine="1",model_name="m"} 2.0
# TYPE vllm:num_requests_waiting gauge
vllm:num_requests_waiting{engine="0",model_name="m"} 7.0
# TYPE vllm:kv_cache_usage_perc gauge
vllm:kv_cache_usage_perc{engine="0",model_name="m"} 0.25
vllm:kv_cache_usage_perc{engine="1",model_name="m"} 0.5
# TYPE vllm:prefix_cache_queries counter
vllm:prefix_cache_queries_total{engine="0",model_name="m"} 100.0
# TYPE vllm:prefix_cache_hits counter
vllm:prefix_cache_hits_total{engine="0",model_name="m"} 40.0
# TYPE vllm:spec_decode_num_draft_tokens counter
vllm:spec_decode_num_draft_tokens_total{engine="0",model_name="m"} 50.0
# TYPE vllm:spec_decode_num_accepted_tokens counter
vllm:spec_decode_num_accepted_tokens_total{engine="0",model_name="m"} 30.0
# TYPE vllm:generation_tokens counter
vllm:generation_tokens_total{engine="0",model_name="m"} 1234.0
"""
SGLANG = """# TYPE sglang:num_running_reqs gauge
sglang:num_running_reqs{model_name="m"} 4.0
# TYPE sglang:num_queue_reqs gauge
sglang:num_queue_reqs{model_name="m"} 1.0
# TYPE sglang:token_usage gauge
sglang:token_usage{model_name="m"} 0.31
# TYPE sglang:prompt_tokens_total counter
sglang:prompt_tokens_total{model_name="m",is_streaming="true"} 100.0
# TYPE sglang:cached_tokens_total counter
sglang:cached_tokens_total{model_name="m",cache_source="device"} 30.0
sglang:cached_tokens_total{model_name="m",cache_source="host"} 10.0
# TYPE sglang:generation_tokens_total counter
sglang:generation_tokens_total{model_name="m",is_streaming="true"} 55.0
"""
TGI = """# TYPE tgi_batch_current_size gauge
tgi_batch_current_size 5
# TYPE tgi_queue_size gauge
tgi_queue_size 2
# TYPE tgi_request_generated_tokens histogram
tgi_request_generated_tokens_bucket{le="16"} 3
tgi_request_generated_tokens_bucket{le="+Inf"} 4
tgi_request_generated_tokens_sum 70
tgi_request_generated_tokens_count 4
"""
TENSORRT = [
    {
        "gpuMemUsage": 56401920000,
        "numActiveRequests": 1,
        "numQueuedRequests": 0,
        "kvCacheStats": {"maxNumBlocks": 100, "usedNumBlocks": 25, "reusedBlocks": 4, "missedBlocks": 6, "tokensPerBlock": 32},
        "iter": 1,
    }
]
OLLAMA: dict[str, Answer] = {
    "/api/version": {"version": "0.30.1"},
    "/api/tags": {"models": [{"name": "llama3.2:1b", "size": 5}]},
    "/api/ps": {"models": [{"name": "llama3.2:1b", "size": 900, "size_vram": 700}]},
    "/api/generate": '{"response":"Hi","done":false}\n{"response":" you","done":false}\n'
    '{"response":"","done":true,"done_reason":"stop","prompt_eval_count":4,"eval_count":2}\n',
}
OPENAI: dict[str, Answer] = {"/v1/models": MODELS, "/v1/chat/completions": STREAM, "/health": ""}
DOCUMENTED: dict[str, dict[str, Answer]] = {
    "openai": OPENAI,
    "vllm": OPENAI | {"/metrics": VLLM},
    "sglang": OPENAI | {"/metrics": SGLANG},
    "tensorrt-llm": OPENAI | {"/metrics": TENSORRT},
    "tgi": {
        "/health": "",
        "/info": {"model_id": "org/model", "max_total_tokens": 4096},
        "/metrics": TGI,
        "/generate_stream": 'data:{"token":{"id":1,"text":"Hi","special":false},"generated_text":null}\n\n'
        'data:{"token":{"id":2,"text":" you","special":false},"generated_text":"Hi you","details":{"finish_reason":"length","generated_tokens":2,'
        '"input_length":4}}\n\n',
    },
    "ollama": OLLAMA,
}
FIGURES = {
    "openai": ServerFigures(),
    "vllm": ServerFigures(5, 7, 0.5, 40, 100, 50, 30, 1234),
    "sglang": ServerFigures(4, 1, 0.31, 40, 100, generated=55),
    "tensorrt-llm": ServerFigures(1, 0, 0.25, 128, 320, memory=56401920000),
    "tgi": ServerFigures(5, 2, generated=70),
    "ollama": ServerFigures(memory=700),
}


@pytest.mark.parametrize("name", sorted(DOCUMENTED))
def test_an_engine_reads_what_its_server_says(name: str) -> None:
    engine = look_up(name)
    with documented(DOCUMENTED[name]) as server:
        endpoint = Endpoint(server.url, "org/model", engine.facts.style)
        assert engine.readiness(endpoint).state == "ready"
        models = engine.models(endpoint)
        assert models[0] in ("org/model", "llama3.2:1b")
        assert not any("\x1b" in model for model in models)
        assert engine.figures(endpoint) == FIGURES[name]
        *pieces, last = engine.generate(endpoint, "say hi", 5)
        assert [piece.text for piece in pieces] == ["Hi", " you"]
        assert (last.prompt_tokens, last.completion_tokens) == (4, 2)
        assert all(piece.t > 0 for piece in pieces)


@pytest.mark.parametrize("name", sorted(DOCUMENTED))
def test_a_server_that_is_not_there_is_loading_and_its_figures_are_unknown(name: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as unused:
        port = unused.getsockname()[1]
    engine, endpoint = look_up(name), Endpoint(f"http://127.0.0.1:{port}", "m")
    assert engine.readiness(endpoint).state == "loading"
    assert engine.figures(endpoint) == ServerFigures()
    with pytest.raises(RequestError, match="no answer from"):
        engine.models(endpoint)


@pytest.mark.parametrize("name", ["vllm", "sglang", "tensorrt-llm"])
def test_a_server_that_still_loads_is_not_ready(name: str) -> None:
    with documented({"/health": (503, "loading model")}) as server:
        found = look_up(name).readiness(Endpoint(server.url))
    assert found.state == "loading"
    assert "503" in found.words


@pytest.mark.parametrize("name", sorted(DOCUMENTED))
@pytest.mark.parametrize("answer", ["<html>", '{"data": 5, "models": 5}', "[]", '"text"', b"\xff\xfe"])
def test_a_server_of_another_kind_is_told_from_it(name: str, answer: Answer) -> None:
    paths = ("/v1/models", "/info", "/api/tags", "/metrics", "/api/ps")
    with documented(dict.fromkeys(paths, answer)) as server:
        engine, endpoint = look_up(name), Endpoint(server.url)
        with pytest.raises(RequestError):
            engine.models(endpoint)
        assert engine.figures(endpoint) == ServerFigures()


def test_keys_are_sent_refusals_are_told_and_redirections_not_followed() -> None:
    engine = look_up("openai")
    with documented({"/v1/models": (401, "invalid key sk-abc")}) as server, pytest.raises(RequestError, match="refuses the key") as refused:
        engine.models(Endpoint(server.url, key="sk-secret"))
    assert server.keys == ["Bearer sk-secret"]
    assert "sk-" not in str(refused.value)
    with documented({"/v1/models": (302, ""), "/elsewhere": MODELS}) as server, pytest.raises(RequestError, match="HTTP 302"):
        engine.models(Endpoint(server.url, key="sk-secret"))
    assert [path for _, path, _ in server.asked] == ["/v1/models"]


def test_a_request_that_breaks_off_is_told() -> None:
    body = 'data: {"choices":[{"delta":{"content":"Hi"}}]}\n\ndata: {"error":{"message":"CUDA out of memory"}}\n\n'
    with documented({"/v1/chat/completions": body}) as server, pytest.raises(RequestError, match="CUDA out of memory"):
        list(look_up("openai").generate(Endpoint(server.url, "m"), "x", 3))


def test_tensorrts_figures_are_unknown_between_its_iterations() -> None:
    engine = look_up("tensorrt-llm")
    with documented({"/metrics": [{**TENSORRT[0], "numActiveRequests": 9}, TENSORRT[0]]}) as server:
        assert engine.figures(Endpoint(server.url)).running == 1
        server.answers["/metrics"] = []
        assert engine.figures(Endpoint(server.url)) == ServerFigures()
        server.answers["/metrics"] = [
            {"numActiveRequests": 0, "inflightBatchingStats": {"numQueuedRequests": 3}, "kvCacheStats": {"reusedBlocks": 1}}
        ]
        assert engine.figures(Endpoint(server.url)) == ServerFigures(0, 3)


@pytest.mark.parametrize(
    ("name", "path", "answer", "word"),
    [
        ("tgi", "/generate_stream", (429, '{"error":"Model is overloaded","error_type":"overloaded"}'), "HTTP 429: Model is overloaded"),
        (
            "tgi",
            "/generate_stream",
            (422, '{"error":"Input validation error: `inputs` must have less than 1024 tokens","error_type":"validation"}'),
            "less than 1024 tokens",
        ),
        (
            "tgi",
            "/generate_stream",
            'data:{"token":{"id":1,"text":"Hi","special":false}}\n\ndata:{"error":"Request failed during generation","error_type":"generation"}\n\n',
            "failed during generation",
        ),
        ("ollama", "/api/generate", '{"response":"Hi","done":false}\n{"error":"an error was encountered while running the model"}\n', "an error was"),
        ("ollama", "/api/generate", (404, '{"error":"model \'m\' not found"}'), "model 'm' not found"),
        (
            "sglang",
            "/v1/chat/completions",
            (400, '{"object":"error","message":"The input is longer than the model\'s context length","type":"BadRequestError","code":400}'),
            "longer than",
        ),
        (
            "vllm",
            "/v1/chat/completions",
            (404, '{"error":{"message":"The model `m` does not exist.","type":"NotFoundError","param":"model","code":404}}'),
            "does not exist",
        ),
        ("tensorrt-llm", "/v1/chat/completions", (503, '{"object":"error","message":"Health check failed"}'), "HTTP 503: Health check failed"),
    ],
)
def test_a_refusal_is_told_in_the_servers_words(name: str, path: str, answer: Answer, word: str) -> None:
    engine = look_up(name)
    with documented({path: answer}) as server, pytest.raises(RequestError, match=word):
        list(engine.generate(Endpoint(server.url, "m", engine.facts.style), "x", 3))


def test_a_server_is_asked_as_its_documentation_says() -> None:
    with documented(DOCUMENTED["tgi"]) as server:
        list(look_up("tgi").generate(Endpoint(server.url, "m", "tgi"), "say hi", 5, 0.5))
        assert server.asked[-1][2] == {
            "inputs": "say hi",
            "parameters": {"max_new_tokens": 5, "details": True, "do_sample": True, "temperature": 0.5},
        }
        list(look_up("tgi").generate(Endpoint(server.url, "m", "tgi"), "say hi", 5))
        # TGI refuses a temperature of 0: greedy is what it does when it is not told to sample.
        assert server.asked[-1][2] == {"inputs": "say hi", "parameters": {"max_new_tokens": 5, "details": True}}
    with documented(DOCUMENTED["ollama"]) as server:
        list(look_up("ollama").generate(Endpoint(server.url, "m", "ollama"), "say hi", 5))
        assert server.asked[-1][2] == {"model": "m", "prompt": "say hi", "stream": True, "options": {"num_predict": 5, "temperature": 0.0}}


def test_a_sglang_that_has_no_room_says_what_to_raise() -> None:
    log = ["RuntimeError: Not enough memory. Please try to increase --mem-fraction-static.", "Killed"]
    assert "raise gpu-memory" in look_up("sglang").explain(log)


@given(st.text(max_size=200))
def test_no_metrics_bring_it_down(text: str) -> None:
    found = read_metrics(text, {"running": ("a",)}, ())
    assert set(found) == {"running"}


@pytest.mark.parametrize(
    ("line", "word"),
    [
        ("torch.OutOfMemoryError: CUDA out of memory. Tried to allocate", "lower context"),
        ("OSError: [Errno 98] Address already in use", "port is in use"),
        ("ModuleNotFoundError: No module named 'flashinfer'", "lacks a package"),
        ("ValueError: Bfloat16 is only supported on GPUs with compute capability of at least 8.0", "dtype float16"),
        ("ValueError: Available memory on node 0 (20 GiB) on startup is less than desired CPU memory utilization (0.92, 22 GiB)", "lower gpu-memory"),
    ],
)
def test_a_start_that_failed_is_explained(line: str, word: str) -> None:
    assert word in look_up("vllm").explain(["INFO fine", line, "INFO exiting"])


def test_a_log_that_says_nothing_is_not_explained() -> None:
    assert look_up("vllm").explain(["INFO fine"]) == ""


def test_every_engine_says_how_it_was_tried() -> None:
    for name in DOCUMENTED:
        engine = look_up(name)
        assert isinstance(engine, Engine)
        assert json.dumps(engine.facts.summary)
        assert engine.facts.tried in ("for real", "against its protocol")
