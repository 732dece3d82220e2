"""One token for each row by tensors of fixed shape, the position among them: what torch.compile and CUDA graphs need.

Attention goes over the whole buffer behind a mask, where the bound steps of `fused_steps` cut views of what is filled.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import torch
from torch import Tensor
from torch.nn import functional

from core.runtime.fused.attention import capped
from core.runtime.fused.products import FloatProduct, Norm, Product
from core.runtime.fused.weights import Block, FusedWeights

Run = Callable[[Tensor, Tensor], tuple[Tensor, Tensor]]
"""Tokens int64 [B] at a position int64 [1] to logits [B, V] and what the head read, [B, H]."""


class FixedStep:
    """A run of `one_token`, made anew when the buffers are others; `make` makes a faster run of a plain one."""

    def __init__(self, make: Callable[[Run, int], Run]) -> None:
        self._make = make
        self._run: Run | None = None
        self._buffer: Tensor | None = None
        self._position: Tensor | None = None

    def __call__(self, weights: FusedWeights, tables: Mapping[str, Tensor], buffer: Tensor, tokens: Tensor, position: int) -> tuple[Tensor, Tensor]:
        """As of `one_token`, with the position as a number and tokens [B, 1]."""
        if self._run is None or self._position is None or self._buffer is not buffer:
            self._buffer = buffer
            self._position = torch.zeros(1, dtype=torch.int64, device=buffer.device)
            self._run = self._make(lambda rows, place: one_token(weights, tables, buffer, rows, place), buffer.shape[1])
        return self._run(tokens.reshape(-1), self._position.fill_(position))


def one_token(weights: FusedWeights, tables: Mapping[str, Tensor], buffer: Tensor, tokens: Tensor, position: Tensor) -> tuple[Tensor, Tensor]:
    """The next token's logits.

    Args:
        weights: of the model.
        tables: cosines and sines of each rotation, [positions, 2, rotated width].
        buffer: keys and values of the blocks in turn, [2 L, B, kv heads, slots, d]; written at `position`.
        tokens: int64 [B].
        position: int64 [1], the same for all rows.

    Returns:
        Logits [B, V] and what the head read, [B, H].
    """
    slots = torch.arange(buffer.shape[3], device=buffer.device)
    turns = {name: table.index_select(0, position)[0] for name, table in tables.items()}
    hidden = functional.embedding(tokens, weights.embedding)
    if weights.embedding_scale != 1:
        hidden = hidden * weights.embedding_scale
    for index, block in enumerate(weights.blocks):
        seen = slots <= position
        if block.window is not None:
            seen = seen & (slots > position - block.window)
        mixed = _attention(weights, block, turns, (buffer[2 * index], buffer[2 * index + 1]), _normed(block.before_attention, hidden), position, seen)
        hidden = hidden + _normed(block.after_attention, _product(block.out, mixed)) * block.residual_scale
        gate, up = _product(block.gate_up, _normed(block.before_mlp, hidden)).chunk(2, dim=1)
        hidden = hidden + _normed(block.after_mlp, _product(block.down, block.activation(gate) * up)) * block.residual_scale
    normed = weights.norm(hidden)
    logits = _product(weights.head, normed) / weights.logits_divisor
    if weights.logits_cap is not None:
        logits = torch.tanh(logits / weights.logits_cap) * weights.logits_cap
    return logits, normed


def _attention(
    weights: FusedWeights, block: Block, turns: Mapping[str, Tensor], cache: tuple[Tensor, Tensor], rows: Tensor, position: Tensor, seen: Tensor
) -> Tensor:
    shape, batch = weights.shape, len(rows)
    heads, kv_heads, width = shape.heads, shape.kv_heads, shape.head_dim
    query, keys, values = torch.split(_product(block.qkv, rows), [heads * width, kv_heads * width, kv_heads * width], dim=1)
    if block.wide_norms is not None:
        query, keys = block.wide_norms[0](query), block.wide_norms[1](keys)
    both = torch.cat((query, keys), dim=1).view(batch, heads + kv_heads, width)
    if block.head_norm is not None:
        both = block.head_norm(both)
    if block.rope is not None:
        both = _rotated(both, turns[block.rope])
    cache[0].index_copy_(2, position, both[:, heads:].unsqueeze(2))
    cache[1].index_copy_(2, position, values.view(batch, kv_heads, 1, width))
    query = both[:, :heads].reshape(batch, kv_heads, heads // kv_heads, width)
    mask = seen.view(1, 1, 1, -1)
    if block.softcap is not None:
        floats = torch.zeros_like(mask, dtype=query.dtype).masked_fill(~mask, -torch.inf)
        return capped(query, *cache, floats, block.scaling, block.softcap).reshape(batch, -1)
    return functional.scaled_dot_product_attention(query, *cache, attn_mask=mask, scale=block.scaling).reshape(batch, -1)


def _rotated(states: Tensor, turn: Tensor) -> Tensor:
    width = turn.shape[-1]
    source = states[..., :width]
    turned = source * turn[0] + source.roll(width // 2, dims=-1) * turn[1]
    return turned if width == states.shape[-1] else torch.cat((turned, states[..., width:]), dim=-1)


def _normed(norm: Norm | None, rows: Tensor) -> Tensor:
    return rows if norm is None else norm(rows)


def _product(product: Product, rows: Tensor) -> Tensor:
    """Plain weights by the plain operator, which a compiler can fuse and a graph can capture."""
    return functional.linear(rows, product.weight, product.bias) if isinstance(product, FloatProduct) else product(rows)
