"""A forward of B x n tokens as a list of steps that are bound once to buffers and weights, and then only run.

Between two forwards of the same size nothing is allocated but what the kernels themselves return.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor

from core.runtime.fused.products import Norm, Product, Step
from core.runtime.fused.weights import Block, FusedWeights

ROWS_AT_MOST = 16
"""Up to so many tokens the query heads that share a key head are rows of one product; beyond, each head has its own."""


@dataclass(frozen=True)
class BlockSteps:
    """A block around its attention."""

    before: tuple[Step, ...]
    """From the residual to rotated queries and keys."""
    after: tuple[Step, ...]
    """From what attention mixed to the next residual."""


class ForwardSteps:
    """Buffers and steps for forwards of `batch` x `count` tokens.

    Args:
        weights: of the model.
        batch: B.
        count: n.
        tables: cosines and sines of each rotation, [positions, 2, rotated width].
    """

    def __init__(self, weights: FusedWeights, batch: int, count: int, tables: Mapping[str, Tensor]) -> None:
        shape, rows = weights.shape, batch * count
        self.batch, self.count, self.rows = batch, count, rows
        like = weights.embedding
        heads, kv_heads, width = shape.heads, shape.kv_heads, shape.head_dim
        self.hidden = like.new_empty(rows, shape.hidden)
        """The residual."""
        self._normed = torch.empty_like(self.hidden)
        self._branch = torch.empty_like(self.hidden)
        self._states = like.new_empty(rows, (heads + 2 * kv_heads) * width)
        self._gates = like.new_empty(rows, 2 * shape.inner)
        self._inner = like.new_empty(rows, shape.inner)
        self._mixed = like.new_empty(rows, heads * width)
        self._width, self._turning = width, heads + kv_heads
        self._both = self._states[:, : self._turning * width].view(batch, count, self._turning, width)
        self._turned = like.new_empty(batch, count, self._turning, width)
        self.turns = {name: table.new_empty(batch, count, *table.shape[1:]) for name, table in tables.items()}
        """Cosines and sines [B, n, 2, rotated width] of this forward's positions, by rotation; to be filled before each."""
        self.strips: dict[int | None, Tensor] = {}
        """Causal masks by window, kept here by whoever attends."""
        self.query, self._arrange, self.in_rows = self._queries(heads, kv_heads)
        self.keys = self._turned[:, :, heads:].transpose(1, 2)
        """New keys [B, kv heads, n, d]."""
        self.values = self._states[:, self._turning * width :].view(batch, count, kv_heads, width).transpose(1, 2)
        """New values [B, kv heads, n, d]."""
        self._mixed_view = self._mixed_in_order(heads, kv_heads)
        self.blocks = [self._bind(block) for block in weights.blocks]
        self._last_norm = weights.norm.bind(self.hidden, self._normed)

    def mix(self, mixed: Tensor) -> None:
        """Take what attention made of `query`, in its layout."""
        self._mixed_view.copy_(mixed if mixed.dim() == self._mixed_view.dim() else mixed.view(self._mixed_view.shape))

    def observed_query(self, heads: int) -> Tensor:
        """The rotated queries [B, heads, n, d]."""
        return self._turned[:, :, :heads].transpose(1, 2)

    def normed_last(self) -> Tensor:
        """What the head reads, [B * n, H], once the blocks are through; no buffer."""
        self._last_norm()
        return self._normed.clone()

    def _queries(self, heads: int, kv_heads: int) -> tuple[Tensor, Step | None, bool]:
        """Queries as attention reads them, what brings them there, and whether heads of a group are rows of one head."""
        batch, count, width, groups = self.batch, self.count, self._width, heads // kv_heads
        turned = self._turned[:, :, :heads]
        if count == 1:
            return turned.view(batch, kv_heads, groups, width), None, True
        if count > ROWS_AT_MOST or groups == 1:
            return turned.transpose(1, 2), None, groups == 1
        rows = self._turned.new_empty(batch, kv_heads, count, groups, width)
        arrange = partial(rows.permute(0, 2, 1, 3, 4).copy_, turned.view(batch, count, kv_heads, groups, width))
        return rows.view(batch, kv_heads, count * groups, width), arrange, True

    def _mixed_in_order(self, heads: int, kv_heads: int) -> Tensor:
        batch, count, width, groups = self.batch, self.count, self._width, heads // kv_heads
        if count == 1:
            return self._mixed.view(batch, kv_heads, groups, width)
        if self._arrange is None:
            return self._mixed.view(batch, count, heads, width).transpose(1, 2)
        return self._mixed.view(batch, count, kv_heads, groups, width).permute(0, 2, 1, 3, 4)

    def _bind(self, block: Block) -> BlockSteps:
        before = [*self._into(block.before_attention, block.qkv, self._states)]
        if block.head_norm is not None:
            before.append(block.head_norm.bind(self._both.flatten(0, 1), self._both.flatten(0, 1)))
        if block.wide_norms is not None:
            query = self._states[:, : block.wide_norms[0].weight.numel()]
            keys = self._states[:, query.shape[1] : self._turning * self._width]
            before += [norm.bind(part, part) for norm, part in zip(block.wide_norms, (query, keys), strict=True)]
        before += self._rotation(block.rope)
        if self._arrange is not None:
            before.append(self._arrange)
        half = self._inner.shape[1]
        after = [
            *self._back(block.out, self._mixed, block.after_attention, block.residual_scale),
            *self._into(block.before_mlp, block.gate_up, self._gates),
            _gating(block.activation, self._gates[:, :half], self._gates[:, half:], self._inner),
            *self._back(block.down, self._inner, block.after_mlp, block.residual_scale),
        ]
        return BlockSteps(tuple(before), tuple(after))

    def _into(self, norm: Norm | None, product: Product, out: Tensor) -> list[Step]:
        """From the residual into a product."""
        if norm is None:
            return [product.bind(self.hidden, out)]
        return [norm.bind(self.hidden, self._normed), product.bind(self._normed, out)]

    def _back(self, product: Product, rows: Tensor, norm: Norm | None, scale: float) -> list[Step]:
        """From a product back onto the residual."""
        if norm is None and scale == 1:
            return [product.bind(rows, self.hidden, add=True)]
        steps = [product.bind(rows, self._branch)]
        if norm is not None:
            steps.append(norm.bind(self._branch, self._branch))
        return [*steps, partial(self.hidden.add_, self._branch, alpha=scale)]

    def _rotation(self, name: str | None) -> list[Step]:
        """x cos + swapped(x) sin, halves of a head swapped by writing each half apart."""
        source, turned = self._both, self._turned
        if name is None:
            return [partial(turned.copy_, source)]
        cos, sin = (turn.unsqueeze(2) for turn in self.turns[name].unbind(2))
        width = cos.shape[-1]
        half = width // 2
        steps: list[Step] = [partial(torch.mul, source[..., :width], cos, out=turned[..., :width])]
        steps.append(partial(turned[..., :half].addcmul_, source[..., half:width], sin[..., :half]))
        steps.append(partial(turned[..., half:width].addcmul_, source[..., :half], sin[..., half:]))
        if width < self._width:
            steps.append(partial(turned[..., width:].copy_, source[..., width:]))
        return steps


def _gating(activation: Callable[[Tensor], Tensor], gate: Tensor, up: Tensor, out: Tensor) -> Step:
    def step() -> None:
        torch.mul(activation(gate), up, out=out)

    return step
