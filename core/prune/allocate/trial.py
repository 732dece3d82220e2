"""What a distribution of sparsity costs, measured: the whole model pruned by a quick rule, and how far its predictions are from the original's.

The quick rule is Wanda's (arXiv 2306.11695) with the inputs of each block as it is dense, behind blocks that are pruned; it ranks distributions
for slower methods too.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn

from core.calibration.blocks import CalibratedBlock
from core.calibration.probe import HELD_BYTES, Probe
from core.models.stream.streaming import StreamedModel
from core.prune.weights.order import choose
from core.prune.weights.pattern import Pattern


@dataclass(frozen=True)
class Change:
    """A model that differs from the one that is tried in the sparsity of one block; later blocks have the same masks."""

    block: int
    share: float


class Trial:
    """Windows of tokens on which distributions are tried.

    Args:
        streamed: the original model.
        windows: tokens int64 [N, T].
        between: called often; may raise to cancel.
    """

    def __init__(self, streamed: StreamedModel, windows: Tensor, between: Callable[[], None] = lambda: None) -> None:
        self._streamed, self._between = streamed, between
        self._probe = Probe(streamed, windows, between)

    @property
    def at_once(self) -> int:
        """Changes that one pass over the model can try in bounded memory."""
        hidden = self._probe.entering
        room = HELD_BYTES.get(self._streamed.device.type, HELD_BYTES["cpu"])
        return max(room // (hidden.numel() * hidden.element_size()) - 2, 1)

    @torch.no_grad()
    def divergences(self, shares: Sequence[float], changes: Sequence[Change] = (), on_block: Callable[[], None] = lambda: None) -> list[float]:
        """Mean KL divergence from the original in nats per token, first of the model with these sparsities, then of each change of it.

        Args:
            shares: sparsity of each block.
            changes: at most `at_once`.
            on_block: called after each block.

        Raises:
            RunFailed: predictions are not numbers.
        """
        hidden = self._probe.entering
        changed: dict[int, Tensor] = {}
        for index, share in enumerate(shares):
            block = CalibratedBlock(self._streamed, index, replace(self._probe.inputs, hidden=hidden), self._between)
            scores = _scores(block)
            for place, change in enumerate(changes):
                if change.block == index:
                    changed[place] = self._run(block, scores, change.share, [hidden])[0]
            later = [place for place in changed if changes[place].block < index]
            hidden, *moved = self._run(block, scores, share, [hidden, *(changed[place] for place in later)])
            changed.update(zip(later, moved, strict=True))
            self._streamed.release_block(index)
            on_block()
        return self._probe.divergences([hidden, *(changed[place] for place in range(len(changes)))])

    def _run(self, block: CalibratedBlock, scores: Mapping[str, Tensor], share: float, entering: Sequence[Tensor]) -> list[Tensor]:
        """Outputs of the block with this share of its weights at zero; it has its own weights again afterwards."""
        originals = {name: linear.weight.data for name, linear in block.linears.items()}
        for name, linear in block.linears.items():
            linear.weight.data = originals[name].masked_fill(choose(scores[name], Pattern(share)), 0)
        try:
            return [self._probe.run(block.module, hidden, block.index) for hidden in entering]
        finally:
            for name, linear in block.linears.items():
                linear.weight.data = originals[name]


def _scores(block: CalibratedBlock) -> dict[str, Tensor]:
    statistics = block.ranges(block.linears)
    return {name: _wanda(linear, statistics[name].mean_square) for name, linear in block.linears.items()}


def _wanda(linear: nn.Linear, mean_square: Tensor) -> Tensor:
    """|W_ij| √E[x_j²], float32 [out, in]."""
    return linear.weight.detach().float().abs() * mean_square.sqrt()
