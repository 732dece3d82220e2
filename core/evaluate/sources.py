"""Where logits come from: a model in memory, or one that is read block by block."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, Protocol, runtime_checkable

import torch
from torch import Tensor, nn

from core.errors import RequestError

OnBlock = Callable[[int, int], None]

_CHUNK_BYTES = {"cpu": 64 * 2**20, "cuda": 1024 * 2**20}
_HIDDEN_BYTES = 512 * 2**20


class Streamed(Protocol):
    """What is needed of a `core.models.streaming.StreamedModel`."""

    n_blocks: int
    hidden_size: int

    def capture(self, windows: Tensor) -> Any:
        """Inputs of the first block, `.hidden` [N, T, H] among them."""

    def load_block(self, i: int) -> nn.Module:
        """A block with its weights."""

    def release_block(self, i: int) -> None:
        """Let go of a block's weights."""

    def run_block(self, block: nn.Module, hidden: Tensor, i: int, inputs: Any) -> Tensor:
        """Hidden states [n, T, H] behind the block."""
        ...

    def logits(self, hidden: Tensor) -> Tensor:
        """Logits [n, T, V] of the last block's hidden states."""
        ...


@runtime_checkable
class LogitSource(Protocol):
    """Anything that predicts every next token of equal windows."""

    def logits(self, windows: Tensor) -> Iterator[Tensor]:
        """Logits of windows int64 [N, T] as float tensors [n, T, V], in window order, n small enough to bound the memory."""
        ...


class ModelLogits:
    """Logits of a causal language model that is in memory; evaluated without dropout and without gradients.

    Args:
        model: takes token ids [n, T] and returns logits [n, T, V], or an object that has them as `.logits`.
        chunk_bytes: most bytes of float32 logits that are made at a time; one window is the least.
    """

    def __init__(self, model: nn.Module, chunk_bytes: int | None = None) -> None:
        self._model = model
        parameter = next(iter(model.parameters()), None)
        self._device = torch.device("cpu") if parameter is None else parameter.device
        self._chunk_bytes = chunk_bytes or _CHUNK_BYTES.get(self._device.type, _CHUNK_BYTES["cpu"])
        config = getattr(model, "config", None)
        self._options: dict[str, Any] = {"use_cache": False} if hasattr(config, "model_type") else {}
        self._vocabulary: int | None = getattr(config, "vocab_size", None)

    def logits(self, windows: Tensor) -> Iterator[Tensor]:
        """Logits of windows int64 [N, T] as tensors [n, T, V] in the model's own float type, on its device."""
        if self._vocabulary is not None and int(windows.max()) >= self._vocabulary:
            raise RequestError(
                f"token {int(windows.max())} is outside the model's vocabulary of {self._vocabulary}: use the tokenizer that belongs to the model"
            )
        chunk = 1
        begin = 0
        while begin < len(windows):
            found = self._forward(windows[begin : begin + chunk])
            begin += len(found)
            chunk = max(self._chunk_bytes // (found[0].numel() * 4), 1)
            yield found
            del found  # before the next chunk is made

    @torch.no_grad()
    def _forward(self, windows: Tensor) -> Tensor:
        training = self._model.training
        self._model.eval()
        try:
            output = self._model(windows.to(self._device), **self._options)
        finally:
            if training:
                self._model.train()
        logits: Tensor = getattr(output, "logits", output)
        return logits


class StreamedLogits:
    """Logits of a model that is read one decoder block at a time.

    Held at once: one block, the hidden states of as many windows as `hidden_bytes` allow, and logits of a few of them. Each such
    share of the windows reads the whole model once.

    Args:
        streamed: the model.
        hidden_bytes: most bytes of float32 hidden states.
        chunk_bytes: most bytes of float32 logits, and of hidden states that pass a block together; one window is the least.
        on_block: called after each block with blocks done and blocks in all, over all shares; may raise to cancel.
    """

    def __init__(
        self, streamed: Streamed, *, hidden_bytes: int = _HIDDEN_BYTES, chunk_bytes: int | None = None, on_block: OnBlock | None = None
    ) -> None:
        self._streamed = streamed
        self._hidden_bytes = hidden_bytes
        self._chunk_bytes = chunk_bytes or _CHUNK_BYTES["cpu"]
        self._on_block = on_block

    def logits(self, windows: Tensor) -> Iterator[Tensor]:
        """Logits of windows int64 [N, T] as float32 tensors [n, T, V]."""
        share = self._windows_at_once(windows)
        shares = torch.split(windows, share)
        for index, part in enumerate(shares):
            hidden = self._final_hidden(part, index * self._streamed.n_blocks, len(shares) * self._streamed.n_blocks)
            chunk = 1
            while len(hidden):
                found = self._head(hidden[:chunk])
                hidden = hidden[len(found) :]
                chunk = max(self._chunk_bytes // (found[0].numel() * 4), 1)
                yield found
                del found

    @torch.no_grad()
    def _final_hidden(self, windows: Tensor, blocks_done: int, blocks: int) -> Tensor:
        inputs = self._streamed.capture(windows)
        hidden: Tensor = inputs.hidden
        step = max(self._chunk_bytes // (hidden[0].numel() * 4 * 8), 1)
        for i in range(self._streamed.n_blocks):
            block = self._streamed.load_block(i)
            for begin in range(0, len(hidden), step):
                at = slice(begin, begin + step)
                hidden[at] = self._streamed.run_block(block, hidden[at], i, inputs)
            self._streamed.release_block(i)
            if self._on_block is not None:
                self._on_block(blocks_done + i + 1, blocks)
        return hidden

    @torch.no_grad()
    def _head(self, hidden: Tensor) -> Tensor:
        return self._streamed.logits(hidden)

    def _windows_at_once(self, windows: Tensor) -> int:
        return max(self._hidden_bytes // (windows.shape[1] * self._streamed.hidden_size * 4), 1)
