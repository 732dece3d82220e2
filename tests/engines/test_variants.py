"""Engines with several servers: which are found, their exact commands, what each says otherwise than OpenAI does."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from core import engine as engines
from core.engine import Command, Endpoint, Found, Missing, ServerFigures, ServeSpec, look_up
from core.errors import RequestError
from core.formats.gguf.write.convert import convert, plan_conversion
from core.models.disk.gguf_header import GgufHeader
from engines.common import probing
from tests.core.formats.gguf.models import make_model
from tests.engines.documented import Answer, documented

SERVER_HELP = (
    "--host --port --alias --ctx-size --parallel --threads --cache-type-k --cache-type-v --gpu-layers --metrics --seed "
    "--spec-type --spec-draft-model --model-draft --spec-draft-n-max --draft-max N the argument has been removed"
)
OLDER_HELP = "--host --port --ctx-size --parallel --model-draft --draft-max"
PYTHON_HELP = "--model --host --port --model_alias --n_ctx --n_threads --n_threads_batch --n_gpu_layers --seed --interrupt_requests --type_k --type_v"
TRANSFORMERS_HELP = "--host --port --device --dtype --quantization --default-seed"


@pytest.fixture(scope="module")
def gguf(tmp_path_factory: pytest.TempPathFactory) -> str:
    folder = tmp_path_factory.mktemp("gguf")
    convert(plan_conversion(make_model(folder / "m", "llama"), "m"), folder / "tiny.gguf", "F32")
    return str(folder / "tiny.gguf")


def install(folder: Path, monkeypatch: pytest.MonkeyPatch, engine: str, **programs: str) -> None:
    """Programs that print a text whatever they are asked; what `python` prints is the version of every package."""
    for name, text in programs.items():
        file = folder / "bin" / name.replace("_", "-")
        file.parent.mkdir(exist_ok=True)
        file.write_text(f"#!/bin/sh\ncat <<'END'\n{text}\nEND\n")
        file.chmod(0o755)
    monkeypatch.setenv(f"LLMOPT_ENGINE_{engine}", str(folder))
    probing.output.cache_clear()


def commanded(name: str, model: str, **options: Any) -> Command:
    engine = look_up(name)
    found = engine.find()
    assert isinstance(found, Found), found
    return engine.command(ServeSpec(model=model, engine=name, **options), found, 8123)


def after(argv: tuple[str, ...], flag: str) -> str:
    return argv[argv.index(flag) + 1]


def test_variants_are_named_behind_their_engine() -> None:
    names = engines.all_names()
    assert {"llama-cpp/llama-server", "llama-cpp/python", "llama-cpp/own", "transformers/serve"} <= set(names)
    assert [name for name in names if "/" not in name] == list(engines.names())
    for name in names:
        assert look_up(name).facts.name == name
        assert isinstance(look_up(name), engines.ScoringEngine)


@pytest.mark.parametrize(
    ("name", "words"), [("llama-cpp/x", "llama-cpp/llama-server, llama-cpp/python"), ("vllm/", "choose vllm itself"), ("x/y", "unknown engine")]
)
def test_a_variant_that_there_is_not_is_refused(name: str, words: str) -> None:
    with pytest.raises(RequestError, match=words):
        look_up(name)


def test_llama_server_shares_its_context_among_its_sequences(gguf: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    install(tmp_path, monkeypatch, "LLAMA_CPP", llama_server=f"version: 5123 (abc)\nbuilt with GNU 12.2.0\n{SERVER_HELP}")
    found = look_up("llama-cpp").find()
    assert found == Found("5123", (str(tmp_path / "bin/llama-server"),))
    for name in ("llama-cpp", "llama-cpp/llama-server"):
        argv = commanded(name, gguf, context=100, concurrency=3, threads=2).argv
        assert argv[:3] == (str(tmp_path / "bin/llama-server"), "-m", gguf)
        assert (after(argv, "--host"), after(argv, "--port")) == ("127.0.0.1", "8123")
        assert (after(argv, "--parallel"), after(argv, "--ctx-size")) == ("3", "300")
    argv = commanded("llama-cpp", gguf, context=100).argv
    assert int(after(argv, "--ctx-size")) == 100 * int(after(argv, "--parallel"))
    assert "--ctx-size" not in commanded("llama-cpp", gguf, concurrency=3).argv


NEWER_FLAGS, OLDER_FLAGS = ("--spec-draft-model", "--spec-draft-n-max"), ("--model-draft", "--draft-max")


@pytest.mark.parametrize(("help_text", "flags"), [(SERVER_HELP, NEWER_FLAGS), (OLDER_HELP, OLDER_FLAGS)])
def test_llama_server_drafts_by_the_flags_of_its_version(
    help_text: str, flags: tuple[str, str], gguf: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    install(tmp_path, monkeypatch, "LLAMA_CPP", llama_server=f"version: 1\n{help_text}")
    argv = commanded("llama-cpp/llama-server", gguf, draft=gguf, gamma=3).argv
    assert (after(argv, flags[0]), after(argv, flags[1])) == (gguf, "3")
    assert ("--spec-type" in argv) == (help_text == SERVER_HELP)


def test_llama_cpp_pythons_server_lets_answers_end(gguf: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    install(tmp_path, monkeypatch, "LLAMA_CPP", python="0.3.36")
    assert look_up("llama-cpp/python").find() == Found("0.3.36", (str(tmp_path / "bin/python"), "-m", "llama_cpp.server"))
    install(tmp_path, monkeypatch, "LLAMA_CPP", python=f"0.3.36\n{PYTHON_HELP} --flash_attn")
    found = Found("0.3.36", (str(tmp_path / "bin/python"), "-m", "llama_cpp.server"))
    spec = ServeSpec(model=gguf, engine="llama-cpp/python", context=64, threads=2, kv_dtype="q8_0")
    argv = look_up("llama-cpp/python").command(spec, found, 8123).argv
    assert argv[1:5] == ("-m", "llama_cpp.server", "--model", gguf)
    assert (after(argv, "--interrupt_requests"), after(argv, "--n_ctx"), after(argv, "--n_threads")) == ("False", "64", "2")
    assert (after(argv, "--type_k"), after(argv, "--flash_attn")) == ("8", "True")
    assert not look_up("llama-cpp/python").command(spec, found, 8123).notes
    monkeypatch.setattr("engines.variants.llama_cpp_python.read_gguf_header", lambda _path: GgufHeader(3, {}, ()))
    assert any("no chat template" in note for note in look_up("llama-cpp/python").command(spec, found, 8123).notes)
    chosen = spec.model_copy(update={"extra": ("--chat_format", "chatml")})
    assert not look_up("llama-cpp/python").command(chosen, found, 8123).notes
    with pytest.raises(RequestError, match="no cache type fp8"):
        look_up("llama-cpp/python").command(spec.model_copy(update={"kv_dtype": "fp8"}), found, 8123)


def test_transformers_serve_is_told_what_it_knows(tiny_llama_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    install(tmp_path, monkeypatch, "TRANSFORMERS", python="5.23.0", transformers=TRANSFORMERS_HELP)
    made = commanded("transformers/serve", str(tiny_llama_dir), device="cpu", dtype="float32", context=64, threads=2, seed=3)
    assert made.argv[:3] == (str(tmp_path / "bin/transformers"), "serve", str(tiny_llama_dir.resolve()))
    assert (after(made.argv, "--device"), after(made.argv, "--dtype"), after(made.argv, "--default-seed")) == ("cpu", "float32", "3")
    assert made.environment["OMP_NUM_THREADS"] == "2"
    assert any("context" in note for note in made.notes)
    with pytest.raises(RequestError, match="kv-dtype"):
        commanded("transformers/serve", str(tiny_llama_dir), kv_dtype="fp8")


def test_our_server_takes_its_own_python_where_the_engines_does_not_have_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    own = look_up("transformers").find()
    install(tmp_path, monkeypatch, "TRANSFORMERS", python="False")
    assert look_up("transformers").find() == own
    install(tmp_path, monkeypatch, "TRANSFORMERS", python="True")
    found = look_up("transformers").find()
    assert isinstance(found, Missing)
    assert "Transformers is not installed" in found.reason


def test_a_server_whose_packages_are_missing_names_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    versions = 'case "$2" in *fastapi*|*uvicorn*) exit 1;; esac; echo 1.2.3'
    (tmp_path / "bin").mkdir()
    for name in ("python", "transformers"):
        (tmp_path / "bin" / name).write_text(f"#!/bin/sh\n{versions}\n")
        (tmp_path / "bin" / name).chmod(0o755)
    for engine in ("LLAMA_CPP", "TRANSFORMERS"):
        monkeypatch.setenv(f"LLMOPT_ENGINE_{engine}", str(tmp_path))
    probing.output.cache_clear()
    for name in ("llama-cpp/python", "transformers/serve"):
        found = look_up(name).find()
        assert isinstance(found, Missing)
        assert "lacks fastapi, uvicorn" in found.reason
    assert "has no program llama-server" in getattr(look_up("llama-cpp/llama-server").find(), "reason", "")


@pytest.mark.parametrize(
    ("name", "option"),
    [
        ("llama-cpp/own", {"quantization": "awq"}),
        ("llama-cpp/python", {"draft": "bundled:draft"}),
        ("transformers/serve", {"draft": "bundled:draft"}),
        ("transformers/serve", {"tensor_parallel": 2}),
        ("llama-cpp/own", {"kv_dtype": "q8_0"}),
    ],
)
def test_what_a_server_cannot_is_refused(name: str, option: dict[str, Any]) -> None:
    with pytest.raises(RequestError, match="omit"):
        look_up(name).command(ServeSpec(model="bundled:base", engine=name, **option), Found("1", ("/bin/true",)), 8123)


def test_our_server_finds_a_relative_path_and_takes_a_key_from_the_environment(gguf: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(Path(gguf).parent)
    monkeypatch.delenv("LLMOPT_API_KEY", raising=False)
    for name, model, expected in (
        ("llama-cpp/own", Path(gguf).name, gguf),
        ("runtime", "m", str(Path(gguf).parent / "m")),
        ("runtime", "org/x", "org/x"),
    ):
        made = look_up(name).command(ServeSpec(model=model, engine=name), Found("1", ("/bin/true",)), 8123)
        assert after(made.argv, "--model") == expected
        assert "--key-env" not in made.argv
    monkeypatch.setenv("LLMOPT_API_KEY", "sk-secret")
    made = look_up("runtime").command(ServeSpec(model="m", engine="runtime"), Found("1", ("/bin/true",)), 8123)
    assert after(made.argv, "--key-env") == "LLMOPT_API_KEY"
    assert "sk-secret" not in made.shown()


def test_llama_cpp_takes_nothing_but_gguf_files(gguf: str) -> None:
    for name in ("llama-cpp/llama-server", "llama-cpp/python"):
        with pytest.raises(RequestError, match=r"bundled:base is not one: create one"):
            look_up(name).command(ServeSpec(model="bundled:base", engine=name), Found("1", ("/bin/true",)), 8123)
    with pytest.raises(RequestError, match="bundled:draft is not one"):
        look_up("llama-cpp").command(ServeSpec(model=gguf, draft="bundled:draft", engine="llama-cpp"), Found("1", ("/bin/true",)), 8123)


LLAMA_METRICS = """# TYPE llamacpp:prompt_tokens_total counter
llamacpp:prompt_tokens_total 90
# TYPE llamacpp:prompt_tokens_cached_total counter
llamacpp:prompt_tokens_cached_total 30
# TYPE llamacpp:tokens_predicted_total counter
llamacpp:tokens_predicted_total 64
# TYPE llamacpp:spec_decode_num_draft_tokens_total counter
llamacpp:spec_decode_num_draft_tokens_total 50
# TYPE llamacpp:spec_decode_num_accepted_tokens_total counter
llamacpp:spec_decode_num_accepted_tokens_total 40
# TYPE llamacpp:requests_processing gauge
llamacpp:requests_processing 2
# TYPE llamacpp:requests_deferred gauge
llamacpp:requests_deferred 1
"""


def test_llama_servers_figures_are_read_by_whoever_attaches() -> None:
    expected = ServerFigures(running=2, waiting=1, prefix_hits=30, prefix_queries=120, drafted=50, accepted=40, generated=64)
    with documented({"/metrics": LLAMA_METRICS}) as server:
        for name in ("llama-cpp", "llama-cpp/llama-server"):
            assert look_up(name).figures(Endpoint(server.url)) == expected


def test_transformers_serve_names_the_model_that_it_is_pinned_to() -> None:
    engine = look_up("transformers/serve")
    pinned = (400, """{"detail":"Server is pinned to '/models/it's here'; requested ''."}""")
    with documented({"/v1/completions": pinned, "/v1/models": (500, "Internal Server Error")}) as server:
        assert engine.models(Endpoint(server.url)) == ("/models/it's here",)
    listed: dict[str, Answer] = {"/v1/completions": (500, "no such model"), "/v1/models": {"object": "list", "data": [{"id": "org/a"}]}}
    with documented(listed) as server:
        assert engine.models(Endpoint(server.url)) == ("org/a",)


ECHO = {
    "choices": [{"logprobs": {"tokens": ["a", "b", "!"], "token_logprobs": [None, -0.5, -0.1], "top_logprobs": [None, {"b": -0.5}, {"!": -0.1}]}}],
    "usage": {"prompt_tokens": 3, "completion_tokens": 1, "total_tokens": 4},
}


def test_the_token_behind_an_echo_is_not_scored() -> None:
    engine: Any = look_up("llama-cpp/python")
    with documented({"/v1/completions": ECHO}) as server:
        found = engine.score(Endpoint(server.url, "m"), "ab", [1, 2], 1)
        assert [(score.text, score.logprob) for score in found] == [("b", -0.5)]
        assert server.asked[0][2] == {"model": "m", "prompt": "ab", "max_tokens": 1, "echo": True, "logprobs": 1, "temperature": 0}
    for damaged in ([], {"choices": []}, {"choices": [5], "usage": {}}, {"choices": [{"logprobs": 3}], "usage": {"completion_tokens": 1}}):  # type: ignore[var-annotated]
        with documented({"/v1/completions": damaged}) as server, pytest.raises(RequestError, match="returns no log-probabilities"):
            engine.score(Endpoint(server.url, "m"), "ab", None, 1)


@pytest.mark.parametrize(
    ("line", "word"),
    [
        ("llama_model_load: error loading model: unknown model architecture: 'new'", "use a newer one"),
        ("E alloc_tensor_range: failed to allocate CPU buffer of size 20480000000", "lower context"),
        ("ValueError: Failed to load model from file: x.gguf", "damaged"),
    ],
)
def test_a_llama_that_does_not_start_is_explained(line: str, word: str) -> None:
    for name in ("llama-cpp", "llama-cpp/llama-server", "llama-cpp/python"):
        assert word in look_up(name).explain([line, "exiting"])
