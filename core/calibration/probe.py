"""What the original model predicts on calibration text, and how far changed models are from it.

A changed model is known by its hidden states: up to the first changed block they are the original's, and need not be computed again.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from math import isfinite

import torch
from torch import Tensor, nn

from core.calibration.blocks import Block
from core.errors import RunFailed
from core.evaluate.logits.scores import kl_divergence, rows
from core.models.stream.streaming import BlockInputs, StreamedModel

HELD_BYTES = {"cpu": 192 * 2**20, "cuda": 8 * 2**30}
"""Hidden states of changed models that wait for each other, by the kind of device."""
_LOGIT_BYTES = {"cpu": 16 * 2**20, "cuda": 1024 * 2**20}


class Probe:
    """Windows of tokens and what the original model makes of them.

    Args:
        streamed: the original model; its blocks are read and let go once here.
        windows: tokens int64 [N, T].
        between: called often; may raise to cancel.
    """

    def __init__(self, streamed: StreamedModel, windows: Tensor, between: Callable[[], None] = lambda: None) -> None:
        self.streamed, self._between = streamed, between
        self.inputs: BlockInputs = streamed.capture(windows)
        """What the blocks are given."""
        self.entering: Tensor = self.inputs.hidden
        """[N, T, H]: what the first block is given."""
        self._final = self.through([self.entering], 0)[0]

    def stored_name(self, block: Block, linear: str) -> str:
        """Name in the checkpoint, without `.weight`, of a linear of a block."""
        return self.streamed.checkpoint_name(f"{self.streamed.block_prefix(block.index)}{linear}.weight").removesuffix(".weight")

    @torch.no_grad()
    def run(self, block: nn.Module, hidden: Tensor, index: int) -> Tensor:
        """Output of block `index` for hidden states [N, T, H] of all windows."""
        self._between()
        return self.streamed.run_block(block, hidden, index, self.inputs)

    @torch.no_grad()
    def divergences(self, final: Sequence[Tensor]) -> list[float]:
        """Mean KL divergence from the original, in nats per token, of models with these outputs [N, T, H] of the last block."""
        if not final:
            return []
        count, length, _ = self._final.shape
        sums = [0.0] * len(final)
        for piece in self._pieces(count, length):
            expected = rows(self.streamed.logits(self._final[piece].to(self.streamed.dtype)).flatten(0, 1))
            # One model at a time: its figure must not depend on which others are measured with it.
            for index, hidden in enumerate(final):
                self._between()
                logits = self.streamed.logits(hidden[piece].to(self.streamed.dtype)).flatten(0, 1)
                sums[index] += float(kl_divergence(expected, rows(logits)).sum())
        self.streamed.release_outer()
        means = [total / (count * length) for total in sums]
        if not all(map(isfinite, means)):
            raise RunFailed("logits on the calibration text contain NaN or Inf: the checkpoint is damaged, or overflows its dtype")
        return means

    def _pieces(self, count: int, length: int) -> Iterator[tuple[slice, slice]]:
        """Windows and positions whose logits are made at once."""
        vocabulary = int(self.streamed.config.get_text_config().vocab_size)
        tokens = max(_LOGIT_BYTES.get(self.streamed.device.type, _LOGIT_BYTES["cpu"]) // (4 * vocabulary), 1)
        windows, positions = max(tokens // length, 1), min(tokens, length)
        for first in range(0, count, windows):
            for begin in range(0, length, positions):
                yield slice(first, first + windows), slice(begin, begin + positions)

    def through(self, hidden: list[Tensor], first: int) -> list[Tensor]:
        """Outputs [N, T, H] of the last block for hidden states that enter block `first`; the list is changed in place and returned."""
        for index in range(first, self.streamed.n_blocks):
            block = self.streamed.load_block(index)
            for place, one in enumerate(hidden):
                hidden[place] = self.run(block, one, index)
            self.streamed.release_block(index)
        return hidden
