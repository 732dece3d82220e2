"""Quality through a server: our own, held against the model itself."""

from __future__ import annotations

import asyncio
import json
import math
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from aiohttp import web

from core import text
from core.benchmark.quality import measure as quality
from core.benchmark.quality.passages import passages_of
from core.benchmark.quality.reference import model_scores
from core.benchmark.quality.truncated import divergences
from core.benchmark.result import Quality
from core.benchmark.server.serving import served
from core.benchmark.server.target import Target, serve_spec, tokenizer_of
from core.benchmark.spec import BenchmarkSpec
from core.benchmark.workload.prompts import Tokenizer
from core.engine import Endpoint, Missing, look_up
from core.errors import RequestError
from core.formats.gguf.write.convert import convert, plan_conversion
from core.formats.opening import open_whole
from core.models.card import ModelCard
from core.models.resolve import resolve
from core.text import Corpus
from engines.server.app import make_app
from engines.server.backends.base import Backend
from engines.server.backends.runtime import RuntimeBackend
from engines.server.worker import Worker
from tests.core.conftest import RecordingContext
from tests.core.evaluate.measure import divergence, perplexity
from tests.core.formats.gguf.models import make_model
from tests.engines.documented import documented

TOKENS, WINDOW = 400, 100


class Own:
    """A server of this program in a thread."""

    def __init__(self, backend: Backend) -> None:
        self.worker = Worker(backend)
        self.loop = asyncio.new_event_loop()
        self.port = 0
        ready = threading.Event()
        self.thread = threading.Thread(target=self._run, args=(ready,), daemon=True)
        self.thread.start()
        ready.wait(20)

    @property
    def endpoint(self) -> Endpoint:
        return Endpoint(f"http://127.0.0.1:{self.port}", self.worker.backend.name, ignores_eos=True)

    def close(self) -> None:
        self.loop.call_soon_threadsafe(self.loop.stop)
        self.thread.join(10)
        self.worker.close()

    def _run(self, ready: threading.Event) -> None:
        asyncio.set_event_loop(self.loop)
        runner = web.AppRunner(make_app(self.worker))
        self.loop.run_until_complete(runner.setup())
        self.loop.run_until_complete(web.TCPSite(runner, "127.0.0.1", 0).start())
        self.port = runner.addresses[0][1]
        ready.set()
        self.loop.run_forever()
        self.loop.run_until_complete(runner.cleanup())


@pytest.fixture(scope="module")
def own(tiny_llama_dir: Path) -> Iterator[Own]:
    server = Own(RuntimeBackend(str(tiny_llama_dir), 128, "float32", "cpu"))
    yield server
    server.close()


def spec_of(model: Path, **options: Any) -> BenchmarkSpec:
    spec = BenchmarkSpec.parse({"model": str(model), "quality_tokens": TOKENS, "context": WINDOW + 1} | options)
    assert isinstance(spec, BenchmarkSpec)
    return spec


def known(spec: BenchmarkSpec) -> tuple[Tokenizer, ModelCard]:
    tokenizer, card = tokenizer_of(spec)
    assert tokenizer is not None
    assert card is not None
    return tokenizer, card


def measured(own: Own, spec: BenchmarkSpec, context: RecordingContext) -> Quality:
    target = Target(look_up("runtime"), own.endpoint, "own")
    return quality.measure(spec, target, *known(spec), context)


def row_of(spec: BenchmarkSpec) -> torch.Tensor:
    return torch.tensor(known(spec)[0].encode(text.load("builtin").text[: 16 * TOKENS])[:TOKENS])


def test_perplexity_through_our_server_is_that_of_the_evaluation(own: Own, tiny_llama_dir: Path, context: RecordingContext) -> None:
    spec = spec_of(tiny_llama_dir)
    found = measured(own, spec, context)
    expected = perplexity(open_whole(resolve(str(tiny_llama_dir)), torch.float32), row_of(spec), WINDOW)
    assert found.ppl == pytest.approx(expected.ppl, rel=1e-5)
    assert found.ppl_se == pytest.approx(expected.ppl_se, rel=1e-4)
    assert found.tokens == expected.tokens == 4 * (WINDOW - 1)
    assert f"4 windows of {WINDOW} tokens" in found.words
    assert "python-stdlib/held-out" in found.words


