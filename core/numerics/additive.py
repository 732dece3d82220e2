"""A weight as sums of vectors from learned codebooks.

Source: Egiazarian et al., "Extreme Compression of Large Language Models via Additive Quantization" (AQLM, arXiv 2401.06118).
A weight [out, in] is cut into tiles of `out_group` rows times `in_group` columns. Each tile is the sum of one vector from each
of K codebooks, times a scale that the rows of the tile share.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor

if TYPE_CHECKING:
    from core.numerics.activations import ActivationQuantizer

MAX_CODEBOOK_BITS = 16


@dataclass(frozen=True)
class AdditiveTensor:
    """Codes, codebooks and scales of a weight [out, in]."""

    codes: Tensor
    """int32 [out / out_group, in / in_group, K], each 0 .. 2^codebook_bits - 1."""
    codebooks: Tensor
    """[K, 2^codebook_bits, out_group, in_group] in the dtype that is stored."""
    scales: Tensor
    """[out / out_group, 1, 1, 1] in the dtype that is stored."""
    notes: tuple[str, ...] = ()
    """What the user should know."""
    activations: ActivationQuantizer | None = None
    """Always None: inputs stay as they are."""

    @property
    def codebook_bits(self) -> int:
        """Bits of a code."""
        return self.codebooks.shape[1].bit_length() - 1

    @property
    def shape(self) -> tuple[int, int]:
        """[out, in] of the weight."""
        return self.codes.shape[0] * self.codebooks.shape[2], self.codes.shape[1] * self.codebooks.shape[3]

    @property
    def nbytes(self) -> int:
        """Bytes on disk: codes in whole bytes as AQLM stores them, codebooks, scales."""
        return self.codes.numel() * code_bytes(self.codebook_bits) + self.codebooks.nbytes + self.scales.nbytes

    def dequantize(self, dtype: torch.dtype = torch.float32) -> Tensor:
        """The weight that the codes stand for, [out, in], computed in float32 and cast to `dtype`."""
        tiles = decode(self.codes, self.codebooks.to(torch.float32))
        tiles *= self.scales.to(torch.float32)
        return tiles.transpose(1, 2).reshape(self.shape).to(dtype)


def code_bytes(codebook_bits: int) -> int:
    """Bytes of one stored code: int8 up to 8 bits, else int16."""
    return 1 if codebook_bits <= 8 else 2


def decode(codes: Tensor, codebooks: Tensor) -> Tensor:
    """Sums of codebook vectors, without scales.

    Args:
        codes: integers [R, n, K].
        codebooks: float [K, C, out_group, in_group].

    Returns:
        Tiles [R, n, out_group, in_group].
    """
    rows, groups, count = codes.shape
    _, entries, out_group, in_group = codebooks.shape
    offsets = torch.arange(count, device=codes.device) * entries
    index = codes.to(torch.int64) + offsets
    flat = codebooks.reshape(count * entries, out_group * in_group)
    tiles = torch.nn.functional.embedding_bag(index.view(-1, count), flat, mode="sum")
    return tiles.view(rows, groups, out_group, in_group)
