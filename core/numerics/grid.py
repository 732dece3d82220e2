"""Uniform integer grids of 2 to 8 bits: which values a set of weights may take after rounding.

A grid is x' = (code - zero) * scale with signed codes -2^(b-1) .. 2^(b-1)-1. Symmetric: zero is 0 and scale is
2*absmax / (2^b - 1) (absmax/7.5 at 4 bits), the convention of GPTQ and compressed-tensors. Asymmetric: the range is
widened to hold 0, so that the zero point is always itself a code and needs no clipping.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

Granularity = Literal["group", "channel", "tensor"]
Clipping = Literal["absmax", "mse"]

_SHRINKS = tuple(1 - step / 40 for step in range(33))
"""Candidate shares of the full range tried by `mse` clipping: 1.0 down to 0.2."""


@dataclass(frozen=True)
class Grid:
    """How the weights of one linear are rounded."""

    bits: int = 4
    symmetric: bool = True
    granularity: Granularity = "group"
    group_size: int = 128
    """Weights of a row that share a scale; only looked at when granularity is `group`."""
    clipping: Clipping = "absmax"
    scale_dtype: torch.dtype = torch.float32
    """Scales are rounded to this before anything is rounded by them, so that the file loses nothing."""
    reserved: int = 0
    """Lowest codes that no zero point takes. 1 for GPTQ files of version 1, which store zero points less one."""

    @property
    def lowest(self) -> int:
        """Smallest code."""
        return -(1 << (self.bits - 1))

    @property
    def highest(self) -> int:
        """Largest code."""
        return (1 << (self.bits - 1)) - 1

    def span(self, columns: int) -> int:
        """Columns that share a scale in a row of this many columns."""
        return self.group_size if self.granularity == "group" else columns

    def fit(self, values: Tensor, dim: int) -> tuple[Tensor, Tensor | None]:
        """Scale and zero point of each slice along `dim`.

        Args:
            values: float32; the slices along `dim` share one scale each.
            dim: dimension that is reduced (kept with length 1).

        Returns:
            Scales (float32, representable in `scale_dtype`, never 0) and zero points (float32 whole numbers, or None when symmetric).
        """
        low, high = torch.aminmax(values, dim=dim, keepdim=True)
        if self.granularity == "tensor":
            low, high = low.amin().expand_as(low), high.amax().expand_as(high)
        low, high = low.clamp(max=0), high.clamp(min=0)
        if self.clipping == "absmax":
            return self.from_range(low, high)
        return self._least_squares(values, dim, low, high)

    def encode(self, values: Tensor, scales: Tensor, zeros: Tensor | None) -> Tensor:
        """Nearest codes, as whole numbers in float32, broadcasting scales and zeros."""
        codes = torch.div(values, scales).round_()
        if zeros is not None:
            codes += zeros
        return codes.clamp_(self.lowest, self.highest)

    def decode(self, codes: Tensor, scales: Tensor, zeros: Tensor | None) -> Tensor:
        """Values of codes."""
        return codes * scales if zeros is None else (codes - zeros) * scales

    def from_range(self, low: Tensor, high: Tensor) -> tuple[Tensor, Tensor | None]:
        """Scales and zero points, as `fit` returns them, of slices that reach from low <= 0 to high >= 0."""
        levels = (1 << self.bits) - 1
        if self.symmetric:
            return self._storable(2 * torch.maximum(-low, high) / levels), None
        scales = self._storable((high - low) / levels)
        if self.reserved:
            raised = torch.round(-low / scales) < self.reserved
            scales = torch.where(raised, self._storable(high / (levels - self.reserved)), scales)
        zeros = (torch.round(-low / scales) + self.lowest).clamp_(self.lowest + self.reserved, self.highest)
        return scales, zeros

    def _storable(self, scales: Tensor) -> Tensor:
        """Round to the stored dtype; an all-zero slice gets scale 1, one that underflows the smallest normal number."""
        stored = scales.to(self.scale_dtype).float()
        stored = torch.where(stored < torch.finfo(self.scale_dtype).tiny, torch.finfo(self.scale_dtype).tiny, stored)
        return torch.where(scales == 0, torch.ones_like(stored), stored)

    def _least_squares(self, values: Tensor, dim: int, low: Tensor, high: Tensor) -> tuple[Tensor, Tensor | None]:
        def error(scales: Tensor, zeros: Tensor | None) -> Tensor:
            found = (self.decode(self.encode(values, scales, zeros), scales, zeros) - values).square_().sum(dim=dim, keepdim=True)
            return found.sum().expand_as(found) if self.granularity == "tensor" else found

        return self.narrowed(low, high, _SHRINKS, error)

    def narrowed(
        self, low: Tensor, high: Tensor, shrinks: Sequence[float], error: Callable[[Tensor, Tensor | None], Tensor]
    ) -> tuple[Tensor, Tensor | None]:
        """As `from_range`, each slice's range times that one of `shrinks` whose scales and zero points have the least `error` [..., 1]."""
        best = torch.full_like(low, torch.inf)
        scales, zeros = self.from_range(low, high)
        for shrink in shrinks:
            trial, trial_zeros = self.from_range(low * shrink, high * shrink)
            found = error(trial, trial_zeros)
            better = found < best
            best = torch.where(better, found, best)
            scales = torch.where(better, trial, scales)
            if zeros is not None and trial_zeros is not None:
                zeros = torch.where(better, trial_zeros, zeros)
        return scales, zeros
