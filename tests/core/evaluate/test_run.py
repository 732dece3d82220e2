"""`llmopt evaluate` from request to result, on a real small model."""

from __future__ import annotations

import hashlib
import json
import math
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from core import text
from core.errors import Cancelled, RequestError
from core.evaluate.encoding import encode
from core.evaluate.result import EvaluateResult
from core.evaluate.run import run
from core.evaluate.spec import EvaluateSpec
from core.formats.layouts.compressed_tensors.integers import CompressedTensors
from core.models.load import load_model, load_tokenizer
from core.numerics.grid import Grid
from core.quantize.linear.rtn import quantize
from tests.core.evaluate.measure import perplexity


class Recorder:
    """A context that keeps what it was told."""

    device = "cpu"

    def __init__(self, cancel_at: int | None = None) -> None:
        self.steps: list[tuple[int, int, str]] = []
        self.curve: list[tuple[str, float, int]] = []
        self.lines: list[str] = []
        self._cancel_at = cancel_at

    def progress(self, done: int, total: int, label: str) -> None:
        self.steps.append((done, total, label))

    def metric(self, name: str, value: float, step: int = 0, label: str = "") -> None:
        self.curve.append((name, value, step))

    def log(self, text: str) -> None:
        self.lines.append(text)

    def check_cancelled(self) -> None:
        if self._cancel_at is not None and len(self.steps) >= self._cancel_at:
            raise Cancelled("stopped")


def spec_of(folder: Path, **values: Any) -> EvaluateSpec:
    return EvaluateSpec(**{"model": str(folder), "context": 64, "tokens": 640} | values)


@pytest.mark.parametrize("method", ["rtn", "fp8"])
def test_packed_kernels_find_what_dequantized_weights_find(method: str, tiny_llama_dir: Path, novel: Path, tmp_path: Path) -> None:
    from core.quantize.run import run as quantize_folder
    from core.quantize.spec import QuantizeSpec
    from tests.benchmarks._silent import SilentContext

    folder = tmp_path / "quantized"
    settings: dict[str, Any] = {"group_size": 32} if method == "rtn" else {}
    quantize_folder(QuantizeSpec(model=str(tiny_llama_dir), method=method, eval_tokens=0, out=str(folder), **settings), SilentContext(tmp_path))
    reference = run(spec_of(folder, text=str(novel), reference=str(tiny_llama_dir)), Recorder())
    context = Recorder()
    packed = run(spec_of(folder, text=str(novel), reference=str(tiny_llama_dir), kernels="packed"), context)
    assert packed.ppl == pytest.approx(reference.ppl, rel=1e-3)
    assert packed.kl_mean == pytest.approx(reference.kl_mean, rel=0.02)
    assert any("for 14 linears" in line and (method != "rtn" or "int4" in line) for line in context.lines)
    assert packed.evaluation.dtype == "float32, packed weights"


@pytest.mark.parametrize("stated", ["kv_cache_scheme", "k_scale", "k_proj.output_scale"])
def test_a_scheme_for_the_cache_is_said_to_be_left_out(stated: str, tiny_llama_dir: Path, novel: Path, tmp_path: Path) -> None:
    folder = tmp_path / "model"
    shutil.copytree(tiny_llama_dir, folder)
    if stated == "kv_cache_scheme":
        config = json.loads((folder / "config.json").read_text())
        scheme = CompressedTensors(4, True, "group", 32)
        tensors = {name: tensor for name, tensor in load_file(folder / "model.safetensors").items() if not name.endswith("up_proj.weight")}
        for layer in range(2):
            name = f"model.layers.{layer}.mlp.up_proj"
            weight = load_file(tiny_llama_dir / "model.safetensors")[f"{name}.weight"].float()
            tensors |= scheme.compress(name, quantize(weight, None, Grid(4, True, "group", 32)))
        change = {"quantization_config": scheme.config(["lm_head"]) | {"kv_cache_scheme": {"num_bits": 8, "type": "float"}}}
        (folder / "config.json").write_text(json.dumps(config | change))
    else:
        tensors = load_file(folder / "model.safetensors") | {f"model.layers.0.self_attn.{stated}": torch.ones(1)}
    save_file(tensors, folder / "model.safetensors", {"format": "pt"})
    for streaming in ("on", "off"):
        found = run(spec_of(folder, text=str(novel), streaming=streaming), Recorder())
        assert any("KV cache" in warning for warning in found.warnings)


