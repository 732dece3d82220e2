"""FP8 weights against a plain loop over tensors, channels and blocks; static inputs against what calibration saw."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from core.calibration.statistics import InputStatistics
from core.errors import RunFailed
from core.quantize.linear.fp8 import Fp8Config, quantize

DTYPES = {"e4m3": torch.float8_e4m3fn, "e5m2": torch.float8_e5m2}


def plain(part: Tensor, format_: str) -> Tensor:
    """One part with its own scale, by torch's cast."""
    largest = torch.finfo(DTYPES[format_]).max
    scale = part.abs().max() / largest
    return (part / scale).clamp(-largest, largest).to(DTYPES[format_]).float() * scale if float(scale) else part


@settings(max_examples=30)
@given(
    st.integers(1, 300), st.integers(1, 300), st.sampled_from(["tensor", "channel", "block"]), st.sampled_from(list(DTYPES)), st.integers(0, 2**31)
)
def test_every_part_is_rounded_by_its_own_scale(rows: int, columns: int, granularity: str, format_: str, seed: int) -> None:
    weight = torch.randn(rows, columns, generator=torch.Generator().manual_seed(seed)) * torch.logspace(-3, 1, rows)[:, None]
    found = quantize(weight, None, Fp8Config(format_, granularity, None)).dequantize()  # type: ignore[arg-type]
    high, wide = {"tensor": (rows, columns), "channel": (1, columns), "block": (128, 128)}[granularity]
    for top in range(0, rows, high):
        for left in range(0, columns, wide):
            part = (slice(top, top + high), slice(left, left + wide))
            assert torch.equal(found[part], plain(weight[part], format_))


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
@pytest.mark.parametrize("granularity", ["tensor", "channel", "block"])
def test_scales_are_those_of_the_file(dtype: torch.dtype, granularity: str) -> None:
    weight = torch.randn(130, 140) * 1e-4
    weight[5] = 0
    stored = quantize(weight, None, Fp8Config("e4m3", granularity, None, dtype))  # type: ignore[arg-type]
    assert stored.scales.dtype == dtype
    assert (stored.scales > 0).all()
    assert stored.codes.float().isfinite().all()
    assert not stored.dequantize()[5].any()
    assert float((stored.dequantize() - weight).norm() / weight.norm()) < 0.04


def test_finer_scales_and_a_finer_mantissa_are_better() -> None:
    weight = torch.randn(256, 256) * torch.logspace(-4, 0, 256)[:, None]

    def error(granularity: str, format_: str = "e4m3") -> float:
        return float((quantize(weight, None, Fp8Config(format_, granularity, None)).dequantize() - weight).norm(dim=1).div(weight.norm(dim=1)).mean())  # type: ignore[arg-type]

    assert error("channel") <= error("block") < error("tensor")
    assert error("channel") < 0.6 * error("channel", "e5m2")


def test_static_inputs_take_the_largest_that_was_seen() -> None:
    statistics = InputStatistics(4)
    statistics.add(torch.tensor([[1.0, -7.0, 2.0, 0.5], [3.0, 2.0, 0.0, 0.0]]))
    for format_, largest in (("e4m3", 448), ("e5m2", 57344)):
        activations = quantize(torch.randn(2, 4), statistics, Fp8Config(format_, "channel", "static")).activations  # type: ignore[arg-type]
        assert activations is not None
        assert activations.scale is not None
        assert activations.scale.tolist() == pytest.approx([7 / largest])
        assert activations(torch.tensor([[7.0, 70.0]])).tolist() == [pytest.approx([7.0, 7.0], rel=1e-6)]


def test_dynamic_inputs_scale_each_token() -> None:
    activations = quantize(torch.randn(2, 4), None, Fp8Config()).activations
    assert activations is not None
    tokens = torch.tensor([[1e-4, 5e-5], [1e4, -5e3]])
    assert torch.allclose(activations(tokens), tokens, rtol=1e-6)


def test_a_linear_that_no_text_reached_says_so() -> None:
    stored = quantize(torch.randn(2, 4), None, Fp8Config("e4m3", "channel", "static"))
    assert "the calibration text never reached it" in stored.notes[0]
    assert stored.activations is not None
    assert stored.activations.scale is not None
    assert stored.activations.scale.tolist() == [1.0]


def test_bad_numbers_are_refused() -> None:
    with pytest.raises(RunFailed, match="NaN or Inf"):
        quantize(torch.tensor([[torch.nan, 1.0]]), None, Fp8Config())
    statistics = InputStatistics(2)
    statistics.add(torch.tensor([[torch.inf, 1.0]]))
    with pytest.raises(RunFailed, match="calibration inputs"):
        quantize(torch.ones(2, 2), statistics, Fp8Config("e4m3", "channel", "static"))
