"""SmoothQuant's scales are the formula's, and the search for alpha takes the least loss with rounded inputs."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import load_file
from torch import Tensor, nn

from core.calibration.blocks import calibrated_blocks
from core.calibration.statistics import InputStatistics
from core.errors import RunFailed
from core.models.stream.streaming import StreamedModel
from core.numerics.grid import Grid
from core.quantize.linear import rtn, smoothquant
from core.quantize.linear.rounded_inputs import with_rounded_inputs
from core.quantize.linear.scaling import RoundInputs
from core.quantize.linear.smoothquant import SmoothConfig, quantize, scales_of, search
from core.quantize.run import run
from core.quantize.spec import QuantizeSpec
from tests.core.quantize.conftest import RecordingContext
from tests.core.quantize.logits import by_transformers, by_us, with_outliers

GRID = Grid(8, True, "channel")
TOKENS = torch.randint(0, 300, (4, 48), generator=torch.Generator().manual_seed(0))


class Quiet:
    def __init__(self) -> None:
        self.figures: list[tuple[str, float, int, str]] = []

    def say(self, label: str) -> None:
        pass

    def measured(self, name: str, value: float, step: int, label: str) -> None:
        self.figures.append((name, value, step, label))

    def check_cancelled(self) -> None:
        pass


@given(seed=st.integers(0, 2**16), alpha=st.floats(0, 1))
def test_scales_follow_the_formula(seed: int, alpha: float) -> None:
    generator = np.random.default_rng(seed)
    absmax = generator.exponential(size=12).astype(np.float32)
    weights = [generator.normal(size=(rows, 12)).astype(np.float32) for rows in (5, 3)]
    largest = np.maximum(np.max([np.abs(weight).max(axis=0) for weight in weights], axis=0), 1e-5)
    expected = np.maximum(absmax.astype(np.float64) ** alpha / largest.astype(np.float64) ** (1 - alpha), 1e-5)
    found = scales_of(torch.from_numpy(absmax), [torch.from_numpy(weight) for weight in weights], alpha)
    np.testing.assert_allclose(found.numpy(), expected, rtol=1e-4)


def test_dead_inputs_and_columns_keep_finite_scales() -> None:
    scales = scales_of(torch.tensor([0.0, 1.0, 0.0]), [torch.tensor([[1.0, 0.0, 0.0]])], 0.5)
    assert torch.isfinite(scales).all()
    assert (scales >= 1e-5).all()


def rounded_tokens(inputs: Tensor) -> Tensor:
    step = inputs.abs().amax(dim=-1, keepdim=True) / 127.5
    return (inputs / step).round().clamp(-128, 127) * step


def rounded_rows(weight: Tensor) -> Tensor:
    step = 2 * weight.abs().amax(dim=1, keepdim=True) / 255
    return (weight / step).round().clamp(-128, 127) * step


def linear_loss(inputs: Tensor, weights: Sequence[Tensor], found: Sequence[Tensor], round_inputs: RoundInputs) -> float:
    right = [nn.functional.linear(inputs, weight) for weight in weights]
    return float(sum((nn.functional.linear(round_inputs(inputs), other) - exact).square().sum() for other, exact in zip(found, right, strict=True)))


@pytest.mark.parametrize("static", [False, True])
def test_the_search_finds_what_trying_every_alpha_by_hand_finds(static: bool) -> None:
    generator = torch.Generator().manual_seed(0)
    inputs = torch.randn(64, 32, generator=generator) * torch.exp(2 * torch.randn(32, generator=generator))
    weights = [torch.randn(8, 32, generator=generator), torch.randn(4, 32, generator=generator)]
    choice = search(weights, inputs.abs().amax(0), lambda found, rounding: linear_loss(inputs, weights, found, rounding), GRID, static=static)
    losses = {}
    for alpha in (None, *(step / 20 for step in range(4, 20))):
        scales = torch.ones(32) if alpha is None else scales_of(inputs.abs().amax(0), weights, alpha)
        smooth = inputs / scales
        step = smooth.abs().max() / 127.5
        rounded = (smooth / step).round().clamp(-128, 127) * step if static else rounded_tokens(smooth)
        losses[alpha] = sum(float((rounded @ rounded_rows(weight * scales).t() - inputs @ weight.t()).square().sum()) for weight in weights)
    best = min(losses, key=losses.__getitem__)
    assert best is not None
    assert choice.alpha == best
    assert choice.loss == pytest.approx(losses[best], rel=0.02)
    assert choice.loss < 0.5 * losses[None]


@settings(max_examples=20)
@given(seed=st.integers(0, 2**16))
def test_the_choice_is_never_worse_than_rounding_as_it_is(seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    inputs, weights = torch.randn(16, 8, generator=generator), [torch.randn(4, 8, generator=generator)]
    choice = search(weights, inputs.abs().amax(0), lambda found, rounding: linear_loss(inputs, weights, found, rounding), GRID)
    plain = float((rounded_tokens(inputs) @ rounded_rows(weights[0]).t() - inputs @ weights[0].t()).square().sum())
    assert choice.loss <= plain * 1.01


@pytest.mark.parametrize("static", [False, True])
def test_a_weight_says_how_its_inputs_are_rounded(static: bool) -> None:
    statistics = InputStatistics(16)
    statistics.add(torch.randn(10, 16, generator=torch.Generator().manual_seed(0)))
    weight = torch.randn(4, 16, generator=torch.Generator().manual_seed(1))
    found = quantize(weight, statistics, SmoothConfig(GRID, static))
    assert torch.equal(found.codes, rtn.quantize(weight, None, GRID).codes)
    assert found.activations is not None
    assert found.activations.kind == "int8"
    if static:
        assert found.activations.scale is not None
        assert float(found.activations.scale) == pytest.approx(float(statistics.absmax.max()) / 127.5)
    else:
        assert found.activations.scale is None


@pytest.mark.parametrize("alpha", [0.5, None])
def test_smoothing_a_block_changes_only_norms_and_what_reads_them(alpha: float | None, tiny_llama_dir: Path) -> None:
    spec = QuantizeSpec(model=str(tiny_llama_dir), method="smoothquant", alpha=alpha)
    with StreamedModel.open(tiny_llama_dir, torch.float32) as streamed:
        for block in calibrated_blocks(streamed, TOKENS):
            before = {name: parameter.clone() for name, parameter in block.module.named_parameters()}
            (call,) = block.sample([""], 48)[""]
            with torch.no_grad():
                right = call(block.module)
                changed = smoothquant.prepare(block, streamed, spec, Quiet())  # type: ignore[arg-type]
                torch.testing.assert_close(call(block.module), right, rtol=1e-4, atol=1e-4)
            moved = {name for name, parameter in block.module.named_parameters() if not torch.equal(parameter, before[name])}
            readers = {"self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj", "mlp.gate_proj", "mlp.up_proj"}
            assert moved <= {*changed, *(f"{name}.weight" for name in readers)}
            if alpha is not None:
                assert set(changed) == {"input_layernorm.weight", "post_attention_layernorm.weight"}


@pytest.mark.parametrize("method", ["smoothquant", "rtn", "gptq"])
@pytest.mark.parametrize("scales", ["dynamic", "static"])
def test_a_checkpoint_with_rounded_inputs_is_loaded_by_transformers(
    method: str, scales: str, tiny_llama_dir: Path, context: RecordingContext
) -> None:
    spec = QuantizeSpec.model_validate(
        {
            "model": str(tiny_llama_dir),
            "method": method,
            "bits": 8,
            "granularity": "channel",
            "activation_bits": 8,
            "activation_scales": scales,
            "calibration_samples": 8,
            "calibration_length": 64,
            "context": 64,
            "eval_tokens": 256,
        }
    )
    result = run(spec, context)
    assert result.metrics.kl_mean is not None
    assert 0 < result.metrics.kl_mean < 0.05
    after, before = by_us(Path(result.out), TOKENS), by_us(tiny_llama_dir, TOKENS)
    torch.testing.assert_close(by_transformers(Path(result.out), TOKENS), after, rtol=1e-4, atol=1e-4)
    assert 0 < (after - before).norm() / before.norm() < 0.05
    fixed = [tensor for name, tensor in load_file(Path(result.out) / "model.safetensors").items() if name.endswith(".input_scale")]
    assert len(fixed) == (14 if scales == "static" else 0)
    assert all(tensor.shape == (1,) and tensor > 0 for tensor in fixed)


@pytest.mark.parametrize("alpha", [None, 0.5])
def test_smoothing_undoes_the_harm_of_outliers(alpha: float | None, tiny_llama_dir: Path, tmp_path: Path, context: RecordingContext) -> None:
    folder = with_outliers(tiny_llama_dir, tmp_path / "outliers")
    torch.testing.assert_close(by_us(folder, TOKENS), by_us(tiny_llama_dir, TOKENS), rtol=1e-4, atol=1e-4)
    values = {"model": str(folder), "calibration_samples": 8, "calibration_length": 64, "context": 64, "eval_tokens": 256}
    smooth = run(QuantizeSpec.model_validate(values | {"method": "smoothquant", "alpha": alpha, "out": str(tmp_path / "smooth")}), context)
    plain = values | {"method": "rtn", "bits": 8, "granularity": "channel", "activation_bits": 8, "out": str(tmp_path / "plain")}
    rough = run(QuantizeSpec.model_validate(plain), context)
    assert smooth.metrics.kl_mean is not None
    assert rough.metrics.kl_mean is not None
    assert smooth.metrics.kl_mean < 0.1 * rough.metrics.kl_mean


def test_inputs_that_were_never_seen_have_no_scale() -> None:
    weight = rtn.quantize(torch.randn(4, 16, generator=torch.Generator().manual_seed(1)), None, GRID)
    for statistics in (None, InputStatistics(16)):
        assert with_rounded_inputs(weight, statistics, static=False).activations is not None
        with pytest.raises(RunFailed, match="choose activation-scales dynamic"):
            with_rounded_inputs(weight, statistics, static=True)