def test_packed_kernels_and_streaming_are_refused_together(tiny_llama_dir: Path) -> None:
    with pytest.raises(RequestError, match="--kernels dequantized"):
        EvaluateSpec.parse({"model": str(tiny_llama_dir), "kernels": "packed", "streaming": "on"})


def test_a_model_alone(tiny_llama_dir: Path, novel: Path) -> None:
    context = Recorder()
    result = run(spec_of(tiny_llama_dir, text=str(novel)), context)
    encoding = encode(text.user(novel), load_tokenizer(tiny_llama_dir), 640)
    expected = perplexity(load_model(tiny_llama_dir, torch.float32), encoding.tokens, 64, token_bytes=encoding.token_bytes)
    assert result.ppl == pytest.approx(expected.ppl, rel=1e-6)
    assert result.bits_per_byte == pytest.approx(expected.bits_per_byte, rel=1e-6)
    assert result.nll_se == pytest.approx(expected.nll_se, rel=1e-6)
    assert result.tokens == expected.tokens == 10 * 63
    assert result.kl_mean is None
    assert result.metrics["ppl"] == result.ppl
    assert "kl_mean" not in result.metrics
    assert context.steps[-1][:2] == (10, 10)
    assert {total for _, total, _ in context.steps} == {10}
    assert context.curve[-1] == ("ppl", pytest.approx(result.ppl), 10)


def test_the_convention_is_stated(tiny_llama_dir: Path, novel: Path) -> None:
    stated = run(spec_of(tiny_llama_dir, text=str(novel)), Recorder()).evaluation
    assert stated.corpus == "novel.txt"
    assert stated.sha256 == hashlib.sha256(novel.read_bytes()).hexdigest()
    assert (stated.context, stated.stride, stated.scoring, stated.bos, stated.windows) == (64, 64, "all-targets", "text", 10)
    assert stated.tokens_scored == 630
    assert stated.bytes == 630, "one byte a token of this tokenizer, and the BOS token is no target"
    assert stated.dtype == "float32"


def test_a_model_beside_its_reference(tiny_llama_dir: Path, noisy_llama_dir: Path, novel: Path) -> None:
    result = run(spec_of(noisy_llama_dir, reference=str(tiny_llama_dir), text=str(novel)), Recorder())
    alone = run(spec_of(noisy_llama_dir, text=str(novel)), Recorder())
    reference = run(spec_of(tiny_llama_dir, text=str(novel)), Recorder())
    assert result.ppl == pytest.approx(alone.ppl)
    assert result.ppl_ref == pytest.approx(reference.ppl)
    assert result.ppl_ratio == pytest.approx(alone.ppl / reference.ppl)
    assert result.kl_mean is not None
    assert result.kl_mean > 0
    assert result.top1_agreement is not None
    assert 0 < result.top1_agreement < 1
    assert EvaluateResult.model_validate({name: value for name, value in json.loads(result.model_dump_json()).items() if name != "metrics"}) == result


def test_a_model_is_its_own_best_reference(tiny_llama_dir: Path, novel: Path) -> None:
    result = run(spec_of(tiny_llama_dir, reference=str(tiny_llama_dir), text=str(novel), stride=17), Recorder())
    assert (result.kl_mean, result.kl_max, result.top1_agreement, result.ppl_ratio) == (0, 0, 1, 1)
    assert result.tokens == 639


def test_streamed_and_whole_models_give_the_same_figures(tiny_llama_dir: Path, noisy_llama_dir: Path, novel: Path) -> None:
    context = Recorder()
    values: dict[str, Any] = {"reference": str(tiny_llama_dir), "text": str(novel)}
    whole = run(spec_of(noisy_llama_dir, streaming="off", **values), Recorder())
    streamed = run(spec_of(noisy_llama_dir, streaming="on", **values), context)
    for name in ("ppl", "ppl_ref", "kl_mean", "top1_agreement", "bits_per_byte"):
        assert getattr(streamed, name) == pytest.approx(getattr(whole, name), rel=1e-4), name
    assert context.steps[-1][:2] == (14, 14)
    assert {total for _, total, _ in context.steps} == {14}


def test_llama_cpps_convention(tiny_llama_dir: Path, novel: Path) -> None:
    result = run(spec_of(tiny_llama_dir, text=str(novel), scoring="llama.cpp"), Recorder())
    assert result.evaluation.bos == "window"
    assert result.tokens == 10 * 31


def test_the_built_in_text_is_the_default(tiny_llama_dir: Path) -> None:
    result = run(spec_of(tiny_llama_dir, tokens=128), Recorder())
    assert result.evaluation.corpus == "python-stdlib/held-out"
    assert result.evaluation.sha256 == text.builtin("held-out").sha256


