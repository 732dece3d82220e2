"""torch's own kernels for products with packed integer weights, and what each of them takes.

A kernel is a module that multiplies rows [n, in] by a weight [out, in] it keeps packed. `KERNELS` says as data which weight,
device and dtype each one takes; the first that takes a weight is used.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache

import torch
from torch import Tensor, nn

from core.numerics.activations import token_scales
from core.numerics.tensor import QuantizedTensor

_FLOATS = (torch.float32, torch.bfloat16, torch.float16)
_INT4_GROUPS = (256, 128, 64, 32)
_INT4_TILES = (64, 32)


@dataclass(frozen=True)
class Limits:
    """What a kernel takes."""

    device: str
    dtypes: tuple[torch.dtype, ...]
    bits: range
    group_sizes: tuple[int, ...]
    """Weights of a row that may share a scale, largest first; empty: the whole row, nothing less."""
    zeros: bool
    """Whether grids may have zero points."""
    in_multiple: int
    out_multiple: int
    rounds_inputs: bool = False
    """Whether the kernel itself rounds its inputs to int8, one scale a token."""

    def take(self, weight: QuantizedTensor, device: torch.device, dtype: torch.dtype) -> bool:
        """Whether the kernel can hold this weight exactly as far as `dtype` allows."""
        rows, columns = weight.shape
        return (
            device.type == self.device
            and dtype in self.dtypes
            and weight.bits in self.bits
            and (self.zeros or weight.zeros is None)
            and columns % self.in_multiple == 0
            and rows % self.out_multiple == 0
            and self.group(weight) is not None
            and (not self.rounds_inputs or _rounds_tokens(weight))
        )

    def group(self, weight: QuantizedTensor) -> int | None:
        """Columns that share a scale inside the kernel; None when the weight's groups cannot be cut so."""
        columns, groups = weight.shape[1], weight.scales.shape[1]
        if not self.group_sizes:
            return columns if groups == 1 else None
        if groups > 1 and (columns % groups or not _equal_groups(weight)):
            return None
        return next((size for size in self.group_sizes if (columns // groups) % size == 0), None)


class Int4(nn.Module):
    """Codes of at most 4 bits, two a byte, with a scale and an offset a group: W = (u - 8) * scale + offset, u in 0..15.

    Scale and offset are kept in the dtype of the inputs. In float32 the product equals that with the dequantized weight to rounding; in
    16 bits the offset -zero * scale is rounded, by at most scale/64 in bfloat16.
    """

    packed: Tensor
    scales: Tensor
    """[groups, out, 2]: scale and offset."""

    def __init__(self, weight: QuantizedTensor, dtype: torch.dtype, group: int, convert: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.group = group
        self.register_buffer("packed", convert(weight.codes.to(torch.int32) + 8), persistent=False)
        scales = _spread(weight.scales, weight, group)
        offsets = torch.zeros_like(scales) if weight.zeros is None else -scales * _spread(weight.zeros, weight, group)
        self.register_buffer("scales", torch.stack((scales, offsets), dim=2).transpose(0, 1).contiguous().to(dtype), persistent=False)


class Int4Cpu(Int4):
    """On the CPU: each weight is made a float in registers and multiplied in float32."""

    many_rows = 128
    """From so many rows on the arithmetic is the time, not the weight's bytes: the weight is made floats and goes through the plain product."""

    def __init__(self, weight: QuantizedTensor, dtype: torch.dtype, group: int) -> None:
        super().__init__(weight, dtype, group, _pack_for_cpu)
        tile = _int4_tile()
        self.tile = tile if tile is not None and len(self.packed) % tile == 0 else None

    def forward(self, rows: Tensor) -> Tensor:
        """[n, in] to [n, out]."""
        if self.tile is not None and len(rows) >= self.many_rows:
            return nn.functional.linear(rows, self._floats(self.tile))
        outputs: Tensor = torch.ops.aten._weight_int4pack_mm_for_cpu(rows, self.packed, self.group, self.scales)
        return outputs

    def _floats(self, tile: int) -> Tensor:
        """The weight [out, in] in the dtype of the inputs."""
        codes = _unpacked_from_cpu(self.packed, tile).to(self.scales.dtype).sub_(8)
        scales = self.scales.transpose(0, 1).unsqueeze(2)
        grouped = codes.view(len(codes), -1, self.group)
        return grouped.mul_(scales[..., 0]).add_(scales[..., 1]).view_as(codes)


class Int4Cuda(Int4):
    """On CUDA tensor cores (compute capability 8.0 and later)."""

    _INNER_TILES = 8

    def __init__(self, weight: QuantizedTensor, dtype: torch.dtype, group: int) -> None:
        super().__init__(weight, dtype, group, self._convert)

    @classmethod
    def _convert(cls, codes: Tensor) -> Tensor:
        pairs = (codes[:, ::2] << 4 | codes[:, 1::2]).to(torch.uint8)
        packed: Tensor = torch.ops.aten._convert_weight_to_int4pack(pairs, cls._INNER_TILES)
        return packed

    def forward(self, rows: Tensor) -> Tensor:
        """[n, in] to [n, out]."""
        outputs: Tensor = torch.ops.aten._weight_int4pack_mm(rows, self.packed, self.group, self.scales)
        return outputs


class Int8(nn.Module):
    """8-bit codes with one scale a row; inputs stay floats."""

    many_rows = 32
    """As of `Int4Cpu`."""

    codes: Tensor
    scales: Tensor

    def __init__(self, weight: QuantizedTensor, dtype: torch.dtype, group: int) -> None:
        del group
        super().__init__()
        self.register_buffer("codes", weight.codes.contiguous(), persistent=False)
        self.register_buffer("scales", _scale_a_row(weight).to(dtype), persistent=False)

    def forward(self, rows: Tensor) -> Tensor:
        """[n, in] to [n, out]."""
        if len(rows) >= self.many_rows and rows.dtype != torch.float16:  # sums of whole codes can pass float16's range
            return nn.functional.linear(rows, self.codes.to(rows.dtype)).mul_(self.scales)
        outputs: Tensor = torch.ops.aten._weight_int8pack_mm(rows, self.codes, self.scales)
        return outputs


class Int8Dynamic(nn.Module):
    """8-bit codes with one scale a row times inputs rounded to int8 with one scale a token; whole-number arithmetic in between."""

    codes: Tensor
    """int8 [in, out]."""
    scales: Tensor

    def __init__(self, weight: QuantizedTensor, dtype: torch.dtype, group: int) -> None:
        del dtype, group
        super().__init__()
        self.register_buffer("codes", weight.codes.contiguous().t(), persistent=False)
        self.register_buffer("scales", _scale_a_row(weight), persistent=False)

    def forward(self, rows: Tensor) -> Tensor:
        """[n, in] to [n, out]."""
        scales = token_scales(rows)
        codes = (rows / scales).round_().clamp_(-128, 127).to(torch.int8)
        return (torch._int_mm(codes, self.codes) * scales.float() * self.scales).to(rows.dtype)


@dataclass(frozen=True)
class Kernel:
    """A way to multiply by a packed weight."""

    name: str
    """As a screen shows it."""
    limits: Limits
    make: Callable[[QuantizedTensor, torch.dtype, int], nn.Module]


KERNELS = (
    Kernel("int8 weights and inputs (oneDNN)", Limits("cpu", _FLOATS, range(5, 9), (), False, 32, 16, rounds_inputs=True), Int8Dynamic),
    Kernel("int4 (torch, CPU)", Limits("cpu", _FLOATS, range(2, 5), _INT4_GROUPS, True, 32, 16), Int4Cpu),
    Kernel("int8 (torch, CPU)", Limits("cpu", _FLOATS, range(2, 9), (), False, 32, 16), Int8),
    Kernel("int4 (torch, CUDA)", Limits("cuda", (torch.bfloat16,), range(2, 5), _INT4_GROUPS, True, 128, 8), Int4Cuda),
    Kernel("int8 (torch, CUDA)", Limits("cuda", (torch.bfloat16,), range(2, 9), (), False, 32, 16), Int8),
)
"""In the order in which they are tried."""


def _pack_for_cpu(codes: Tensor) -> Tensor:
    packed: Tensor = torch.ops.aten._convert_weight_to_int4pack_for_cpu(codes, 1)
    return packed


def _unpacked_from_cpu(packed: Tensor, tile: int) -> Tensor:
    """Codes uint8 [out, in]: a byte of a tile of rows holds two that are half a tile apart, column after column."""
    halves = packed.view(len(packed) // tile, -1, tile // 2)
    return torch.cat((halves & 15, halves >> 4), dim=2).transpose(1, 2).reshape(len(packed), -1)


@cache
def _int4_tile() -> int | None:
    """Rows of a tile in this CPU's layout, found by packing known codes; None when the layout is another."""
    codes = torch.randint(0, 16, (64, 32), dtype=torch.int32, generator=torch.Generator().manual_seed(0))
    packed = _pack_for_cpu(codes)
    return next((tile for tile in _INT4_TILES if torch.equal(_unpacked_from_cpu(packed, tile).to(torch.int32), codes)), None)


def _rounds_tokens(weight: QuantizedTensor) -> bool:
    return weight.activations is not None and weight.activations.kind == "int8" and weight.activations.scale is None


def _equal_groups(weight: QuantizedTensor) -> bool:
    groups = weight.scales.shape[1]
    return bool((torch.bincount(weight.group_index.long(), minlength=groups) == weight.shape[1] // groups).all())


def _spread(values: Tensor, weight: QuantizedTensor, group: int) -> Tensor:
    """A value a scale as a value a group of the kernel, float32 [out, in / group]."""
    rows, columns = weight.shape
    spread = values.to(torch.float32).expand(rows, -1)
    return spread.repeat_interleave(columns // group // values.shape[1], dim=1)


def _scale_a_row(weight: QuantizedTensor) -> Tensor:
    return weight.scales.to(torch.float32)[:, 0].expand(weight.shape[0]).contiguous()
