"""The forward pass of Llama-like decoders with as few operations per token as they allow.

One product for query, key and value, one for gate and up, buffers that are written in place, no module dispatch.
Equal to transformers' forward to rounding.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from copy import copy
from dataclasses import replace
from typing import TYPE_CHECKING

import torch
from torch import Tensor
from torch.nn import functional

from core.errors import RequestError
from core.numerics.stored import StoredWeight
from core.runtime.cache import KvCache
from core.runtime.caches.stacked import StackedKvCache
from core.runtime.decoder import Tree
from core.runtime.fused.attention import capped, mask_of, strip
from core.runtime.fused.fixed_step import FixedStep
from core.runtime.fused.steps import ROWS_AT_MOST, ForwardSteps
from core.runtime.fused.weights import Block, FusedWeights
from core.runtime.module import check_context
from core.runtime.rows import Rows

if TYPE_CHECKING:
    from transformers import PreTrainedModel

Looks = tuple[Tensor | None, bool]
"""A mask, None when everything is looked at, and whether it is the plain causal one instead."""

_KEPT_ROWS = 32
"""Buffers of forwards of up to so many tokens are kept for the next."""


class FusedDecoder:
    """`core.runtime.decoder.Decoder` for Llama-like models.

    Args:
        model: a whole model, in evaluation mode, on one device. Its projections that are fused share the fused weight afterwards.
        max_tokens: slots of the cache: prompt and answer together.
        weights: quantized weights by the name of their linear, used packed in place of the model's own.
        cache: default: static buffers.
        batch: sequences.

    Raises:
        RequestError: a family without a fused path, or more tokens than the model has positions.
    """

    def __init__(
        self,
        model: PreTrainedModel,
        max_tokens: int,
        weights: Mapping[str, StoredWeight] | None = None,
        *,
        cache: KvCache | None = None,
        batch: int = 1,
    ) -> None:
        if cache is None or not cache.unbounded:
            check_context(model.config, max_tokens)
        self._weights = FusedWeights.of(model, weights or {})
        self.max_tokens = max_tokens
        self.device, self.dtype = model.device, self._weights.embedding.dtype
        self.vocabulary = self._weights.shape.vocabulary
        self.kernels = self._weights.kernels
        """Name of the kernel of each packed product, by the linears that it serves."""
        self._fixed: FixedStep | None = None
        self._tables = self._weights.rotations(max_tokens, self.dtype, self.device)
        self._open(cache, batch)

    def skipping(self, layers: Sequence[int], *, batch: int = 1) -> FusedDecoder:
        """A decoder without these blocks, on the same weights, with a cache of its own.

        Raises:
            RequestError: a block that is not there, or none would be left.
        """
        count = len(self._weights.blocks)
        odd = next((layer for layer in layers if not 0 <= layer < count), None)
        if odd is not None:
            raise RequestError(f"the model has blocks 0 to {count - 1}, and {odd} is not one of them: choose others to skip")
        kept = tuple(block for index, block in enumerate(self._weights.blocks) if index not in set(layers))
        if not kept:
            raise RequestError("all blocks would be skipped: keep at least one")
        other = copy(self)
        other._weights = replace(self._weights, blocks=kept)
        other._open(None, batch)
        return other

    @property
    def has_static_cache(self) -> bool:
        """Whether keys and values lie in the decoder's own buffers."""
        return self._stack is not None

    def use_fixed(self, step: FixedStep | None) -> None:
        """Take this step for one token a row, where no row has holes; None for the decoder's own."""
        self._fixed = step

    @property
    def length(self) -> int:
        """Slots in use, padding and holes counted."""
        return self._rows.length

    def reset(self, batch: int = 1) -> None:
        """Forget the sequences; memory stays."""
        if any(steps.batch != batch for steps in self._steps.values()):
            self._steps.clear()
        self.batch: int = batch
        self._rows = Rows(batch, self.max_tokens, self.device)
        if self._stack is not None:
            self._stack.make_room(batch)
        else:
            self.cache.reset()

    @torch.inference_mode()
    def forward(self, tokens: Tensor, *, real: Tensor | None = None, tree: Tree | None = None, last: bool = False) -> Tensor:
        """Append tokens [B, n] and predict: logits [B, n, V], or [B, 1, V] with `last`."""
        if len(tokens) != self.batch:
            raise RequestError(f"the decoder holds {self.batch} sequences but got tokens of {len(tokens)}: reset it for that many")
        count, weights = tokens.shape[1], self._weights
        if self._fixed is not None and self._stack is not None and count == 1 and real is None and tree is None and self._rows.plain:
            return self._forward_fixed(self._fixed, self._stack, tokens)
        placed = None if self._stack is not None else self.cache.positions(count)
        plain = real is None and tree is None and self._rows.plain
        first, positions = self._rows.length, None
        if plain:
            self._rows.advance(count)
        else:
            positions = self._rows.append(count, real, tree, pads=self.cache.pads)
        steps = self._steps_of(count)
        self._turn(steps, first, positions if placed is None else placed.to(self.device)[None])
        torch.index_select(weights.embedding, 0, tokens.reshape(-1), out=steps.hidden)
        if weights.embedding_scale != 1:
            steps.hidden.mul_(weights.embedding_scale)
        masks = self._narrowed(steps) if plain else self._masks(steps, tree)
        if self._stack is None:
            self._through_cache(self.cache, steps, masks)
        else:
            self._through_stack(self._stack, steps, masks)
        return self._predict(steps, last=last)

    @torch.inference_mode()
    def keep(self, counts: Sequence[int], of: int) -> None:
        """Of the last `of` slots row b keeps its first `counts[b]`."""
        self.cache.forget(self._rows.keep(counts, of, pads=self.cache.pads))

    @torch.inference_mode()
    def select(self, slots: Tensor) -> None:
        """Of the nodes of the last tree keep those at `slots`."""
        self.cache.select(slots, self._rows.select(slots))

    def _forward_fixed(self, step: FixedStep, stack: StackedKvCache, tokens: Tensor) -> Tensor:
        first = self._rows.length
        self._rows.advance(1)
        stack.advance(1)
        logits, hidden = step(self._weights, self._tables, stack.buffer, tokens, first)
        self.hidden = hidden.unsqueeze(1)
        return logits.unsqueeze(1)

    def _open(self, cache: KvCache | None, batch: int) -> None:
        shape = self._weights.shape
        self._fixed = None
        self._steps: dict[int, ForwardSteps] = {}
        self._stack: StackedKvCache | None = None
        if cache is None:
            self._stack = StackedKvCache(len(self._weights.blocks), shape.kv_heads, shape.head_dim, self.max_tokens, self._weights.embedding)
        self.cache: KvCache = cache if self._stack is None else self._stack  # type: ignore[assignment]
        self.hidden = torch.empty(0)
        """[B, n, H]: what the head read in the last forward."""
        self.reset(batch)

    def _steps_of(self, count: int) -> ForwardSteps:
        steps = self._steps.get(count)
        if steps is None:
            steps = ForwardSteps(self._weights, self.batch, count, self._tables)
            if self.batch * count <= _KEPT_ROWS:
                self._steps[count] = steps
        return steps

    def _turn(self, steps: ForwardSteps, first: int, positions: Tensor | None) -> None:
        for name, turn in steps.turns.items():
            table = self._tables[name]
            turn.copy_(table[first : first + steps.count] if positions is None else table[positions])

    def _masks(self, steps: ForwardSteps, tree: Tree | None) -> dict[int | None, Tensor]:
        """What the new tokens look at, for each window of the model."""
        windows = {block.window for block in self._weights.blocks}
        groups = self._repeats(steps)
        return {window: mask_of(self._rows.looked_at(steps.count, tree, window), groups, self._weights.embedding) for window in windows}

    def _narrowed(self, steps: ForwardSteps) -> dict[int | None, Tensor]:
        """What a scheme that evicts lets several new tokens look at; empty where it narrows nothing."""
        looked_at = None if self._stack is not None or steps.count == 1 else self.cache.looked_at(steps.count)
        if looked_at is None:
            return {}
        mask = mask_of(looked_at[None].to(self.device), self._repeats(steps), self._weights.embedding)
        return dict.fromkeys({block.window for block in self._weights.blocks}, mask)

    def _repeats(self, steps: ForwardSteps) -> int:
        """Rows of a mask for each token."""
        shape = self._weights.shape
        return shape.heads // shape.kv_heads if 1 < steps.count <= ROWS_AT_MOST else 1

    def _looks(self, steps: ForwardSteps, block: Block, slots: int, masks: Mapping[int | None, Tensor]) -> Looks:
        """What one block looks at over so many slots."""
        if masks:
            mask = masks[block.window]
            return mask[..., mask.shape[-1] - slots :], False
        window = None if block.window is not None and slots <= block.window else block.window
        if steps.count == 1 and window is None:
            return None, False
        if steps.count == slots and window is None and block.softcap is None and self._repeats(steps) == 1:
            return None, True
        known = steps.strips.get(window)
        if known is None:
            known = steps.strips[window] = strip(steps.count, self.max_tokens, window, self._repeats(steps), self._weights.embedding)
        return known[:, known.shape[1] - slots :], False

    def _through_stack(self, stack: StackedKvCache, steps: ForwardSteps, masks: Mapping[int | None, Tensor]) -> None:
        new, seen = stack.take(steps.count)
        slots, place = seen[0].shape[2], 0
        known: dict[int | None, Looks] = {}
        for block, bound in zip(self._weights.blocks, steps.blocks, strict=True):
            for step in bound.before:
                step()
            new[place].copy_(steps.keys)
            new[place + 1].copy_(steps.values)
            looks = known.get(block.window)
            if looks is None:
                looks = known[block.window] = self._looks(steps, block, slots, masks)
            self._attend(steps, block, seen[place], seen[place + 1], looks)
            for step in bound.after:
                step()
            place += 2

    def _through_cache(self, cache: KvCache, steps: ForwardSteps, masks: Mapping[int | None, Tensor]) -> None:
        for block, bound, layer in zip(self._weights.blocks, steps.blocks, cache.layers, strict=True):
            for step in bound.before:
                step()
            keys, values = layer.append(steps.keys.clone(), steps.values.clone())
            self._attend(steps, block, keys, values, self._looks(steps, block, keys.shape[2], masks))
            if layer.observes:
                layer.observe(steps.observed_query(self._weights.shape.heads), keys, block.scaling)
            for step in bound.after:
                step()

    def _attend(self, steps: ForwardSteps, block: Block, keys: Tensor, values: Tensor, looks: Looks) -> None:
        mask, causal = looks
        if block.softcap is not None:
            steps.mix(capped(steps.query, keys, values, mask, block.scaling, block.softcap))
            return
        mixed = functional.scaled_dot_product_attention(
            steps.query, keys, values, attn_mask=mask, is_causal=causal, scale=block.scaling, enable_gqa=not steps.in_rows
        )
        steps.mix(mixed)

    def _predict(self, steps: ForwardSteps, *, last: bool) -> Tensor:
        weights, count = self._weights, steps.count
        if last and count > 1:
            hidden, count = weights.norm(steps.hidden.view(self.batch, count, -1)[:, -1]), 1
        else:
            hidden = steps.normed_last()
        self.hidden = hidden.view(self.batch, count, -1)
        logits = weights.head(hidden)
        if weights.logits_divisor != 1:
            logits /= weights.logits_divisor
        if weights.logits_cap is not None:
            logits = logits.div_(weights.logits_cap).tanh_().mul_(weights.logits_cap)
        return logits.view(self.batch, count, -1)
