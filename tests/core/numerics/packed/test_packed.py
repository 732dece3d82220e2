"""Packed linears give what the dequantized weight gives, within the rounding that their dtype allows."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from core.numerics.activations import ActivationQuantizer
from core.numerics.grid import Grid
from core.numerics.packed.kernels import Int4Cpu, Int8
from core.numerics.packed.linears import DEQUANTIZED, dequantized, pack, stack, use_packed
from core.numerics.tensor import QuantizedTensor
from core.quantize.linear.rtn import quantize

DTYPES = (torch.float32, torch.bfloat16, torch.float16)
TOLERANCE = {torch.float32: 2e-6, torch.bfloat16: 8e-3, torch.float16: 1e-3}
"""Largest error of an output as a share of Σ |x||w| over its row."""


def weight_of(rows: int, columns: int, seed: int = 0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(rows, columns, generator=generator) + 0.3 * torch.randn(rows, 1, generator=generator)


def inputs_of(count: int, columns: int, dtype: torch.dtype = torch.float32) -> Tensor:
    return torch.randn(count, columns, generator=torch.Generator().manual_seed(9)).to(dtype)


def assert_close(found: Tensor, weight: QuantizedTensor, inputs: Tensor) -> None:
    """Against float64 arithmetic with the weight that the codes stand for."""
    exact = inputs.double() @ weight.dequantize().double().t()
    size = inputs.double().abs() @ weight.dequantize().double().abs().t()
    assert found.dtype == inputs.dtype
    assert bool(((found.double() - exact).abs() <= TOLERANCE[inputs.dtype] * size + 1e-30).all())


@settings(max_examples=60)
@given(
    bits=st.integers(2, 4),
    symmetric=st.booleans(),
    span=st.sampled_from([32, 64, 96, 128, 256, 512, "channel", "tensor"]),
    repeats=st.integers(1, 3),
    rows=st.sampled_from([16, 48, 64, 176]),
    count=st.sampled_from([1, 2, 5, Int4Cpu.many_rows]),
    dtype=st.sampled_from(DTYPES),
)
def test_int4_products_equal_those_of_the_dequantized_weight(
    bits: int, symmetric: bool, span: int | str, repeats: int, rows: int, count: int, dtype: torch.dtype
) -> None:
    granularity, size = (span, 128) if isinstance(span, str) else ("group", span)
    columns = size * repeats
    weight = quantize(weight_of(rows, columns), None, Grid(bits, symmetric, granularity, size, scale_dtype=dtype))  # type: ignore[arg-type]
    linear = pack(weight, "cpu", dtype)
    assert linear.kernel == "int4 (torch, CPU)"
    inputs = inputs_of(count, columns, dtype)
    assert_close(linear(inputs), weight, inputs)


@pytest.mark.parametrize("symmetric", [True, False])
def test_in_float32_the_int4_grid_is_mapped_exactly(symmetric: bool) -> None:
    weight = quantize(weight_of(32, 256), None, Grid(4, symmetric, "group", 64))
    columns = pack(weight, "cpu", torch.float32)(torch.eye(256)).t()
    if symmetric:
        assert torch.equal(columns, weight.dequantize())
    else:
        scales = weight.scales.repeat_interleave(64, dim=1)
        assert bool(((columns - weight.dequantize()).abs() <= 8 * scales * 2**-23).all())


def test_in_bfloat16_the_int4_grid_moves_by_at_most_a_fraction_of_a_step() -> None:
    weight = quantize(weight_of(32, 256), None, Grid(4, False, "group", 64, scale_dtype=torch.bfloat16))
    linear = pack(weight, "cpu", torch.bfloat16)
    columns = linear(torch.eye(256).bfloat16()).float().t()
    scales = weight.scales.float().repeat_interleave(64, dim=1)
    limit = scales / 64 + weight.dequantize().abs() * 2**-8
    assert bool(((columns - weight.dequantize()).abs() <= limit).all())


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("granularity", ["channel", "tensor"])
@pytest.mark.parametrize("bits", [5, 8])
def test_int8_products_equal_those_of_the_dequantized_weight(dtype: torch.dtype, granularity: str, bits: int) -> None:
    weight = quantize(weight_of(48, 160), None, Grid(bits, True, granularity, scale_dtype=dtype))  # type: ignore[arg-type]
    linear = pack(weight, "cpu", dtype)
    assert linear.kernel == "int8 (torch, CPU)"
    for count in (1, 7, Int8.many_rows):
        inputs = inputs_of(count, 160, dtype)
        assert_close(linear(inputs), weight, inputs)


@pytest.mark.parametrize("dtype", DTYPES)
def test_int8_inputs_are_rounded_as_the_reference_rounds_them(dtype: torch.dtype) -> None:
    weight = replace(quantize(weight_of(48, 160), None, Grid(8, True, "channel", scale_dtype=dtype)), activations=ActivationQuantizer("int8"))
    linear = pack(weight, "cpu", dtype)
    assert linear.kernel.startswith("int8 weights and inputs")
    inputs = inputs_of(5, 160, dtype)
    inputs[2] = 0
    assert_close(linear(inputs), weight, ActivationQuantizer("int8")(inputs))


@pytest.mark.parametrize(
    ("rows", "columns", "grid"),
    [
        (100, 128, Grid(4, True, "group", 32)),
        (64, 128, Grid(4, True, "group", 16)),
        (64, 144, Grid(4, True, "group", 48)),
        (64, 128, Grid(8, True, "group", 32)),
        (64, 128, Grid(8, False, "channel")),
        (64, 40, Grid(8, True, "channel")),
        (17, 64, Grid(8, True, "channel")),
    ],
)
def test_what_no_kernel_takes_is_dequantized(rows: int, columns: int, grid: Grid) -> None:
    weight = quantize(weight_of(rows, columns), None, grid)
    linear = pack(weight, "cpu", torch.float32)
    assert linear.kernel == DEQUANTIZED
    inputs = inputs_of(3, columns)
    assert_close(linear(inputs), weight, inputs)


def test_groups_in_any_order_are_sorted_first() -> None:
    weight = quantize(weight_of(32, 256), None, Grid(4, False, "group", 64))
    order = torch.randperm(256, generator=torch.Generator().manual_seed(3))
    mixed = replace(weight, codes=weight.codes[:, order], group_index=weight.group_index[order])
    linear = pack(mixed, "cpu", torch.float32)
    assert linear.kernel == "int4 (torch, CPU)"
    inputs = inputs_of(4, 256)
    assert_close(linear(inputs), mixed, inputs)


def test_unequal_groups_are_dequantized() -> None:
    weight = quantize(weight_of(32, 256), None, Grid(4, True, "group", 128))
    index = weight.group_index.clone()
    index[100:140] = 0
    assert pack(replace(weight, group_index=index), "cpu", torch.float32).kernel == DEQUANTIZED


def test_static_input_scales_bias_and_leading_dimensions() -> None:
    activations = ActivationQuantizer("int8", torch.tensor([0.02]))
    weight = replace(quantize(weight_of(32, 64), None, Grid(4, True, "group", 32)), activations=activations)
    bias = torch.arange(32.0)
    inputs = inputs_of(6, 64).view(2, 3, 64)
    for linear in (pack(weight, "cpu", torch.float32, bias), dequantized(weight, "cpu", torch.float32, bias)):
        expected = activations(inputs) @ weight.dequantize().t() + bias
        torch.testing.assert_close(linear(inputs), expected)


@pytest.mark.parametrize("kind", ["int4", "int8"])
def test_many_rows_give_what_few_rows_give(kind: str) -> None:
    grid = Grid(4, False, "group", 64) if kind == "int4" else Grid(8, True, "channel")
    linear = pack(quantize(weight_of(128, 256), None, grid), "cpu", torch.float32)
    inputs = inputs_of(2 * Int4Cpu.many_rows, 256)
    few = torch.cat([linear(part) for part in inputs.split(5)])
    torch.testing.assert_close(linear(inputs), few, rtol=1e-5, atol=1e-4)


def test_packed_weights_take_the_bytes_that_their_bits_say() -> None:
    weight = quantize(weight_of(128, 256), None, Grid(4, True, "group", 128))
    assert pack(weight, "cpu", torch.bfloat16).nbytes == 128 * 256 // 2 + 128 * 2 * 2 * 2
    channel = quantize(weight_of(128, 256), None, Grid(8, True, "channel"))
    assert pack(channel, "cpu", torch.bfloat16).nbytes == 128 * 256 + 128 * 2


def test_stacked_weights_multiply_like_each_alone() -> None:
    grids = Grid(4, False, "group", 64), Grid(8, True, "tensor")
    for grid in grids:
        parts = [quantize(weight_of(rows, 128, rows), None, grid) for rows in (64, 16, 32)]
        together = stack(parts)
        assert together is not None
        assert torch.equal(together.dequantize(), torch.cat([part.dequantize() for part in parts]))
    other = quantize(weight_of(16, 128), None, Grid(4, True, "group", 64))
    assert stack([quantize(weight_of(16, 128), None, grids[0]), other]) is None


def test_linears_of_a_model_are_replaced_and_a_tied_head_stays() -> None:
    model = nn.ModuleDict({"embed": nn.Embedding(64, 32), "block": nn.ModuleDict({"up": nn.Linear(32, 64)}), "head": nn.Linear(32, 64, bias=False)})
    model["head"].weight = model["embed"].weight
    names = {"block.up": model["block"]["up"], "head": model["head"]}  # type: ignore[index]
    weights = {name: quantize(linear.weight.detach(), None, Grid(4, True, "group", 32)) for name, linear in names.items()}
    bias = model["block"]["up"].bias.detach().clone()  # type: ignore[index]
    assert use_packed(model, weights) == {"block.up": "int4 (torch, CPU)"}
    assert isinstance(model["head"], nn.Linear)
    inputs = inputs_of(2, 32)
    torch.testing.assert_close(model["block"]["up"](inputs), inputs @ weights["block.up"].dequantize().t() + bias)  # type: ignore[index]
    with pytest.raises(ValueError, match=r"head is not a linear of shape \[64, 64\]"):
        use_packed(model, {"head": quantize(weight_of(64, 64), None, Grid(4, True, "group", 32))})


@pytest.mark.gpu
@pytest.mark.parametrize("bits", [4, 8])
def test_cuda_kernels_equal_the_dequantized_weight(bits: int) -> None:
    grid = Grid(4, False, "group", 128, scale_dtype=torch.bfloat16) if bits == 4 else Grid(8, True, "channel", scale_dtype=torch.bfloat16)
    weight = quantize(weight_of(256, 512), None, grid)
    linear = pack(weight, "cuda", torch.bfloat16)
    assert linear.kernel == f"int{bits} (torch, CUDA)"
    for count in (1, 33):
        inputs = inputs_of(count, 512, torch.bfloat16)
        assert_close(linear(inputs.cuda()).cpu(), weight, inputs)
