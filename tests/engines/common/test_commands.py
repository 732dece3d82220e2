"""The exact commands of servers, by what the installed version knows."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Any

import pytest

from core.benchmark.serve.check import check
from core.engine import Found, Missing, ServeSpec, look_up
from core.errors import RequestError
from engines.common import probing

PACKAGES = {"vllm": "vllm", "sglang": "sglang", "tensorrt-llm": "tensorrt-llm", "ollama": ""}
PROGRAMS = {"vllm": "vllm", "sglang": "sglang", "tensorrt-llm": "trtllm-serve", "ollama": "ollama"}
HELP = {
    "vllm": "--host --port --max-model-len --dtype --quantization --max-num-seqs --seed --enforce-eager --gpu-memory-utilization "
    "--tensor-parallel-size --speculative-config --served-model-name",
    "sglang": "--model-path --host --port --context-length --tp-size --quantization --enable-metrics --random-seed --speculative-algorithm "
    "--speculative-draft-model-path --speculative-num-steps --speculative-num-draft-tokens --speculative-eagle-topk",
    "tensorrt-llm": "--host --port --max_seq_len --max_batch_size --tp_size --config",
    "ollama": "",
}


@pytest.fixture(params=sorted(PROGRAMS))
def installed(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """An environment whose program only knows its version and its help."""
    name: str = request.param
    folder = tmp_path / "bin"
    folder.mkdir()
    for program, text in ((PROGRAMS[name], f"usage: x {HELP[name]}"), ("python", "1.2.3")):
        (folder / program).write_text(f"#!/bin/sh\necho '{text}'\necho 1.2.3\n" if program != "python" else "#!/bin/sh\necho 1.2.3\n")
        (folder / program).chmod(0o755)
    monkeypatch.setenv(f"LLMOPT_ENGINE_{name.upper().replace('-', '_')}", str(tmp_path))
    probing.output.cache_clear()
    return name


def command(name: str, **options: Any) -> tuple[tuple[str, ...], dict[str, str], tuple[str, ...]]:
    engine = look_up(name)
    found = engine.find()
    assert not isinstance(found, Missing)
    assert found.version == "1.2.3"
    made = engine.command(ServeSpec(model="bundled:base", engine=name, **options), found, 8123)
    return made.argv, dict(made.environment), made.notes


def test_a_server_listens_where_it_was_told(installed: str) -> None:
    argv, environment, notes = command(installed, context=512, concurrency=4)
    if installed == "ollama":
        assert environment == {"OLLAMA_HOST": "127.0.0.1:8123", "OLLAMA_CONTEXT_LENGTH": "512", "OLLAMA_NUM_PARALLEL": "4"}
        return
    assert argv[argv.index("--host") + 1] == "127.0.0.1"
    assert argv[argv.index("--port") + 1] == "8123"
    assert "512" in argv
    assert any(word.endswith("bundled/base") for word in argv)
    assert not any("max-running" in word for word in argv)
    assert bool(notes) == (installed in ("sglang", "tensorrt-llm"))


def test_further_arguments_come_last_and_as_they_are(installed: str) -> None:
    argv, _, _ = command(installed, extra=("--flag", "a b"))
    assert argv[-2:] == ("--flag", "a b")


@pytest.mark.parametrize("installed", ["vllm"], indirect=True)
def test_vllm_takes_a_draft_model_as_json(installed: str) -> None:
    argv, _, _ = command(installed, draft="org/draft", gamma=3)
    assert argv[argv.index("--speculative-config") + 1] == '{"model": "org/draft", "num_speculative_tokens": 3}'


@pytest.mark.parametrize("device", ["auto", "cpu"])
def test_vllm_built_for_processors_is_told_so_without_being_asked(device: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(probing, "flags", lambda *_: frozenset(HELP["vllm"].split()))
    engine = look_up("vllm")
    found = Found("0.32.0", ("python", "-m", "vllm.entrypoints.openai.api_server"))
    made = engine.command(ServeSpec.model_validate({"model": "bundled:base", "engine": "vllm", "device": device}), found, 8123)
    assert "--enforce-eager" in made.argv
    assert "--gpu-memory-utilization" not in made.argv
    assert made.environment["VLLM_CPU_KVCACHE_SPACE"] == "1"


@pytest.mark.parametrize("installed", ["sglang"], indirect=True)
def test_sglang_takes_a_draft_model_as_an_algorithm(installed: str) -> None:
    argv, _, _ = command(installed, draft="org/draft", gamma=3)
    expected = {
        "--speculative-algorithm": "STANDALONE",
        "--speculative-draft-model-path": "org/draft",
        "--speculative-num-steps": "3",
        "--speculative-num-draft-tokens": "4",
        "--speculative-eagle-topk": "1",
    }
    assert {flag: argv[argv.index(flag) + 1] for flag in expected} == expected


@pytest.mark.parametrize("installed", ["tensorrt-llm"], indirect=True)
def test_tensorrt_says_what_its_figures_need(installed: str) -> None:
    assert any("enable_iter_perf_stats" in note for note in command(installed)[2])
    assert not any("enable_iter_perf_stats" in note for note in command(installed, extra=("--config", "c.yaml"))[2])
    with pytest.raises(RequestError, match="NVIDIA GPU"):
        command(installed, device="cpu")


@pytest.mark.parametrize("installed", ["vllm"], indirect=True)
def test_what_the_version_does_not_know_and_the_request_needs_is_refused(installed: str) -> None:
    with pytest.raises(RequestError, match="does not support --kv-cache-dtype"):
        command(installed, kv_dtype="fp8")


@pytest.mark.parametrize("installed", ["tensorrt-llm", "ollama"], indirect=True)
def test_what_an_engine_cannot_is_refused(installed: str) -> None:
    with pytest.raises(RequestError, match="draft"):
        command(installed, draft="org/draft")


@pytest.mark.parametrize("name", sorted(PROGRAMS))
def test_an_engine_that_is_not_installed_says_how_to_get_it(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    found = look_up(name).find()
    assert isinstance(found, Missing)
    assert "is not installed" in found.reason


def test_tgi_is_attached_to_and_tells_its_command() -> None:
    found = look_up("tgi").find()
    assert isinstance(found, Missing)
    assert "docker run" in found.reason
    spec = ServeSpec(model="bundled:base", engine="tgi", context=512, dtype="bfloat16", quantization="awq", concurrency=8, extra=("--flag", "a b"))
    with pytest.raises(RequestError) as refused:
        check(spec, None)
    line = str(refused.value).split("`")[1]
    argv = shlex.split(line)
    assert argv[:2] == ["docker", "run"]
    assert argv[argv.index("-p") + 1] == "127.0.0.1:3000:80"
    assert argv[argv.index("-v") + 1].endswith("bundled/base:/model:ro")
    after = argv[argv.index("--model-id") :]
    expected = "--model-id /model --max-total-tokens 512 --quantize awq --dtype bfloat16 --max-concurrent-requests 8 --flag"
    assert after == [*expected.split(), "a b"]
    assert "http://127.0.0.1:3000" in str(refused.value)
