"""NF4: a grid of 16 values under which normally distributed weights are spread evenly, with a scale a block of 64.

The scheme is QLoRA's (arXiv 2305.14314), the arithmetic that of bitsandbytes, so that codes and scales are equal bit by bit: the
weight is read row after row, each block is divided by its largest magnitude, and with double quantization those magnitudes are
themselves rounded to 8 bits, in blocks of 256, on a grid that is dense near zero.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cached_property, lru_cache
from statistics import NormalDist
from typing import Any

import torch
from torch import Tensor

from core.numerics.activations import ActivationQuantizer

BLOCK = 64
NESTED_BLOCK = 256
_OFFSET = 0.9677083
"""The outermost quantile: 1 - (1/30 + 1/32) / 2, rounded as bitsandbytes does."""
_SMALLEST = 1e-38
"""Below this a block counts as zero."""
_DTYPE_NAMES = {torch.bfloat16: "bfloat16", torch.float16: "float16", torch.float32: "float32"}


@lru_cache(maxsize=1)
def nf4_grid() -> Tensor:
    """float32 [16]: quantiles of the normal distribution, eight above zero, seven below and zero itself, scaled to end at -1 and 1."""
    quantile = NormalDist().inv_cdf
    above = [quantile(share) for share in torch.linspace(_OFFSET, 0.5, 9)[:-1].tolist()]
    below = [-quantile(share) for share in torch.linspace(_OFFSET, 0.5, 8)[:-1].tolist()]
    values = torch.tensor([*above, 0.0, *below]).sort().values
    return values / values.max()


@lru_cache(maxsize=1)
def dynamic_grid() -> Tensor:
    """float32 [256]: the 8-bit grid for scales, signed, with seven decades of which the larger have the finer steps.

    "8-bit Optimizers via Block-wise Quantization" (arXiv 2110.02861), section 2.2.
    """
    values: list[float] = []
    for decade in range(7):
        edges = torch.linspace(0.1, 1, 2**decade + 1)
        middles = (10 ** (decade - 6)) * (edges[:-1] + edges[1:]) / 2
        values += [*middles.tolist(), *(-middles).tolist()]
    return torch.tensor(sorted([*values, 0.0, 1.0]))


@dataclass(frozen=True)
class NestedScales:
    """Scales of blocks, rounded to 8 bits: scale = grid[code] * absmax of its block of 256 + offset."""

    codes: Tensor
    """uint8 [blocks]."""
    absmax: Tensor
    """float32 [ceil(blocks / 256)]."""
    offset: float
    """The mean of the scales, taken off before they are rounded."""
    grid: Tensor
    """float32 [256]."""
    block: int = NESTED_BLOCK

    def dequantize(self) -> Tensor:
        """float32 [blocks]."""
        spread = self.absmax.repeat_interleave(self.block)[: len(self.codes)]
        return self.grid[self.codes.long()] * spread + self.offset


@dataclass(frozen=True)
class Nf4Tensor:
    """Codes and scales of a weight [out, in] read row after row: W = grid[code] * scale of its block."""

    packed: Tensor
    """uint8 [ceil(out * in / 2), 1]: two codes a byte, the first in the upper half."""
    scales: Tensor | NestedScales
    """float32 [blocks], or what takes its place."""
    shape: tuple[int, int]
    dtype: torch.dtype
    """Of the weight before; whoever loads a checkpoint gets it back in this."""
    grid: Tensor
    """float32 [16]."""
    grid_name: str = "nf4"
    block: int = BLOCK
    activations: ActivationQuantizer | None = None
    notes: tuple[str, ...] = ()

    @cached_property
    def state(self) -> dict[str, Any]:
        """What bitsandbytes keeps as JSON next to the tensors."""
        plain = {"quant_type": self.grid_name, "blocksize": self.block, "dtype": _DTYPE_NAMES[self.dtype], "shape": list(self.shape)}
        if isinstance(self.scales, Tensor):
            return plain
        return plain | {"nested_blocksize": self.scales.block, "nested_dtype": "float32", "nested_offset": self.scales.offset}

    @property
    def state_bytes(self) -> bytes:
        """`state` as it is stored."""
        return json.dumps(self.state).encode()

    @property
    def nbytes(self) -> int:
        """Bytes on disk: codes, scales, grids, and the description of these."""
        total = self.packed.nbytes + self.grid.nbytes + len(self.state_bytes)
        if isinstance(self.scales, Tensor):
            return total + self.scales.nbytes
        return total + self.scales.codes.nbytes + self.scales.absmax.nbytes + self.scales.grid.nbytes

    def codes(self) -> Tensor:
        """uint8 [out, in]."""
        rows, columns = self.shape
        flat = self.packed.flatten()
        return torch.stack([flat >> 4, flat & 0xF], dim=1).flatten()[: rows * columns].view(rows, columns)

    def block_scales(self) -> Tensor:
        """float32 [blocks]."""
        return self.scales.float() if isinstance(self.scales, Tensor) else self.scales.dequantize()

    def dequantize(self, dtype: torch.dtype = torch.float32) -> Tensor:
        """The weight that the codes stand for, [out, in], computed in float32 and cast to `dtype`."""
        values = self.grid.float()[self.codes().flatten().long()]
        scales = self.block_scales()
        whole = len(values) // self.block * self.block
        values[:whole].view(-1, self.block).mul_(scales[: whole // self.block, None])
        values[whole:].mul_(scales[-1])
        return values.view(self.shape).to(dtype)


def quantize_nf4(weight: Tensor, *, nested: bool, dtype: torch.dtype, block: int = BLOCK) -> Nf4Tensor:
    """Every weight to the closest value of the grid of its block.

    Args:
        weight: float32 [out, in], finite.
        nested: round the scales too ("double quantization"): 0.127 bits per weight instead of 0.5.
        dtype: of the weight in its checkpoint.
        block: weights that share a scale.
    """
    grid = nf4_grid().to(weight.device)
    codes, absmax = _blockwise(weight.flatten(), grid, block)
    if len(codes) % 2:
        codes = torch.cat([codes, codes.new_zeros(1)])
    packed = ((codes[::2] << 4) | codes[1::2]).unsqueeze(1)
    rows, columns = weight.shape
    return Nf4Tensor(packed, nest(absmax) if nested else absmax, (rows, columns), dtype, grid, block=block)


def nest(scales: Tensor) -> NestedScales:
    """Round scales, float32 [blocks], to 8 bits."""
    offset = scales.mean()
    grid = dynamic_grid().to(scales.device)
    codes, absmax = _blockwise(scales - offset, grid, NESTED_BLOCK)
    return NestedScales(codes, absmax, float(offset), grid)


def _blockwise(values: Tensor, grid: Tensor, block: int) -> tuple[Tensor, Tensor]:
    """Codes uint8 [n] of values float32 [n], and the largest magnitude of each block."""
    count = len(values)
    whole = count - count % block
    blocks = values[:whole].view(-1, block)
    absmax = blocks.abs().amax(dim=1)
    # A whole block is multiplied by the reciprocal, a last part divided: ties fall as they do in bitsandbytes.
    divided = (blocks * (1.0 / absmax.clamp(min=_SMALLEST)).unsqueeze(1)).clamp(-1, 1).flatten()
    if whole < count:
        last = values[whole:].abs().max()
        absmax = torch.cat([absmax, last.unsqueeze(0)])
        divided = torch.cat([divided, (values[whole:] / last.clamp(min=_SMALLEST)).clamp(-1, 1)])
    middles = (grid[1:] + grid[:-1]) / 2
    return torch.bucketize(divided, middles, out_int32=True).to(torch.uint8), absmax
