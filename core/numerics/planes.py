"""Codes of 2, 4 or 8 bits packed so that they unpack in whole runs, straight into a buffer of floats.

A vector of d codes is cut into 8 / bits runs of equal length; byte k holds the k-th code of each run, the first run in its lowest bits.
A run is then unpacked by one shift and one mask over neighbouring bytes, where the packing of checkpoints (`core.numerics.packing`, neighbouring
codes side by side) has to take every word apart: 6 times the time at 4 bits. For data that is unpacked at every step, as a KV cache is.
"""

from __future__ import annotations

import torch
from torch import Tensor


def plane_bytes(count: int, bits: int) -> int:
    """Bytes that `count` codes of 2, 4 or 8 bits occupy; the last run may be the shorter one."""
    return -(-count * bits // 8)


def pack_planes(codes: Tensor, bits: int) -> Tensor:
    """Pack along the last dimension.

    Args:
        codes: uint8 [..., d], below 2^bits.
        bits: 2, 4 or 8.

    Returns:
        uint8 [..., ceil(d * bits / 8)].
    """
    if bits == 8:
        return codes
    width, runs = plane_bytes(codes.shape[-1], bits), 8 // bits
    if codes.shape[-1] % runs:
        codes = torch.nn.functional.pad(codes, (0, width * runs - codes.shape[-1]))
    packed = codes.narrow(-1, 0, width).clone()
    for run in range(1, runs):
        packed |= codes.narrow(-1, run * width, width) << (run * bits)
    return packed


def unpack_planes(packed: Tensor, bits: int, out: Tensor) -> Tensor:
    """Undo `pack_planes`.

    Args:
        packed: uint8 [..., ceil(d * bits / 8)].
        bits: 2, 4 or 8.
        out: [..., d] of any dtype that holds the codes exactly; written and returned.
    """
    if bits == 8:
        return out.copy_(packed)
    width, runs, mask = packed.shape[-1], 8 // bits, (1 << bits) - 1
    for run in range(runs):
        part = out[..., run * width : (run + 1) * width]
        values = packed >> (run * bits) if run == runs - 1 else (packed >> (run * bits)) & mask if run else packed & mask
        part.copy_(values[..., : part.shape[-1]])
    return out
