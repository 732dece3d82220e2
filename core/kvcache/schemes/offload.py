"""Offload: older tokens live in main memory and are fetched to the GPU one decoder block at a time; the newest stay there.

Nothing is rounded: attention sees the bits that arrived. What is paid is the bus: each step moves the whole history of each block once.
"""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import Tensor

from core.errors import RequestError
from core.kvcache.storage.build import LayerContext
from core.runtime.cache import KvLayer


class OffloadLayer(KvLayer):
    """One decoder block's history: `hosted` tokens in (page-locked) main memory, at most two residuals of newer ones on the device.

    The history is put together in working memory that all blocks share. All copies are on the device's stream, in order.

    Args:
        context: of the layer.
        device: where attention runs; default: the context's, which must then be a GPU.

    Raises:
        RequestError: there is no GPU.
    """

    is_croppable = True
    pads: ClassVar[bool] = True

    def __init__(self, context: LayerContext, device: torch.device | None = None) -> None:
        super().__init__()
        if device is None and context.device.type != "cuda":
            raise RequestError("offload moves keys and values between GPU and main memory, but no GPU is in use: choose another scheme")
        self.max_tokens, self._kept = context.max_tokens, max(context.settings.residual, 1)
        self._scratch = context.scratch
        self._host: Tensor | None = None
        self._recent: Tensor | None = None
        self.hosted = 0
        """Tokens in main memory; those behind them are on the device."""

    @property
    def nbytes(self) -> int:
        """Of all tokens, wherever they are."""
        return self.device_bytes + self._of(self._host, self.hosted)

    @property
    def device_bytes(self) -> int:
        """Of the tokens on the device."""
        return self._of(self._recent, self.seen - self.hosted)

    @property
    def reserved(self) -> int:
        """Bytes of the buffers as they are allocated, main memory and device together."""
        return sum(buffer.nbytes for buffer in (self._host, self._recent) if buffer is not None)

    def append(self, keys: Tensor, values: Tensor) -> tuple[Tensor, Tensor]:
        """Fetch the history, add what is new, move what has become old. Raises RequestError when there is no room."""
        batch, heads, count, width = keys.shape
        before, last = self.seen, self.seen + count
        if last > self.max_tokens:
            raise RequestError(f"the cache holds {self.max_tokens} tokens and {last} are needed: request a longer one")
        host, recent = self._buffers(keys)
        whole = self._scratch.take((2, batch, heads, last, width), keys)
        whole[..., : self.hosted, :].copy_(host[..., : self.hosted, :], non_blocking=True)
        whole[..., self.hosted : before, :] = recent[..., : before - self.hosted, :]
        whole[0, :, :, before:], whole[1, :, :, before:] = keys, values
        self.seen = last
        if last - self.hosted > 2 * self._kept:
            first, self.hosted = self.hosted, last - self._kept
            host[..., first : self.hosted, :].copy_(whole[..., first : self.hosted, :], non_blocking=True)
        recent[..., : last - self.hosted, :] = whole[..., self.hosted :, :]
        return whole[0], whole[1]

    def forget(self, count: int) -> None:
        """Count back; what was written is written over."""
        self.seen -= count
        if self.hosted > self.seen:
            self.hosted = self.seen

    def reset(self) -> None:
        """Count from zero; the buffers stay."""
        self.seen = self.hosted = 0

    def reorder_cache(self, beam_idx: Tensor) -> None:
        """Take rows in another order."""
        if self._host is not None and self._recent is not None:
            self._host.copy_(self._host.index_select(1, beam_idx.to(self._host.device)))
            self._recent = self._recent.index_select(1, beam_idx.to(self._recent.device))

    def _buffers(self, like: Tensor) -> tuple[Tensor, Tensor]:
        """Main memory and device, [2, B, kv heads, tokens, d], keys before values."""
        batch, heads, _, width = like.shape
        if self._host is None or self._recent is None or self._host.shape[1] != batch:
            shape = (2, batch, heads, self.max_tokens, width)
            self._host = torch.empty(shape, dtype=like.dtype, device="cpu", pin_memory=like.device.type == "cuda")
            self._recent = like.new_empty((2, batch, heads, 2 * self._kept, width))
        return self._host, self._recent

    @staticmethod
    def _of(buffer: Tensor | None, tokens: int) -> int:
        return 0 if buffer is None else buffer[:, :, :, 0].nbytes * tokens