@pytest.mark.llama
def test_a_gguf_file_is_scored_in_the_windows_of_its_own_tokenizer(context: RecordingContext, tmp_path: Path) -> None:
    from engines.server.backends.llama_cpp import LlamaCppBackend

    folder = make_model(tmp_path / "m", "qwen3")
    convert(plan_conversion(folder, "m"), tmp_path / "m.gguf", "F32")
    server = Own(LlamaCppBackend(str(tmp_path / "m.gguf"), 128, 1, 0))
    spec, window = spec_of(tmp_path / "m.gguf", context=65), 64
    tokenizer, _ = known(spec_of(folder))
    row = torch.tensor(tokenizer.encode(text.load("builtin").text[: 16 * TOKENS])[:TOKENS])
    try:
        found = quality.measure(spec, Target(look_up("llama-cpp"), server.endpoint, "own"), None, resolve(str(folder)).card(), context)
    finally:
        server.close()
    expected = perplexity(open_whole(resolve(str(folder)), torch.float32), row, window)
    assert (found.tokens, found.ppl) == (expected.tokens, pytest.approx(expected.ppl, rel=1e-3))


@pytest.mark.engines
@pytest.mark.slow
def test_perplexity_through_vllm_is_that_of_the_evaluation(context: RecordingContext, tmp_path: Path) -> None:
    engine = look_up("vllm")
    if isinstance(found := engine.find(), Missing):
        pytest.skip(found.reason)
    spec = spec_of(Path("bundled:base"), context=None, quality_tokens=2048, engine="vllm", device="cpu", quality_reference="bundled:base")
    tokenizer, card = known(spec)
    with served(engine, serve_spec(spec, quality.needs(spec, tokenizer, card)), tmp_path / "server.log") as server:
        measured = quality.measure(spec, Target(engine, server.endpoint, "vLLM"), tokenizer, card, context)
    row = torch.tensor(tokenizer.encode(text.load("builtin").text[: 16 * 2048])[:2048])
    expected = perplexity(open_whole(resolve("bundled:base"), torch.float32), row, quality.window_of(spec, card))
    assert measured.tokens == expected.tokens
    assert measured.ppl == pytest.approx(expected.ppl, rel=0.02), measured.words
    assert measured.kl_mean is not None
    assert measured.kl_mean < 0.02


def test_the_model_itself_as_reference_does_not_diverge(own: Own, tiny_llama_dir: Path, context: RecordingContext) -> None:
    for reference in (str(tiny_llama_dir), own.endpoint.url):
        found = measured(own, spec_of(tiny_llama_dir, quality_reference=reference), context)
        assert found.kl_mean == pytest.approx(0.0, abs=1e-5)
        assert "truncated KL" in found.words


def test_another_model_diverges_at_most_as_far_as_the_whole_vocabulary_says(tiny_llama_dir: Path, other: Path) -> None:
    spec = spec_of(tiny_llama_dir)
    tokenizer, _ = known(spec)
    corpus = text.load("builtin")
    passages, probe = passages_of(corpus, tokenizer, TOKENS, WINDOW), (corpus.text[:500], tokenizer.encode(corpus.text[:500]))
    one, two = (model_scores(str(path), passages, probe, 20, "cpu", lambda: None) for path in (tiny_llama_dir, other))
    truncated = [value for first, second in zip(one, two, strict=True) for value in divergences(first, second)]
    models = [open_whole(resolve(str(path)), torch.float32) for path in (tiny_llama_dir, other)]
    whole = divergence(models[0], models[1], row_of(spec), WINDOW)
    assert len(truncated) == whole.tokens
    assert 0.0 < sum(truncated) / len(truncated) < whole.kl_mean
    every_one, every_two = (model_scores(str(path), passages, probe, 320, "cpu", lambda: None) for path in (tiny_llama_dir, other))
    every = [value for first, second in zip(every_one, every_two, strict=True) for value in divergences(first, second)]
    assert sum(every) / len(every) == pytest.approx(whole.kl_mean, rel=1e-3)


