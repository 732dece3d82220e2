"""Weights in 8-bit floats: scales by tensor, channel and block, and the linear that multiplies them."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from core.numerics.activations import ActivationQuantizer
from core.numerics.fp8.linear import Fp8Linear, fits_fp8_units, uses_fp8_units
from core.numerics.fp8.tensor import Float8Tensor, GroupedInputs
from core.numerics.fp8.units import has_fp8_units
from core.numerics.packed.linears import pack


def made(granularity: str, rows: int = 48, columns: int = 64, activations: ActivationQuantizer | None = None) -> Float8Tensor:
    generator = torch.Generator().manual_seed(0)
    shapes = {"tensor": (1,), "channel": (rows, 1), "block": (-(-rows // 128), -(-columns // 128))}
    codes = (torch.randn(rows, columns, generator=generator) * 100).to(torch.float8_e4m3fn)
    scales = torch.rand(shapes[granularity], generator=generator) * 0.01 + 0.001
    return Float8Tensor(codes, scales, granularity, activations=activations)  # type: ignore[arg-type]


def test_blocks_scale_squares_of_128() -> None:
    weight = made("block", 200, 300)
    values = weight.dequantize()
    for row, column in ((0, 0), (127, 127), (128, 127), (127, 128), (199, 299), (130, 257)):
        expected = float(weight.codes[row, column].float()) * float(weight.scales[row // 128, column // 128])
        assert float(values[row, column]) == pytest.approx(expected, rel=1e-6)
    assert weight.nbytes == 200 * 300 + 4 * 2 * 3
    assert weight.shape == (200, 300)


def test_static_inputs_count_their_scale() -> None:
    assert made("channel", activations=ActivationQuantizer("fp8-e4m3", torch.ones(1))).nbytes == 48 * 64 + 48 * 4 + 4


def test_grouped_inputs_scale_128_features_each() -> None:
    inputs = torch.randn(2, 3, 300) * torch.linspace(0.01, 100, 300)
    rounded = GroupedInputs("fp8-e4m3")(inputs)
    assert rounded.shape == inputs.shape
    for begin in (0, 128, 256):
        part = inputs[..., begin : begin + 128]
        assert torch.equal(rounded[..., begin : begin + 128], ActivationQuantizer("fp8-e4m3")(part))


def reference(weight: Float8Tensor, inputs: Tensor, bias: Tensor | None) -> Tensor:
    rounded = inputs if weight.activations is None else weight.activations(inputs)
    return torch.nn.functional.linear(rounded, weight.dequantize(), bias)


@pytest.mark.parametrize("granularity", ["tensor", "channel", "block"])
def test_dequantizing_linear_is_the_plain_product(granularity: str) -> None:
    weight = made(granularity, activations=ActivationQuantizer("fp8-e4m3"))
    inputs, bias = torch.randn(2, 5, 64), torch.randn(48)
    linear = Fp8Linear(weight, "cpu", torch.float32, bias)
    assert not linear.units
    assert linear.kernel == "fp8, dequantized"
    assert torch.equal(linear(inputs), reference(weight, inputs, bias))


@pytest.mark.parametrize("granularity", ["tensor", "channel"])
@pytest.mark.parametrize("static", [False, True])
def test_scaled_product_equals_the_reference_within_its_rounding(granularity: str, static: bool) -> None:
    """torch has the same product for the CPU: the layouts and scales that are handed to the matrix units are checked by it."""
    scale = torch.tensor([0.02], dtype=torch.bfloat16) if static else None
    weight = made(granularity, activations=ActivationQuantizer("fp8-e4m3", scale))
    inputs, bias = torch.randn(2, 5, 64), torch.randn(48)
    expected = reference(weight, inputs, bias)
    found = Fp8Linear(weight, "cpu", torch.float32, bias, units=True)(inputs)
    assert float((found - expected).norm() / expected.norm()) < 2**-8


def test_weights_that_the_units_do_not_take() -> None:
    token = ActivationQuantizer("fp8-e4m3")
    assert fits_fp8_units(made("channel", activations=token))
    assert not fits_fp8_units(made("block", activations=GroupedInputs("fp8-e4m3")))
    assert not fits_fp8_units(made("channel"))
    assert not fits_fp8_units(made("channel", columns=72, activations=token))


def test_which_hardware_has_units() -> None:
    assert [has_fp8_units(capability) for capability in (None, (8, 0), (8, 6), (8, 9), (9, 0), (12, 0))] == [False, False, False, True, True, True]
    assert not uses_fp8_units("cpu")


def test_packed_linears_take_the_units_where_there_are_some(monkeypatch: pytest.MonkeyPatch) -> None:
    weight, inputs, bias = made("channel", activations=ActivationQuantizer("fp8-e4m3")), torch.randn(2, 5, 64), torch.randn(48)
    plain = pack(weight, "cpu", torch.float32, bias)
    assert plain.kernel == "dequantized"
    monkeypatch.setattr("core.numerics.packed.linears.uses_fp8_units", lambda device: True)
    monkeypatch.setattr("core.numerics.fp8.linear.uses_fp8_units", lambda device: True)
    packed = pack(weight, "cpu", torch.float32, bias)
    assert packed.kernel == "fp8 matrix units"
    assert packed.nbytes < 0.5 * plain.nbytes
    found, expected = packed(inputs), plain(inputs)
    assert found.shape == (2, 5, 48)
    assert float((found - expected).norm() / expected.norm()) < 2**-8


@pytest.mark.gpu
@pytest.mark.parametrize("granularity", ["tensor", "channel"])
@pytest.mark.parametrize("static", [False, True])
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_matrix_units_give_the_reference(granularity: str, static: bool, dtype: torch.dtype) -> None:
    if not uses_fp8_units("cuda"):
        pytest.skip("this GPU has no FP8 matrix units")
    weight = made(granularity, 256, 512, ActivationQuantizer("fp8-e4m3", torch.tensor([0.02]) if static else None))
    inputs, bias = torch.randn(3, 17, 512, dtype=dtype), torch.randn(256)
    linear = Fp8Linear(weight, "cuda", dtype, bias)
    assert linear.kernel == "fp8 matrix units"
    found, expected = linear(inputs.cuda()).float().cpu(), reference(weight, inputs.float(), bias)
    assert float((found - expected).norm() / expected.norm()) < 0.01
