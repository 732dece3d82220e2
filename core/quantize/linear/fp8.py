"""FP8: every weight to the closest 8-bit float, scaled so that the largest magnitude meets the largest float.

Scale = absmax / 448 (E4M3) or / 57344 (E5M2) over the tensor, a channel or a block of 128 x 128 (the last as in DeepSeek-V3,
arXiv 2412.19437). Inputs are rounded alike at run time: by a scale a token, or by one scale that calibration found.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor
from torch.nn.functional import pad

from core.calibration.statistics import InputStatistics
from core.errors import RunFailed
from core.formats.layouts.compressed_tensors.floats import FloatQuantized
from core.numerics.activations import ActivationKind, ActivationQuantizer, static_scale
from core.numerics.fp8.codec import E4M3, FP8_FORMATS, Fp8Format, Fp8Name, cast
from core.numerics.fp8.tensor import BLOCK, Float8Tensor, Fp8Granularity, GroupedInputs
from core.numerics.grid import Grid
from core.quantize.linear.solver import LinearSolver
from core.quantize.spec import QuantizeSpec

Inputs = Literal["dynamic", "static"]

_KINDS: dict[str, ActivationKind] = {"e4m3": "fp8-e4m3", "e5m2": "fp8-e5m2"}


@dataclass(frozen=True)
class Fp8Config:
    """How one linear becomes FP8."""

    format: Fp8Name = "e4m3"
    granularity: Fp8Granularity = "channel"
    inputs: Inputs | None = "dynamic"
    """`dynamic`: a scale a token (block: a scale 128 features of a token) at run time. `static`: one scale, from calibration.
    None: inputs stay as they are."""
    scale_dtype: torch.dtype = torch.float32
    """Scales are rounded to this before anything is rounded by them, so that the file loses nothing."""


def config(spec: QuantizeSpec, grid: Grid, name: str) -> Fp8Config:
    """What a request asks for; scales are stored in the dtype that the grid states."""
    del name
    assert spec.granularity != "group"
    return Fp8Config(spec.fp8_format, spec.granularity, spec.activation_scales if spec.activation_bits == 8 else None, grid.scale_dtype)


def quantize(weight: Tensor, statistics: InputStatistics | None, config: Fp8Config) -> Float8Tensor:
    """Quantize one weight.

    Args:
        weight: [out, in].
        statistics: of the linear's inputs; looked at when the scale of the inputs is static.
        config: format, granularity, and what becomes of the inputs.

    Raises:
        RunFailed: the weight holds NaN or infinity, or inputs that calibration saw overflowed.
    """
    if not torch.isfinite(weight).all():
        raise RunFailed("the weight contains NaN or Inf: the checkpoint is damaged, fetch it again")
    kind, values = FP8_FORMATS[config.format], weight.to(torch.float32)
    scales = fit_scales(values, config.granularity, kind, config.scale_dtype)
    activations, notes = _inputs(statistics, config)
    blank = Float8Tensor(values, scales, config.granularity, kind, activations, notes)
    codes = cast(values / blank.expanded_scales(), kind)
    return Float8Tensor(codes, scales, config.granularity, kind, activations, notes)


def fit_scales(values: Tensor, granularity: Fp8Granularity, kind: Fp8Format = E4M3, dtype: torch.dtype = torch.float32) -> Tensor:
    """Scales that bring the largest magnitude of each part to the largest float, in the shapes of `Float8Tensor.scales`."""
    largest = _largest(values.abs(), granularity)
    stored = (largest / kind.largest).to(dtype)
    tiny = torch.finfo(dtype).tiny
    return torch.where(largest == 0, torch.ones_like(stored), stored.clamp(min=tiny))


def _largest(magnitudes: Tensor, granularity: Fp8Granularity) -> Tensor:
    if granularity == "tensor":
        return magnitudes.amax().reshape(1)
    if granularity == "channel":
        return magnitudes.amax(dim=1, keepdim=True)
    rows, columns = magnitudes.shape
    padded = pad(magnitudes, (0, -columns % BLOCK, 0, -rows % BLOCK))
    return padded.view(padded.shape[0] // BLOCK, BLOCK, padded.shape[1] // BLOCK, BLOCK).amax(dim=(1, 3))


def _inputs(statistics: InputStatistics | None, config: Fp8Config) -> tuple[ActivationQuantizer | None, tuple[str, ...]]:
    if config.inputs is None:
        return None, ()
    kind = _KINDS[config.format]
    if config.inputs == "dynamic":
        return GroupedInputs(kind) if config.granularity == "block" else ActivationQuantizer(kind), ()
    if statistics is None or not statistics.tokens:
        scale = torch.ones(1, dtype=config.scale_dtype)
        return ActivationQuantizer(kind, scale), ("the calibration text never reached it: its inputs are clamped at the largest 8-bit float",)
    largest = float(statistics.absmax.max())
    if not largest < torch.inf:
        raise RunFailed("the calibration inputs contain NaN or Inf: the checkpoint is damaged, or its dtype overflows")
    scale = static_scale(largest, kind).to(config.scale_dtype)
    return ActivationQuantizer(kind, scale.clamp(min=torch.finfo(config.scale_dtype).tiny)), ()


def scheme(spec: QuantizeSpec) -> FloatQuantized:
    """Floats as compressed-tensors stores them."""
    assert spec.granularity != "group"
    return FloatQuantized(spec.granularity, spec.activation_scales if spec.activation_bits == 8 else None)


SOLVER = LinearSolver(quantize, config, scheme=scheme)
