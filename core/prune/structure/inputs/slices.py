"""Which part of which tensor of a block stays when an axis becomes shorter: data, and one function that cuts."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from core.models.config.families import Family


@dataclass(frozen=True)
class Slice:
    """What stays of a parameter along one of its dimensions."""

    name: str
    """Of the parameter inside the block, for example `mlp.down_proj.weight`."""
    dim: int
    index: Tensor
    """int64 [kept], ascending."""


def cut(tensor: Tensor, slices: Iterable[Slice]) -> Tensor:
    """A copy of the part of a parameter that stays."""
    for one in slices:
        tensor = tensor.index_select(one.dim, one.index.to(tensor.device))
    return tensor.contiguous()


def by_name(slices: Iterable[Slice]) -> Mapping[str, list[Slice]]:
    """The slices of each parameter."""
    found: dict[str, list[Slice]] = {}
    for one in slices:
        found.setdefault(one.name, []).append(one)
    return found


def outputs(linears: Iterable[str], index: Tensor) -> Iterator[Slice]:
    """Outputs of linears, rows and biases, that stay."""
    for name in linears:
        yield Slice(f"{name}.weight", 0, index)
        yield Slice(f"{name}.bias", 0, index)


def inputs(linears: Iterable[str], index: Tensor) -> Iterator[Slice]:
    """Inputs of linears that stay."""
    for name in linears:
        yield Slice(f"{name}.weight", 1, index)


def channel_slices(row: Family, width: int, kept: Tensor) -> Iterator[Slice]:
    """Outputs of gate and up and inputs of down; of a fused linear the channels of its first half are gates, of its second ups."""
    fused = row.gated and len(row.gate_up) == 1
    yield from outputs(row.gate_up, torch.cat([kept, width + kept]) if fused else kept)
    yield from inputs((row.down,), kept)


def head_slices(row: Family, heads: Tensor, groups: Tensor, of: tuple[int, int], head_dim: int) -> Iterator[Slice]:
    """Outputs of queries, keys and values, their norms where those span all heads, and inputs of the output linear.

    Args:
        row: names of the block's parts.
        heads: int64 [kept], query heads that stay.
        groups: int64 [kept], KV heads that stay.
        of: query heads and KV heads of the original.
        head_dim: width of a head.
    """
    queries, keys = columns_of(heads, head_dim), columns_of(groups, head_dim)
    if len(row.qkv) == 1:
        begin = of[0] * head_dim
        yield from outputs(row.qkv, torch.cat([queries, begin + keys, begin + of[1] * head_dim + keys]))
    else:
        query, *others = row.qkv
        yield from outputs((query,), queries)
        yield from outputs(others, keys)
    if row.qk_norm == "width":
        yield Slice("self_attn.q_norm.weight", 0, queries)
        yield Slice("self_attn.k_norm.weight", 0, keys)
    yield from inputs((row.output,), queries)


def columns_of(units: Tensor, size: int) -> Tensor:
    """int64 [units * size]: the columns of runs of `size` columns, numbered by run."""
    return (units[:, None] * size + torch.arange(size, device=units.device)).reshape(-1)


def others(chosen: Tensor, size: int) -> Tensor:
    """int64 [size - chosen], ascending: all numbers below `size` that were not chosen."""
    left = torch.ones(size, dtype=torch.bool, device=chosen.device)
    left[chosen] = False
    return left.nonzero()[:, 0]
