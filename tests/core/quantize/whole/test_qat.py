"""Quantization-aware training of a tiny model: it comes nearer to the original, keeps what it must, and goes on after a stop."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from core.errors import Cancelled, RequestError
from core.models.load import load_model
from core.models.stream.streaming import StreamedModel
from core.quantize.run import run
from core.quantize.spec import QuantizeSpec
from core.quantize.whole import qat
from core.runs.steps import Steps
from tests.core.quantize.conftest import RecordingContext

SMALL = {"calibration_samples": 16, "calibration_length": 64, "context": 64, "eval_tokens": 1024, "bits": 3, "granularity": "channel"}


def spec_for(model: Path, **values: object) -> QuantizeSpec:
    return QuantizeSpec.model_validate({"model": str(model), "method": "qat", "train_steps": 12, "learning_rate": 1e-2} | SMALL | values)


def losses(context: RecordingContext) -> list[float]:
    return [value for name, value, _, _ in context.metrics if name == "train_loss"]


def test_training_comes_nearer_to_the_original_than_rounding(tiny_llama_dir: Path, context: RecordingContext) -> None:
    trained = run(spec_for(tiny_llama_dir, train_steps=30), context)
    done = [step for step, _, _ in context.steps]
    rounded = run(spec_for(tiny_llama_dir, method="rtn"), context)
    assert trained.metrics.kl_mean is not None
    assert rounded.metrics.kl_mean is not None
    assert trained.metrics.kl_mean < 0.9 * rounded.metrics.kl_mean
    assert trained.metrics.bits_per_quantized_weight == rounded.metrics.bits_per_quantized_weight
    found = losses(context)
    assert len(found) == 30
    assert found[-1] < found[0]
    assert done == sorted(done)
    assert trained.error_of == "outputs"
    assert all(0 < layer.error < 1 for layer in trained.layers)


@pytest.mark.parametrize(
    "values",
    [{"format": "gptq", "bits": 4}, {"bits": 4, "granularity": "group", "group_size": 32, "symmetric": False}, {"granularity": "tensor"}],
    ids=str,
)
def test_any_grid_in_any_integer_format(values: dict[str, object], tiny_llama_dir: Path, context: RecordingContext) -> None:
    result = run(spec_for(tiny_llama_dir, train_steps=2, eval_tokens=256, **values), context)
    assert result.format == values.get("format", "compressed-tensors")
    assert result.metrics.ppl_after is not None
    original = load_file(tiny_llama_dir / "model.safetensors")
    written = load_file(Path(result.out) / "model.safetensors")
    kept = [name for name in original if name in written]
    assert "model.embed_tokens.weight" in kept
    assert all(torch.equal(original[name], written[name]) for name in kept), "only the linears of the blocks may move"


def test_goes_on_after_a_cancel_to_the_same_checkpoint(tiny_llama_dir: Path, tmp_path: Path) -> None:
    def context_in(name: str) -> RecordingContext:
        artifacts = tmp_path / name
        artifacts.mkdir()
        made = RecordingContext(artifacts)
        made.kept = tmp_path / f"kept-{name}"
        return made

    whole = context_in("whole")
    expected = run(spec_for(tiny_llama_dir, eval_tokens=0, train_steps=6), whole)
    parts = context_in("parts")
    parts.cancel_when = lambda context: len(losses(context)) == 3
    with pytest.raises(Cancelled):
        run(spec_for(tiny_llama_dir, eval_tokens=0, train_steps=6), parts)
    parts.cancel_when = lambda context: False
    again = run(spec_for(tiny_llama_dir, eval_tokens=0, train_steps=6), parts)
    assert losses(parts) == losses(whole)
    first, second = (load_file(Path(result.out) / "model.safetensors") for result in (expected, again))
    assert all(torch.equal(first[name], second[name]) for name in first)


def test_the_loss_is_the_divergence_from_the_unrounded_model_at_positions_with_a_next_token(tiny_llama_dir: Path, context: RecordingContext) -> None:
    spec = spec_for(tiny_llama_dir, train_steps=1)
    windows = torch.randint(2, 258, (6, 32), generator=torch.Generator().manual_seed(1))
    original, model = (load_model(tiny_llama_dir, torch.float32, "cpu") for _ in range(2))
    with StreamedModel.open(tiny_llama_dir, torch.float32) as streamed:
        rounded = qat._round_linears(model, streamed, spec)
    with torch.no_grad():
        p, q = (each(input_ids=windows).logits[:, :-1].double().softmax(-1) for each in (original, model))
    qat._train(model, list(rounded.values()), windows, spec, Steps(context, 1))
    assert losses(context) == [pytest.approx(float((p * (p / q).log()).sum(-1).mean()), rel=1e-3)]


def test_what_does_not_fit_the_memory_is_refused_before_it_is_read(
    tiny_llama_dir: Path, context: RecordingContext, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(qat, "_free_bytes", lambda device: 10 * 2**20)
    with pytest.raises(RequestError, match=r"training takes about .* GiB are free: choose gptq"):
        run(spec_for(tiny_llama_dir), context)
    assert not losses(context)
