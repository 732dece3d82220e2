"""Rotary positions (arXiv 2104.09864) put on and taken off keys, in the half-split order of Llama-like models."""

from __future__ import annotations

import torch
from torch import Tensor


def rotations(inverse_frequencies: Tensor, count: int, dtype: torch.dtype) -> Tensor:
    """Cosines and signed sines of positions 0 .. count-1.

    Args:
        inverse_frequencies: float32 [r / 2], of r rotated dimensions.
        count: positions.
        dtype: of the result; angles are computed in float32.

    Returns:
        [2, count, r]: cosines, and sines with the sign that `turn` needs.
    """
    positions = torch.arange(count, dtype=torch.float32, device=inverse_frequencies.device)
    angles = torch.outer(positions, inverse_frequencies.float())
    cos, sin = angles.cos(), angles.sin()
    return torch.stack((torch.cat((cos, cos), dim=1), torch.cat((-sin, sin), dim=1))).to(dtype)


def turn(keys: Tensor, table: Tensor, out: Tensor) -> Tensor:
    """Rotate keys by the positions of a table.

    Args:
        keys: [..., n, d]; dimensions beyond the r rotated ones are copied.
        table: [2, n, r] of `rotations`.
        out: like `keys`, and other memory; written and returned.
    """
    rotated, half = table.shape[-1], table.shape[-1] // 2
    cos, sin = table
    torch.mul(keys[..., :rotated], cos, out=out[..., :rotated])
    out[..., :half].addcmul_(keys[..., half:rotated], sin[..., :half])
    out[..., half:rotated].addcmul_(keys[..., :half], sin[..., half:])
    if rotated < keys.shape[-1]:
        out[..., rotated:] = keys[..., rotated:]
    return out


def turn_back(keys: Tensor, table: Tensor) -> Tensor:
    """Undo `turn`: a new tensor."""
    return turn(keys, torch.stack((table[0], -table[1])), torch.empty_like(keys))
