"""Where logits come from: a model in memory, or one that is read block by block."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Protocol, runtime_checkable

import torch
from torch import Tensor, nn

from core.errors import RequestError
from core.evaluate.logits.threads import in_order

if TYPE_CHECKING:
    from core.models.stream.streaming import StreamedModel

OnBlock = Callable[[int, int], None]

_CHUNK_BYTES = {"cpu": 16 * 2**20, "cuda": 1024 * 2**20}
_IN_FLIGHT_BYTES = 256 * 2**20
_HIDDEN_BYTES = 512 * 2**20
_TOKENS_IN_A_BLOCK = 1024
_WIDTH_IN_A_BLOCK = 8 * 4  # a block's widest activations, in bytes, for each value of the hidden state


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
        self._options: dict[str, object] = {"use_cache": False} if hasattr(config, "model_type") else {}
        self._vocabulary: int | None = config.get_text_config().vocab_size if config is not None and self._options else None

    def logits(self, windows: Tensor) -> Iterator[Tensor]:
        """Logits of windows int64 [N, T] as tensors [n, T, V] in the model's own float type, on its device."""
        if self._vocabulary is not None and int(windows.max()) >= self._vocabulary:
            raise RequestError(f"token {int(windows.max())} is outside the model's vocabulary of {self._vocabulary}: use the model's own tokenizer")
        training = self._model.training
        self._model.eval()
        try:
            # One token alone first: some models finish loading in their first forward, which must not happen in several threads at once.
            window_bytes = windows.shape[1] * self._forward(windows[:1, :1]).shape[-1] * 4
            chunks = torch.split(windows, max(self._chunk_bytes // window_bytes, 1))
            yield from in_order(self._forward, chunks, _workers(self._device, len(chunks[0]) * window_bytes))
        finally:
            if training:
                self._model.train()

    @torch.no_grad()
    def _forward(self, windows: Tensor) -> Tensor:
        output = self._model(windows.to(self._device), **self._options)
        logits: Tensor = getattr(output, "logits", output)
        return logits


class StreamedLogits:
    """Logits of a model that is read one decoder block at a time; the same as those of the whole model.

    Held at once: one block, the hidden states of as many windows as `hidden_bytes` allow, and logits of a few of them. Each such
    share of the windows reads the whole model once.

    Args:
        streamed: the model.
        hidden_bytes: most bytes of hidden states; one window is the least.
        chunk_bytes: most bytes of float32 logits that are made at a time; one window is the least.
        on_block: called after each block with blocks passed and blocks to pass, over all shares; may raise to cancel.
    """

    def __init__(
        self, streamed: StreamedModel, *, hidden_bytes: int = _HIDDEN_BYTES, chunk_bytes: int | None = None, on_block: OnBlock | None = None
    ) -> None:
        self._streamed = streamed
        self._hidden_bytes = hidden_bytes
        self._chunk_bytes = chunk_bytes or _CHUNK_BYTES.get(streamed.device.type, _CHUNK_BYTES["cpu"])
        self._on_block = on_block
        self._hidden_size: int = streamed.config.get_text_config().hidden_size

    def n_steps(self, windows: Tensor) -> int:
        """How often `on_block` is called for these windows."""
        return len(self._shares(windows)) * self._streamed.n_blocks

    def logits(self, windows: Tensor) -> Iterator[Tensor]:
        """Logits of windows int64 [N, T] as float32 tensors [n, T, V]."""
        shares = self._shares(windows)
        blocks = self._streamed.n_blocks
        try:
            for index, share in enumerate(shares):
                yield from self._from_head(self._final_hidden(share, index * blocks, len(shares) * blocks))
        finally:
            self._streamed.release_outer()

    def _from_head(self, hidden: Tensor) -> Iterator[Tensor]:
        chunk = 1
        while len(hidden):
            with torch.no_grad():
                found = self._streamed.logits(hidden[:chunk])
            hidden = hidden[len(found) :]
            chunk = max(self._chunk_bytes // (found[0].numel() * 4), 1)
            yield found
            del found  # before the next chunk is made

    @torch.no_grad()
    def _final_hidden(self, windows: Tensor, done: int, blocks: int) -> Tensor:
        inputs = self._streamed.capture(windows)
        hidden = inputs.hidden
        step = max(_TOKENS_IN_A_BLOCK // windows.shape[1], 1)
        parts = [slice(begin, begin + step) for begin in range(0, len(hidden), step)]
        workers = _workers(hidden.device, hidden[parts[0]].numel() * _WIDTH_IN_A_BLOCK)
        for i in range(self._streamed.n_blocks):
            block = self._streamed.load_block(i)

            def run(part: slice, i: int = i, block: nn.Module = block) -> None:
                hidden[part] = self._streamed.run_block(block, hidden[part], i, inputs, first=part.start)

            deque(in_order(run, parts, workers), maxlen=0)
            self._streamed.release_block(i)
            if self._on_block is not None:
                self._on_block(done + i + 1, blocks)
        return hidden

    def _shares(self, windows: Tensor) -> Sequence[Tensor]:
        window_bytes = windows.shape[1] * self._hidden_size * self._streamed.dtype.itemsize
        return torch.split(windows, max(self._hidden_bytes // window_bytes, 1))


def _workers(device: torch.device, bytes_each: int) -> int:
    """Windows to work on at once: on a CPU as many as fit in the memory for it, one on anything else."""
    return max(_IN_FLIGHT_BYTES // bytes_each, 1) if device.type == "cpu" else 1