@pytest.fixture(scope="module")
def other(tiny_llama_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same model with other weights in its head."""
    import shutil

    from safetensors.torch import load_file, save_file

    folder = tmp_path_factory.mktemp("other") / "model"
    shutil.copytree(tiny_llama_dir, folder)
    file = folder / "model.safetensors"
    tensors = {name: tensor + 0.05 * torch.randn(tensor.shape).to(tensor.dtype) for name, tensor in load_file(file).items()}
    save_file(tensors, file, metadata={"format": "pt"})
    return folder


def test_questions_are_scored_by_probability(own: Own, tiny_llama_dir: Path, context: RecordingContext, tmp_path: Path) -> None:
    """The oracle: each answer's log-probability by the model itself."""
    spec = spec_of(tiny_llama_dir, quality_tokens=0, choices=str(tmp_path / "questions.jsonl"))
    tokenizer, _ = known(spec)
    model = open_whole(resolve(str(tiny_llama_dir)), torch.float32)
    questions = [{"question": f"def f{number}(x):", "choices": ["return x", "raise", "while True"]} for number in range(4)]
    for question in questions:
        question["answer"] = likeliest(model, tokenizer, str(question["question"]), list(question["choices"]))  # type: ignore[assignment]
    (tmp_path / "questions.jsonl").write_text("\n".join(json.dumps(question) for question in questions))
    found = measured(own, spec, context)
    assert (found.correct, found.questions, found.accuracy) == (4, 4, 1.0)
    assert "log-probability per byte" in found.words
    assert found.ppl is None


def likeliest(model: Any, tokenizer: Tokenizer, question: str, choices: list[str]) -> int:
    totals = []
    for choice in choices:
        before, behind = tokenizer.encode(question), tokenizer.encode(f" {choice}")
        row = torch.tensor([[*before, *behind]])
        with torch.inference_mode():
            logs = model(row).logits[0, :-1].log_softmax(-1)
        own = logs.gather(1, row[0, 1:, None])[:, 0]
        totals.append(float(own[-len(behind) :].sum()) / len(choice.encode()))
    return totals.index(max(totals))


def test_a_server_that_tells_nothing_is_asked_for_letters(context: RecordingContext, tmp_path: Path) -> None:
    file = tmp_path / "questions.jsonl"
    file.write_text("\n".join(json.dumps({"question": "?", "choices": ["x", "y"], "answer": answer}) for answer in (0, 1, 1)))
    said = 'data: {"choices":[{"delta":{"content":"B, I think"},"finish_reason":"stop"}]}\n\ndata: [DONE]\n\n'
    with documented({"/v1/chat/completions": said}) as server:
        spec = BenchmarkSpec.parse({"model": server.url, "quality_tokens": 100, "choices": str(file)})
        assert isinstance(spec, BenchmarkSpec)
        found = quality.measure(spec, Target(look_up("openai"), Endpoint(server.url, "m"), "it"), None, None, context)
    assert (found.ppl, found.correct, found.questions) == (None, 2, 3)
    assert "perplexity is not known: OpenAI-compatible server returns no log-probabilities" in found.words
    assert "the first letter" in found.words


def test_text_without_a_tokenizer_is_cut_by_characters(own: Own, tiny_llama_dir: Path, context: RecordingContext) -> None:
    spec = BenchmarkSpec.parse({"model": own.endpoint.url, "quality_tokens": 90, "context": 31})
    assert isinstance(spec, BenchmarkSpec)
    found = quality.measure(spec, Target(look_up("openai"), own.endpoint, "own"), None, None, context)
    assert found.ppl is not None
    assert "pieces cut by characters" in found.words
    assert found.tokens == 3 * 90


def test_a_text_that_is_too_short_has_a_sentence() -> None:
    with pytest.raises(RequestError, match="does not fill one window"):
        passages_of(Corpus("short", "abc"), None, 100, 50)


def test_the_context_of_a_started_server_holds_a_window_and_the_questions(tiny_llama_dir: Path, tmp_path: Path) -> None:
    spec = spec_of(tiny_llama_dir)
    tokenizer, card = known(spec)
    assert quality.window_of(spec, card) == WINDOW
    assert quality.needs(spec, tokenizer, card) == WINDOW + 1
    assert quality.window_of(spec_of(tiny_llama_dir, context=None), card) == 127
    assert quality.window_of(spec_of(tiny_llama_dir, quality_tokens=9), card) == 9
    (tmp_path / "q").write_text(json.dumps({"question": "x" * 300, "choices": ["a", "b"], "answer": 0}))
    assert quality.needs(spec_of(tiny_llama_dir, quality_tokens=0, choices=str(tmp_path / "q")), tokenizer, card) > 300
    assert quality.needs(spec_of(tiny_llama_dir, quality_tokens=0), tokenizer, card) == 0


@pytest.mark.parametrize(
    ("values", "word"),
    [
        ({"model": "bundled:base", "quality_reference": "bundled:draft"}, "give quality-tokens"),
        ({"model": "http://x", "quality_reference": "bundled:base", "quality_tokens": 5}, "a server's address as the reference"),
    ],
)
def test_a_reference_that_cannot_be_used_is_refused(values: dict[str, Any], word: str) -> None:
    with pytest.raises(RequestError, match=word):
        BenchmarkSpec.parse(values)


def test_an_impossible_token_is_said() -> None:
    from core.engine import TokenScore

    ppl, _ = quality.perplexity([(TokenScore("a", -math.inf), TokenScore("b", -1.0))])
    assert ppl == math.inf
