"""AWQ finds the scales and ranges that a search by hand finds, and is never worse than rounding on what it looks at."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import load_file
from torch import Tensor

from core.calibration.blocks import calibrated_blocks
from core.calibration.statistics import InputStatistics
from core.errors import RequestError, RunFailed
from core.models.card import ModelCard
from core.models.stream.streaming import StreamedModel
from core.numerics.grid import Grid
from core.quantize.check import check
from core.quantize.linear import awq, rtn
from core.quantize.linear.awq import AwqConfig, clipped, quantize, scales_of, search
from core.quantize.run import run
from core.quantize.spec import QuantizeSpec
from tests.core.quantize.conftest import RecordingContext
from tests.core.quantize.logits import by_transformers, by_us, with_outliers

GRID = Grid(3, False, "group", 16)


def inputs_with_outliers(tokens: int, features: int, seed: int = 0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(tokens, features, generator=generator) * torch.exp(1.5 * torch.randn(features, generator=generator))


def outputs_differ(inputs: Tensor, right: Tensor, found: Tensor) -> float:
    return float((inputs.double() @ (found - right).double().t()).square().sum())


def round_by_hand(weight: Tensor, bits: int, group: int) -> Tensor:
    """Asymmetric rounding to nearest, a loop over groups."""
    found = weight.clone()
    for row, first in itertools.product(range(len(weight)), range(0, weight.shape[1], group)):
        part = weight[row, first : first + group]
        low, high = min(float(part.min()), 0.0), max(float(part.max()), 0.0)
        step = (high - low) / (2**bits - 1)
        zero = round(-low / step)
        found[row, first : first + group] = ((part / step).round().add(zero).clamp(0, 2**bits - 1) - zero) * step
    return found


def test_the_search_finds_what_trying_all_ratios_by_hand_finds() -> None:
    inputs = inputs_with_outliers(64, 32)
    weights = [torch.randn(8, 32, generator=torch.Generator().manual_seed(seed)) for seed in (1, 2)]

    def loss(found: Sequence[Tensor]) -> float:
        return sum(outputs_differ(inputs, right, other) for right, other in zip(weights, found, strict=True))

    choice = search(weights, inputs.abs().mean(0), loss, GRID)
    losses = {}
    for ratio in [step / 20 for step in range(21)]:
        scales = inputs.abs().mean(0) ** ratio
        scales = scales / (scales.max() * scales.min()) ** 0.5
        losses[ratio] = loss([round_by_hand(weight * scales, 3, 16) / scales for weight in weights])
    best = min(losses, key=losses.__getitem__)
    assert 0 < best < 1
    assert choice.ratio == best
    assert choice.loss == pytest.approx(losses[best], rel=1e-3)
    assert choice.unscaled == pytest.approx(losses[0], rel=1e-3)
    assert choice.loss < 0.7 * choice.unscaled


def test_no_scales_are_chosen_when_all_make_it_worse() -> None:
    def worse_when_changed(found: Sequence[Tensor]) -> float:
        return float((found[0] - rounded).abs().sum())

    weight = torch.randn(8, 32, generator=torch.Generator().manual_seed(0))
    rounded = rtn.quantize(weight, None, GRID).dequantize()
    choice = search([weight], inputs_with_outliers(8, 32).abs().mean(0), worse_when_changed, GRID)
    assert choice.ratio == 0
    assert torch.equal(choice.scales, torch.ones(32))


@settings(max_examples=25)
@given(seed=st.integers(0, 2**16), bits=st.sampled_from((2, 3, 4)), symmetric=st.booleans())
def test_the_choice_is_never_worse_than_rounding(seed: int, bits: int, symmetric: bool) -> None:
    inputs, weight = inputs_with_outliers(24, 32, seed), torch.randn(8, 32, generator=torch.Generator().manual_seed(seed))
    grid = Grid(bits, symmetric, "group", 16)
    choice = search([weight], inputs.abs().mean(0), lambda found: outputs_differ(inputs, weight, found[0]), grid)
    plain = outputs_differ(inputs, weight, rtn.quantize(weight, None, grid).dequantize())
    assert choice.loss <= choice.unscaled
    assert choice.unscaled == pytest.approx(plain, rel=1e-3)


def test_scales_of_features_that_are_always_zero_or_tiny_stay_usable() -> None:
    scales = scales_of(torch.tensor([0.0, 1.0, 4.0, 1e-30]), 0.5)
    assert scales[0] == 1
    assert torch.isfinite(scales).all()
    assert (scales > 0).all()
    assert scales[2] / scales[1] == pytest.approx(2)
    assert torch.equal(scales_of(torch.zeros(3), 0.5), torch.ones(3))


def statistics_of(inputs: Tensor) -> InputStatistics:
    statistics = InputStatistics(inputs.shape[1])
    statistics.add(inputs)
    return statistics


@pytest.mark.parametrize("symmetric", [True, False])
def test_clipping_takes_the_best_of_all_ranges_tried_by_hand(symmetric: bool) -> None:
    inputs = inputs_with_outliers(40, 32)
    weight = torch.randn(4, 32, generator=torch.Generator().manual_seed(3))
    weight[0, 5], weight[2, 20] = 6.0, -7.0
    grid = Grid(3, symmetric, "group", 16)
    found = quantize(weight, statistics_of(inputs), AwqConfig(grid)).dequantize()
    for row, group in itertools.product(range(4), range(2)):
        columns = slice(16 * group, 16 * group + 16)
        part = weight[row, columns]
        errors = []
        for shrink in [1 - step / 20 for step in range(11)]:
            low, high = min(float(part.min()), 0.0) * shrink, max(float(part.max()), 0.0) * shrink
            if symmetric:
                step = 2 * max(-low, high) / 7
                trial = (part / step).round().clamp(-4, 3) * step
            else:
                step = (high - low) / 7
                zero = round(-low / step)
                trial = ((part / step).round() + zero).clamp(0, 7).sub(zero) * step
            errors.append(float(((trial - part) @ inputs[:, columns].t()).square().sum()))
        error = float(((found[row, columns] - part) @ inputs[:, columns].t()).square().sum())
        assert error == pytest.approx(min(errors), rel=1e-3, abs=1e-6)


def test_clipping_lowers_the_error_of_the_products_and_can_be_left_out() -> None:
    inputs = inputs_with_outliers(200, 64)
    weight = torch.randn(32, 64, generator=torch.Generator().manual_seed(4)) ** 3
    statistics, grid = statistics_of(inputs), Grid(3, True, "group", 32)
    plain = rtn.quantize(weight, None, grid)
    kept = quantize(weight, statistics, AwqConfig(grid, clip=False))
    assert torch.equal(kept.codes, plain.codes)
    narrowed = quantize(weight, statistics, AwqConfig(grid))
    assert outputs_differ(inputs, weight, narrowed.dequantize()) < 0.9 * outputs_differ(inputs, weight, plain.dequantize())


@pytest.mark.parametrize("columns", [1024, 768])
def test_wide_groups_are_clipped_by_parts_of_the_hessian(columns: int) -> None:
    inputs = torch.randn(64, columns, generator=torch.Generator().manual_seed(0))
    weight = torch.randn(4, columns, generator=torch.Generator().manual_seed(1)) ** 3
    grid = Grid(4, True, "channel")
    hessian = inputs.t() @ inputs
    scales, _ = clipped(weight.view(4, 1, columns), hessian, grid)
    by_parts = torch.zeros_like(hessian)
    for first in range(0, columns, 128):
        by_parts[first : first + 128, first : first + 128] = hessian[first : first + 128, first : first + 128]

    def error(shrink: float, row: int) -> float:
        step = 2 * weight[row].abs().max() * shrink / 15
        difference = (weight[row] / step).round().clamp(-8, 7) * step - weight[row]
        return float(difference @ by_parts @ difference)

    for row in range(4):
        best = min((1 - step / 20 for step in range(11)), key=lambda shrink: error(shrink, row))
        assert float(scales[row, 0, 0]) == pytest.approx(float(2 * weight[row].abs().max() * best / 15), rel=1e-4)


def test_damaged_weights_and_groups_that_do_not_fit_are_named() -> None:
    statistics = statistics_of(torch.randn(4, 32))
    with pytest.raises(RunFailed, match="NaN or Inf"):
        quantize(torch.full((2, 32), torch.nan), statistics, AwqConfig(GRID))
    with pytest.raises(RunFailed, match="do not divide"):
        quantize(torch.zeros(2, 32), statistics, AwqConfig(Grid(4, False, "group", 24)))


TOKENS = torch.randint(0, 300, (4, 48), generator=torch.Generator().manual_seed(0))


class Quiet:
    def say(self, label: str) -> None:
        pass

    def measured(self, name: str, value: float, step: int, label: str) -> None:
        pass

    def check_cancelled(self) -> None:
        pass


def test_preparing_a_block_changes_its_weights_but_not_what_it_computes(tiny_llama_dir: Path) -> None:
    spec = QuantizeSpec(model=str(tiny_llama_dir), method="awq", bits=3, group_size=16, format="compressed-tensors")
    with StreamedModel.open(tiny_llama_dir, torch.float32) as streamed:
        for block in calibrated_blocks(streamed, TOKENS):
            (call,) = block.sample([""], 48)[""]
            with torch.no_grad():
                before = call(block.module)
                weights = {name: linear.weight.clone() for name, linear in block.linears.items()}
                changed = awq.prepare(block, streamed, spec, Quiet())  # type: ignore[arg-type]
                after = call(block.module)
            assert set(changed) <= {"input_layernorm.weight", "post_attention_layernorm.weight"}
            moved = [name for name, linear in block.linears.items() if not torch.equal(linear.weight, weights[name])]
            assert "mlp.down_proj" in moved or changed
            torch.testing.assert_close(after, before, rtol=1e-4, atol=1e-4)


def spec_for(folder: Path, **changes: object) -> QuantizeSpec:
    return QuantizeSpec.model_validate(
        {
            "model": str(folder),
            "method": "awq",
            "group_size": 32,
            "calibration_samples": 8,
            "calibration_length": 64,
            "context": 64,
            "eval_tokens": 256,
        }
        | changes
    )


@pytest.mark.parametrize("symmetric", [True, False])
def test_a_checkpoint_is_loaded_by_transformers(symmetric: bool, tiny_llama_dir: Path, context: RecordingContext) -> None:
    result = run(spec_for(tiny_llama_dir, format="compressed-tensors", symmetric=symmetric), context)
    assert result.metrics.kl_mean is not None
    assert 0 < result.metrics.kl_mean < 1
    stored, original = (load_file(Path(folder) / "model.safetensors") for folder in (result.out, tiny_llama_dir))
    norms = [name for name in original if name.endswith("layernorm.weight")]
    assert len(norms) == 4
    assert any(not torch.equal(stored[name], original[name]) for name in norms)
    after, before = by_us(Path(result.out), TOKENS), by_us(tiny_llama_dir, TOKENS)
    # Weights with zero points are dequantized while they are loaded, to the bfloat16 of their scales.
    torch.testing.assert_close(by_transformers(Path(result.out), TOKENS), after, rtol=1e-4, atol=1e-4 if symmetric else 5e-3)
    assert 0 < (after - before).norm() / before.norm() < 0.3
    ratios = [metric for metric in context.metrics if metric[0] == "scale_ratio"]
    assert [(step, label) for _, _, step, label in ratios[:2]] == [
        (0, "model.layers.0.input_layernorm"),
        (0, "model.layers.0.post_attention_layernorm"),
    ]
    assert all(0 <= ratio <= 1 for _, ratio, _, _ in ratios)


def test_features_that_matter_more_are_rounded_better(tiny_llama_dir: Path, tmp_path: Path, context: RecordingContext) -> None:
    folder = with_outliers(tiny_llama_dir, tmp_path / "outliers")
    found = {
        method: run(spec_for(folder, method=method, bits=3, symmetric=True, format="compressed-tensors", out=str(tmp_path / method)), context)
        for method in ("awq", "rtn")
    }
    divergence = {method: result.metrics.kl_mean for method, result in found.items()}
    assert divergence["awq"] is not None
    assert divergence["rtn"] is not None
    assert divergence["awq"] < 0.7 * divergence["rtn"]


def test_the_usual_request_is_stored_as_awq_gemm(tiny_llama_dir: Path, context: RecordingContext) -> None:
    result = run(spec_for(tiny_llama_dir), context)
    assert result.format == "awq"
    assert "took the inverse of the scales" in (Path(result.out) / "README.md").read_text()
    after, before = by_us(Path(result.out), TOKENS), by_us(tiny_llama_dir, TOKENS)
    assert 0 < (after - before).norm() / before.norm() < 0.3
    stored = load_file(Path(result.out) / "model.safetensors")
    assert stored["model.layers.0.mlp.up_proj.qweight"].shape == (64, 128 // 8)


def test_a_family_without_a_row_is_refused_before_any_work() -> None:
    config = {"model_type": "olmo2", "hidden_size": 64, "intermediate_size": 128, "num_hidden_layers": 2, "num_attention_heads": 4, "vocab_size": 320}
    card = ModelCard.from_config(config)
    with pytest.raises(RequestError, match=r"'olmo2'.*gptq or rtn"):
        check(QuantizeSpec(model="x", method="awq", group_size=32), card)
    with pytest.raises(RequestError, match="smoothquant folds scales"):
        check(QuantizeSpec(model="x", method="smoothquant"), card)
    assert check(QuantizeSpec(model="x", method="gptq", group_size=32, calibration_length=128, context=128), card).linears == 14