def test_a_text_that_ends_early_is_said(tiny_llama_dir: Path, novel: Path) -> None:
    context = Recorder()
    result = run(spec_of(tiny_llama_dir, text=str(novel), tokens=1_000_000), context)
    assert len(result.warnings) == 1
    assert "fewer than the 1000000 requested" in result.warnings[0]
    assert context.lines == list(result.warnings)


def test_a_run_is_cancelled_between_windows(tiny_llama_dir: Path, novel: Path) -> None:
    context = Recorder(cancel_at=4)
    with pytest.raises(Cancelled):
        run(spec_of(tiny_llama_dir, text=str(novel)), context)
    assert len(context.steps) == 4


@pytest.mark.parametrize(
    ("values", "sentence"),
    [
        ({"context": 256}, "context 256 is more than the 128 positions of .*tiny-llama: give --context 128 or less"),
        ({"text": "absent.txt"}, "cannot read the text absent.txt"),
        ({"reference": "/nowhere"}, "/nowhere"),
        ({"model": "/nowhere"}, "/nowhere"),
    ],
)
def test_what_cannot_be_done_is_refused_before_weights_are_read(tiny_llama_dir: Path, values: dict[str, Any], sentence: str) -> None:
    context = Recorder()
    with pytest.raises(RequestError, match=sentence):
        run(spec_of(tiny_llama_dir, **values), context)
    assert not context.steps


def test_a_short_text_is_refused_before_weights_are_read(tiny_llama_dir: Path, tmp_path: Path) -> None:
    (tmp_path / "short.txt").write_text("too short")
    context = Recorder()
    with pytest.raises(RequestError, match=r"the text has 10 tokens, and one window needs 64: give a longer text or a smaller --context"):
        run(spec_of(tiny_llama_dir, text=str(tmp_path / "short.txt")), context)
    assert not context.steps


def test_a_reference_with_other_words_is_refused(tiny_llama_dir: Path, other_words_dir: Path) -> None:
    with pytest.raises(RequestError, match=r"the tokenizers of .* differ"):
        run(spec_of(tiny_llama_dir, reference=str(other_words_dir)), Recorder())


def test_a_reference_with_another_vocabulary_is_refused(tiny_llama_dir: Path, other_words_dir: Path) -> None:
    config = json.loads((other_words_dir / "config.json").read_text())
    (other_words_dir / "config.json").write_text(json.dumps(config | {"vocab_size": 512}))
    with pytest.raises(RequestError, match=r"vocabularies differ \(.* 512 and .* 320\)|vocabularies differ \(.* 320 and .* 512\)"):
        run(spec_of(tiny_llama_dir, reference=str(other_words_dir)), Recorder())


@pytest.mark.parametrize(
    ("values", "sentence"),
    [
        ({"tokens": 32}, "tokens 32 do not fill one window of context 64"),
        ({"stride": 65}, "stride 65 would skip text"),
        ({"stride": 5, "scoring": "llama.cpp"}, "leave --stride out"),
        ({"context": 7}, "context = 7"),
    ],
)
def test_fields_that_do_not_fit_together(values: dict[str, Any], sentence: str) -> None:
    with pytest.raises(RequestError, match=sentence):
        EvaluateSpec.parse({"model": "m", "context": 64, "tokens": 640} | values)


def test_a_quantized_checkpoint_cannot_be_streamed(tiny_llama_dir: Path, other_words_dir: Path) -> None:
    config = json.loads((other_words_dir / "config.json").read_text())
    config["quantization_config"] = {"quant_method": "a method of tomorrow"}
    (other_words_dir / "config.json").write_text(json.dumps(config))
    with pytest.raises(RequestError, match="quantized in a way that does not support streaming: give --streaming off"):
        run(spec_of(other_words_dir, streaming="on"), Recorder())


def test_standard_errors_are_of_the_right_size(tiny_llama_dir: Path, noisy_llama_dir: Path, novel: Path) -> None:
    result = run(spec_of(noisy_llama_dir, reference=str(tiny_llama_dir), text=str(novel)), Recorder())
    assert result.top1_agreement is not None
    assert result.top1_se is not None
    assert 1 <= result.top1_se / math.sqrt(result.top1_agreement * (1 - result.top1_agreement) / (result.tokens - 1)) < 2
    assert result.ppl_se == pytest.approx(result.ppl * result.nll_se)
