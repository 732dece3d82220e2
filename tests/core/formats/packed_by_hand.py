"""Unpackers written from the formats' descriptions, value by value, to check ours against."""

from __future__ import annotations

import torch
from torch import Tensor

AWQ_COLUMN_OF_FIELD = (0, 2, 4, 6, 1, 3, 5, 7)


def bits_of(words: list[int], bits: int, count: int) -> list[int]:
    """Values of a string of bits that runs through 32-bit words, low bits first."""
    string = sum((word & 0xFFFFFFFF) << (32 * index) for index, word in enumerate(words))
    return [(string >> (bits * index)) & ((1 << bits) - 1) for index in range(count)]


def gptq_weight(qweight: Tensor, qzeros: Tensor, scales: Tensor, g_idx: Tensor, bits: int, *, stored_less_one: bool) -> Tensor:
    """W [out, in] in float32, W[o, i] = (q - z) * s."""
    outputs, inputs = scales.shape[1], g_idx.shape[0]
    weight = torch.empty(outputs, inputs)
    zeros = [bits_of(row.tolist(), bits, outputs) for row in qzeros]
    for o in range(outputs):
        for i, q in enumerate(bits_of(qweight[:, o].tolist(), bits, inputs)):
            group = int(g_idx[i])
            weight[o, i] = (q - zeros[group][o] - int(stored_less_one)) * scales[group, o].float()
    return weight


def awq_weight(qweight: Tensor, qzeros: Tensor, scales: Tensor, group_size: int) -> Tensor:
    """W [out, in] in float32."""
    inputs, words = qweight.shape
    weight = torch.empty(words * 8, inputs)
    for i in range(inputs):
        for word in range(words):
            for place, column in enumerate(AWQ_COLUMN_OF_FIELD):
                o, group = word * 8 + column, i // group_size
                q = (int(qweight[i, word]) >> (4 * place)) & 15
                z = (int(qzeros[group, word]) >> (4 * place)) & 15
                weight[o, i] = (q - z) * scales[group, o].float()
    return weight
