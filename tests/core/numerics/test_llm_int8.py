"""LLM.int8(): rows against a plain loop, and the decomposition against its definition."""

from __future__ import annotations

import pytest
import torch

from core.numerics.llm_int8 import Int8Rows, OutlierInputs, quantize_rows


def test_rows_are_rounded_by_their_own_largest_weight() -> None:
    weight = torch.randn(8, 32)
    weight[3] = 0
    stored = quantize_rows(weight)
    for row, codes, absmax in zip(weight, stored.codes, stored.absmax, strict=True):
        assert float(absmax) == float(row.abs().max())
        if float(absmax):
            assert codes.abs().max() == 127
            assert torch.equal(codes.float(), torch.round(row * 127 / absmax))
    assert float((stored.dequantize() - weight).abs().max()) <= float(stored.absmax.max()) / 127 / 2 * 1.001
    assert stored.nbytes == 8 * 32 + 8 * 4 + 1
    assert stored.shape == (8, 32)


def test_features_with_an_outlier_stay_as_they_are_and_outliers_leave_the_scale_alone() -> None:
    inputs = torch.randn(3, 16).clamp(-2, 2)
    inputs[2, 5], inputs[0, 7] = -9.0, 6.0
    rounded = OutlierInputs("int8")(inputs)
    kept = [5, 7]
    assert torch.equal(rounded[:, kept], inputs[:, kept])
    others = [feature for feature in range(16) if feature not in kept]
    scale = inputs.where(inputs.abs() < 6, 0).abs().amax(-1, keepdim=True) / 127
    assert torch.allclose(rounded[:, others], torch.round(inputs[:, others] / scale) * scale, atol=1e-6)
    assert float((rounded - inputs).abs().max()) < 2 / 127


def test_sequences_do_not_look_at_each_other() -> None:
    inputs = torch.randn(2, 3, 16).clamp(-2, 2)
    inputs[1, 2, 5] = -9.0
    both = OutlierInputs("int8")(inputs)
    for one in range(2):
        assert torch.equal(both[one], OutlierInputs("int8")(inputs[one]))


def test_threshold_zero_rounds_everything() -> None:
    inputs = torch.randn(4, 8) * 10
    rounded = OutlierInputs("int8", threshold=0)(inputs)
    scale = inputs.abs().amax(-1, keepdim=True) / 127
    assert torch.allclose(rounded, torch.round(inputs / scale) * scale, atol=1e-4)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_zeros_and_dtypes(dtype: torch.dtype) -> None:
    rounded = OutlierInputs("int8")(torch.zeros(2, 4, dtype=dtype))
    assert rounded.dtype == dtype
    assert torch.equal(rounded, torch.zeros(2, 4, dtype=dtype))
    assert isinstance(quantize_rows(torch.zeros(2, 4)), Int8Rows)
