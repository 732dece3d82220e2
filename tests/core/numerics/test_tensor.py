"""A quantized tensor gives back what its codes say and counts every byte."""

from typing import Any

import pytest
import torch
from compressed_tensors.quantization import QuantizationArgs
from compressed_tensors.quantization.lifecycle.forward import dequantize

from core.numerics.grid import Grid
from core.numerics.tensor import QuantizedTensor
from core.quantize.linear.rtn import quantize

GRANULARITIES: dict[str, dict[str, Any]] = {
    "group": {"strategy": "group", "group_size": 16},
    "channel": {"strategy": "channel"},
    "tensor": {"strategy": "tensor"},
}


@pytest.mark.parametrize("bits", range(2, 9))
@pytest.mark.parametrize("symmetric", [True, False])
@pytest.mark.parametrize("granularity", GRANULARITIES)
def test_dequantizing_agrees_with_compressed_tensors(bits: int, symmetric: bool, granularity: str) -> None:
    weight = torch.randn(24, 64, generator=torch.Generator().manual_seed(bits))
    quantized = quantize(weight, None, Grid(bits, symmetric, granularity, 16))  # type: ignore[arg-type]
    arguments = QuantizationArgs(num_bits=bits, symmetric=symmetric, **GRANULARITIES[granularity])
    expected = dequantize(quantized.codes, quantized.scales, quantized.zeros, arguments)
    assert torch.equal(quantized.dequantize(), expected)


def test_group_index_may_be_in_any_order() -> None:
    codes = torch.arange(8, dtype=torch.int8).view(1, 8) - 4
    scales = torch.tensor([[1.0, 10.0]])
    index = torch.tensor([1, 0, 0, 1, 1, 0, 1, 0], dtype=torch.int32)
    quantized = QuantizedTensor(codes, scales, None, index, 4, "group")
    assert quantized.dequantize().tolist() == [[-40.0, -3.0, -2.0, -10.0, 0.0, 1.0, 20.0, 3.0]]
    assert not quantized.sequential
    assert quantized.nbytes == 4 + 8 + 4 * 8


def test_bytes_count_codes_scales_and_zero_points() -> None:
    weight = torch.randn(256, 512)
    grouped = quantize(weight, None, Grid(4, True, "group", 128, scale_dtype=torch.bfloat16))
    assert grouped.nbytes == 256 * 512 // 2 + 256 * 4 * 2
    with_zeros = quantize(weight, None, Grid(4, False, "group", 128, scale_dtype=torch.bfloat16))
    assert with_zeros.nbytes == grouped.nbytes + 256 * 4 // 2
    whole = quantize(weight, None, Grid(8, True, "tensor", scale_dtype=torch.bfloat16))
    assert whole.nbytes == 256 * 512 + 2
