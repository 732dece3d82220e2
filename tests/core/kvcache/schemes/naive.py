"""Quantized caches as loops over single groups: the oracle, written apart from what it checks."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from transformers import DynamicCache

Quantized = Callable[[Tensor, Tensor], tuple[Tensor, Tensor]]
"""Keys and values [t, d] of one head to what a cache gives back for them."""


def through_range(group: Tensor, bits: int) -> Tensor:
    """A group of values through 2^bits steps between its smallest and its largest, with both ends as float16."""
    low = group.min().half().float()
    step = max(float((group.max().float() - low) / (2**bits - 1)), 2.0**-24)
    step = float(torch.tensor(step).half())
    out = [float(low) + step * min(max(round((float(value) - float(low)) / step), 0), 2**bits - 1) for value in group]
    return torch.tensor(out)


def through_symmetric(group: Tensor) -> Tensor:
    """A group of values through 8-bit integers."""
    step = float(torch.tensor(max(float(group.abs().max()) / 127, 2.0**-24)).half())
    return torch.tensor([step * min(max(round(float(value) / step), -127), 127) for value in group])


def through_fp8(head: Tensor, dtype: torch.dtype) -> Tensor:
    """A head through torch's own 8-bit float."""
    scale = float(torch.tensor(max(float(head.abs().max()) / 448, 2.0**-24)).half())
    return torch.tensor([float(torch.tensor(float(value) / scale).to(dtype)) * scale for value in head])


def by_token(through: Callable[[Tensor], Tensor], span: int) -> Callable[[Tensor], Tensor]:
    """Each group of `span` channels of each token by itself."""
    return lambda head: torch.stack([torch.cat([through(part) for part in row.split(span)]) for row in head]) if len(head) else head


def per_token(through: Callable[[Tensor], Tensor], span: int) -> Quantized:
    """Keys and values alike, token by token."""
    one = by_token(through, span)
    return lambda keys, values: (one(keys), one(values))


def kivi(bits: int, group: int, residual: int) -> Quantized:
    """KIVI: full blocks of keys by channel, values older than the residual by token."""

    def quantized(keys: Tensor, values: Tensor) -> tuple[Tensor, Tensor]:
        keys, values = keys.clone(), values.clone()
        for first in range(0, len(keys) // residual * residual, group):
            for channel in range(keys.shape[1]):
                keys[first : first + group, channel] = through_range(keys[first : first + group, channel], bits)
        old = max(len(values) - residual, 0)
        values[:old] = by_token(lambda part: through_range(part, bits), min(group, values.shape[1]))(values[:old])
        return keys, values

    return quantized


SCHEMES: dict[str, Callable[[int, int], Quantized]] = {
    "int8": lambda group, residual: per_token(through_symmetric, group),
    "int4": lambda group, residual: per_token(lambda part: through_range(part, 4), group),
    "fp8-e4m3": lambda group, residual: per_token(lambda part: through_fp8(part, torch.float8_e4m3fn), 10**6),
    "fp8-e5m2": lambda group, residual: per_token(lambda part: through_fp8(part, torch.float8_e5m2), 10**6),
    "kivi-4": lambda group, residual: kivi(4, group, residual),
    "kivi-2": lambda group, residual: kivi(2, group, residual),
}


def quantized(keys: Tensor, values: Tensor, through: Quantized) -> tuple[Tensor, Tensor]:
    """[B, heads, t, d] head by head."""
    pairs = [[through(key, value) for key, value in zip(*row, strict=True)] for row in zip(keys, values, strict=True)]
    return tuple(torch.stack([torch.stack([pair[side] for pair in row]) for row in pairs]).to(keys.dtype) for side in (0, 1))  # type: ignore[return-value]


class FakeQuantizedCache(DynamicCache):
    """transformers' own cache that keeps everything and gives back what a quantized cache would: old tokens rounded, new ones as they came."""

    def __init__(self, through: Quantized) -> None:
        super().__init__()
        self._through = through

    def update(self, key_states: Tensor, value_states: Tensor, layer_idx: int, *args: Any, **kwargs: Any) -> tuple[Tensor, Tensor]:
        new = key_states.shape[2]
        keys, values = super().update(key_states, value_states, layer_idx, *args, **kwargs)
        old_keys, old_values = quantized(keys[:, :, :-new], values[:, :, :-new], self._through)
        return torch.cat((old_keys, key_states), dim=2), torch.cat((old_values, value_states), dim=2)
