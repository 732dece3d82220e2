"""Dense packing of small integers into 32-bit words, as compressed-tensors stores them.

Value k of a row occupies bits k*b .. k*b+b-1 of the row's bit string, words little end first, so that 32 values fill
exactly b words; a value may straddle two words (3, 5, 6 and 7 bits). Codes are signed and stored with an offset of 2^(b-1).
"""

from __future__ import annotations

import torch
from torch import Tensor

from core.numerics.widths import packed_words

_LANES = 32
_AT_ONCE = 2**18
"""Codes that are packed at a time: as 64-bit numbers they take eight times their memory."""


def pack(codes: Tensor, bits: int) -> Tensor:
    """Pack signed codes along the last dimension.

    Args:
        codes: int8 [rows, columns] in -2^(bits-1) .. 2^(bits-1)-1.
        bits: 2 to 8.

    Returns:
        int32 [rows, ceil(columns * bits / 32)].
    """
    rows, columns = codes.shape
    at_once = max(_AT_ONCE // max(columns, 1), 1)
    packed = torch.empty(rows, packed_words(columns, bits), dtype=torch.int32, device=codes.device)
    for begin in range(0, rows, at_once):
        packed[begin : begin + at_once] = _pack(codes[begin : begin + at_once], bits)
    return packed


def _pack(codes: Tensor, bits: int) -> Tensor:
    rows, columns = codes.shape
    padding = -columns % _LANES
    values = codes.to(torch.int64) + (1 << (bits - 1))
    if padding:
        values = torch.nn.functional.pad(values, (0, padding))
    lanes = values.view(rows, -1, _LANES)
    words = torch.zeros(rows, lanes.shape[1], bits, dtype=torch.int64, device=codes.device)
    for lane in range(_LANES):
        word, shift = divmod(lane * bits, 32)
        words[:, :, word] |= (lanes[:, :, lane] << shift) & 0xFFFFFFFF
        if shift + bits > 32:
            words[:, :, word + 1] |= lanes[:, :, lane] >> (32 - shift)
    return as_int32(words.view(rows, -1)[:, : packed_words(columns, bits)])


def unpack(words: Tensor, bits: int, columns: int) -> Tensor:
    """Undo `pack`: int32 [rows, words] to int8 [rows, columns]."""
    rows = words.shape[0]
    padding = -words.shape[1] % bits
    unsigned = words.to(torch.int64) & 0xFFFFFFFF
    if padding:
        unsigned = torch.nn.functional.pad(unsigned, (0, padding))
    groups = unsigned.view(rows, -1, bits)
    codes = torch.empty(rows, groups.shape[1], _LANES, dtype=torch.int8, device=words.device)
    mask, offset = (1 << bits) - 1, 1 << (bits - 1)
    for lane in range(_LANES):
        word, shift = divmod(lane * bits, 32)
        value = groups[:, :, word] >> shift
        if shift + bits > 32:
            value = value | (groups[:, :, word + 1] << (32 - shift))
        codes[:, :, lane] = ((value & mask) - offset).to(torch.int8)
    return codes.view(rows, -1)[:, :columns].contiguous()


def unpack_fields(words: Tensor, bits: int, columns: int) -> Tensor:
    """Undo the packing of older tools, which let no value straddle two words: 32 // bits values a word, its highest bits unused.

    Args:
        words: int32 [rows, ceil(columns / (32 // bits))].
        bits: 2 to 8.
        columns: values of a row.

    Returns:
        int8 [rows, columns], signed.
    """
    shifts = torch.arange(32 // bits, dtype=torch.int32, device=words.device) * bits
    values = (words.unsqueeze(-1) >> shifts) & ((1 << bits) - 1)
    return (values - (1 << (bits - 1))).to(torch.int8).reshape(words.shape[0], -1)[:, :columns].contiguous()


def as_int32(words: Tensor) -> Tensor:
    """int64 words below 2^32 as int32 of the same bits."""
    return torch.where(words >= 1 << 31, words - (1 << 32), words).to(torch.int32)
