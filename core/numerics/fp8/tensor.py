"""A weight matrix in 8-bit floats."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor
from torch.nn.functional import pad

from core.numerics.activations import ActivationQuantizer
from core.numerics.fp8.codec import E4M3, Fp8Format

Fp8Granularity = Literal["tensor", "channel", "block"]

BLOCK = 128
"""Rows and columns of the square that shares a scale, where squares do."""


@dataclass(frozen=True)
class GroupedInputs(ActivationQuantizer):
    """Inputs rounded with one scale for 128 neighbouring features of a token, found at run time: what kernels for blocks expect."""

    def __call__(self, activations: Tensor) -> Tensor:
        """Activations [..., features] rounded to the grid and back, in their own dtype."""
        features = activations.shape[-1]
        padded = pad(activations, (0, -features % BLOCK))
        rounded = super().__call__(padded.reshape(*padded.shape[:-1], -1, BLOCK))
        return rounded.flatten(-2)[..., :features]


@dataclass(frozen=True)
class Float8Tensor:
    """Codes and scales of a weight [out, in]: W = codes * scale."""

    codes: Tensor
    """float8 [out, in]."""
    scales: Tensor
    """In the dtype that is stored: [1] for the tensor, [out, 1] for channels, [ceil(out / 128), ceil(in / 128)] for blocks."""
    granularity: Fp8Granularity
    format: Fp8Format = E4M3
    activations: ActivationQuantizer | None = None
    notes: tuple[str, ...] = ()

    @property
    def shape(self) -> tuple[int, int]:
        """[out, in]."""
        rows, columns = self.codes.shape
        return rows, columns

    @property
    def nbytes(self) -> int:
        """Bytes on disk: codes, scales, the scale of the inputs when it is fixed."""
        inputs = None if self.activations is None else self.activations.scale
        return self.codes.nbytes + self.scales.nbytes + (0 if inputs is None else inputs.nbytes)

    def dequantize(self, dtype: torch.dtype = torch.float32) -> Tensor:
        """The weight that the codes stand for, [out, in], computed in float32 and cast to `dtype`."""
        return (self.codes.to(torch.float32) * self.expanded_scales()).to(dtype)

    def expanded_scales(self) -> Tensor:
        """Scales in float32, of a shape that multiplies the codes."""
        scales = self.scales.to(torch.float32)
        if self.granularity != "block":
            return scales
        rows, columns = self.codes.shape
        return scales.repeat_interleave(BLOCK, 0)[:rows].repeat_interleave(BLOCK, 1)[:, :columns]
