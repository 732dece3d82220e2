"""Rounding that a gradient passes: a linear's weight on its grid in the forward pass, the straight-through estimator in the backward pass.

Sources: Bengio et al., arXiv 1308.3432 (straight-through); Esser et al., "Learned Step Size Quantization", arXiv 1902.08153 (gradient of scales).
"""

from __future__ import annotations

from typing import Any, cast

import torch
from torch import Tensor, nn

from core.numerics.grid import Grid
from core.numerics.tensor import QuantizedTensor


class RoundedWeight(nn.Module):
    """Parametrization of a linear's weight: what is trained are steps of the grid and its scales, what the linear sees is on the grid.

    Args:
        weight: [out, in], the original; kept to answer as the original does while `rounding` is False.
        grid: where weights may stand.
    """

    def __init__(self, weight: Tensor, grid: Grid) -> None:
        super().__init__()
        rows, columns = weight.shape
        self.grid, self.rounding, self._span = grid, True, grid.span(columns)
        scales, zeros = grid.fit(self._grouped(weight.detach().to(torch.float32)), dim=-1)
        if grid.granularity == "tensor":
            scales, zeros = scales[:1, :1], None if zeros is None else zeros[:1, :1]
        self.original: Tensor
        self.first_scales: Tensor
        self.zeros: Tensor | None
        self.register_buffer("original", weight.detach().to(grid.scale_dtype).clone(), persistent=False)
        self.register_buffer("first_scales", scales.clone(), persistent=False)
        self.register_buffer("zeros", zeros, persistent=False)
        self.log_scales = nn.Parameter(torch.zeros(scales.numel(), device=weight.device))
        """ln(scale / first scale), in one row: scales are moved by shares of themselves."""
        self._damp = (rows * columns / scales.numel() * max(grid.highest, 1)) ** -0.5

    def right_inverse(self, weight: Tensor) -> Tensor:
        """The weight as it is trained: in steps of the grid as it was at first, so that one learning rate suits all linears."""
        return (self._grouped(weight) / self.first_scales).view_as(weight)

    def forward(self, steps: Tensor) -> Tensor:
        """What the linear multiplies by."""
        if not self.rounding:
            return self.original.to(steps.dtype)
        weight = self._grouped(steps) * self.first_scales
        rounded = cast("Tensor", _Round.apply(weight, self.scales(), self.zeros, self.grid.lowest, self.grid.highest))  # type: ignore[no-untyped-call]
        return rounded.view_as(steps)

    @torch.no_grad()
    def begin_at(self, quantized: QuantizedTensor) -> None:
        """Take the scales and zero points of another rounding on the same grid."""
        self.first_scales.copy_(quantized.scales.to(torch.float32).unsqueeze(-1))
        if self.zeros is not None and quantized.zeros is not None:
            self.zeros.copy_(quantized.zeros.to(torch.float32).unsqueeze(-1))

    def scales(self) -> Tensor:
        """[out, groups, 1] (or [1, 1, 1]) in float32, always values that the file can hold; the gradient passes their rounding."""
        steps = self.log_scales * self._damp + (self.log_scales * (1 - self._damp)).detach()
        scales = self.first_scales * steps.exp().view_as(self.first_scales)
        stored: Tensor = scales.detach().to(self.grid.scale_dtype).to(torch.float32).clamp_(min=torch.finfo(self.grid.scale_dtype).tiny)
        passed: Tensor = scales + (stored - scales).detach()
        return passed

    @torch.no_grad()
    def quantized(self, steps: Tensor) -> QuantizedTensor:
        """What was trained, [out, in] in steps of the first grid, as it is stored."""
        rows, columns = steps.shape
        scales = self.scales()
        codes = self.grid.encode(self._grouped(steps) * self.first_scales, scales, self.zeros)
        return QuantizedTensor(
            codes=codes.to(torch.int8).view(rows, columns),
            scales=scales.squeeze(-1).to(self.grid.scale_dtype).contiguous(),
            zeros=None if self.zeros is None else self.zeros.squeeze(-1).to(torch.int8),
            group_index=torch.arange(columns, dtype=torch.int32, device=steps.device) // self._span,
            bits=self.grid.bits,
            granularity=self.grid.granularity,
        )

    def _grouped(self, weight: Tensor) -> Tensor:
        rows, columns = weight.shape
        return weight.reshape(rows, columns // self._span, self._span)


class _Round(torch.autograd.Function):
    """Nearest values of a grid. Backwards: weights inside the range get the gradient, others none; scales as in learned step size quantization."""

    @staticmethod
    def forward(context: Any, weight: Tensor, scales: Tensor, zeros: Tensor | None, lowest: int, highest: int) -> Tensor:
        positions = weight / scales
        if zeros is not None:
            positions += zeros
        codes = positions.round().clamp_(lowest, highest)
        context.save_for_backward(weight, scales, zeros)
        context.range = lowest, highest
        return (codes if zeros is None else codes.sub_(zeros)) * scales

    @staticmethod
    def backward(context: Any, *gradients: Tensor) -> tuple[Tensor, Tensor, None, None, None]:
        weight, scales, zeros = context.saved_tensors
        lowest, highest = context.range
        gradient, offset = gradients[0], 0 if zeros is None else zeros
        positions = weight / scales + offset
        inside = (positions >= lowest) & (positions <= highest)
        slopes = positions.round().clamp_(lowest, highest) - offset
        slopes -= torch.where(inside, positions - offset, 0.0)
        return gradient * inside, (gradient * slopes).sum_to_size(scales.shape), None, None, None
