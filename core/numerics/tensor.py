"""A weight matrix after quantization, before it is packed for a file."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from core.numerics.activations import ActivationQuantizer
from core.numerics.grid import Granularity
from core.numerics.widths import packed_words


@dataclass(frozen=True)
class QuantizedTensor:
    """Codes, scales and zero points of a weight [out, in]: W = (codes - zeros) * scales."""

    codes: Tensor
    """int8 [out, in], signed: -2^(bits-1) .. 2^(bits-1)-1."""
    scales: Tensor
    """[out, groups] in the dtype that is stored; [1, 1] when one scale serves the whole tensor."""
    zeros: Tensor | None
    """int8 of the shape of `scales`, signed like the codes; None when symmetric."""
    group_index: Tensor
    """int32 [in]: the group, that is the column of `scales`, of each weight column."""
    bits: int
    granularity: Granularity
    losses: Tensor | None = None
    """float32 [in]: what rounding each column added to half the squared output error; from methods that know it."""
    notes: tuple[str, ...] = ()
    """What the user should know, for example that damping was raised."""
    activations: ActivationQuantizer | None = None
    """How the linear's inputs are rounded at run time; None: not at all."""
    product: torch.dtype = torch.float32
    """What whoever loads the checkpoint rounds codes times scales to."""

    @property
    def shape(self) -> tuple[int, int]:
        """[out, in]."""
        rows, columns = self.codes.shape
        return rows, columns

    @property
    def symmetric(self) -> bool:
        """Whether the grid has no zero points."""
        return self.zeros is None

    @property
    def sequential(self) -> bool:
        """Whether groups are runs of neighbouring columns, so that no group index need be stored."""
        return bool((self.group_index == self._sequential_index()).all())

    @property
    def nbytes(self) -> int:
        """Bytes on disk: packed codes, scales, packed zero points, the group index if it is needed."""
        rows, columns = self.codes.shape
        total = 4 * rows * packed_words(columns, self.bits) + self.scales.nbytes
        if self.zeros is not None:
            total += 4 * packed_words(self.zeros.shape[0], self.bits) * self.zeros.shape[1]
        return total if self.sequential else total + 4 * columns

    def dequantize(self, dtype: torch.dtype = torch.float32) -> Tensor:
        """The weight that the codes stand for, [out, in], computed in float32, rounded as loaders do and cast to `dtype`."""
        rows, columns = self.codes.shape
        groups = self.scales.shape[1]
        values = self.codes.to(torch.float32)
        if columns % groups == 0 and self.sequential:
            grouped = values.view(rows, groups, columns // groups)
            if self.zeros is not None:
                grouped -= self.zeros.to(torch.float32).unsqueeze(-1)
            grouped *= self.scales.to(torch.float32).unsqueeze(-1)
            return values.to(self.product).to(dtype)
        index = self.group_index.long()
        if self.zeros is not None:
            values -= self.zeros.to(torch.float32)[:, index]
        values *= self.scales.to(torch.float32)[:, index]
        return values.to(self.product).to(dtype)

    def _sequential_index(self) -> Tensor:
        columns, groups = self.codes.shape[1], self.scales.shape[1]
        return torch.arange(columns, device=self.group_index.device, dtype=torch.int32) // -(-columns // groups)
