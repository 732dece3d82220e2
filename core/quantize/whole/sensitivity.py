"""How much a model loses when a single linear is rounded: measured, linear by linear and width by width.

A variant of the model differs from the original in one linear of one block. Up to that block its hidden states are the original's and are
not computed again; from there on variants wait for each other, so that each later block is read once for as many variants as the memory
holds. What is measured is the KL divergence of the variant's predictions from the original's.
"""

from __future__ import annotations

from collections.abc import Callable, Container, Iterable, Iterator, Sequence
from dataclasses import dataclass
from math import isfinite

import torch
from torch import Tensor, nn

from core.calibration.blocks import Block, CalibratedBlock
from core.calibration.statistics import InputStatistics
from core.errors import RunFailed
from core.evaluate.logits.scores import kl_divergence, rows
from core.models.stream.streaming import BlockInputs, StreamedModel
from core.numerics.stored import StoredWeight
from core.sanitize import clean

Candidates = Callable[[Tensor, str, InputStatistics | None], Iterable[tuple[int, StoredWeight]]]
"""(weight float32 [out, in], name in the checkpoint, statistics of its inputs) to the ways to store it, each with its width."""
OnStep = Callable[[str], None]
"""Told what comes next after each variant; may raise to cancel."""

HELD_BYTES = {"cpu": 192 * 2**20, "cuda": 8 * 2**30}
"""Hidden states of waiting variants, by the kind of device."""
_LOGIT_BYTES = {"cpu": 16 * 2**20, "cuda": 1024 * 2**20}


@dataclass(frozen=True)
class Sensitivity:
    """What one linear at one width costs the whole model."""

    linear: str
    """Name in the checkpoint, without `.weight`."""
    shares: str
    """The first linear that reads the same input, perhaps this one."""
    bits: int
    bytes: int
    """On disk, scales counted."""
    weights: int
    kl: float
    """Mean KL divergence from the original, in nats per token, when this linear alone is rounded."""


@dataclass
class _Variant:
    linear: str
    shares: str
    bits: int
    bytes: int
    weights: int
    hidden: Tensor
    """[N, T, H]: where the variant has come so far."""


def sensitivities(
    streamed: StreamedModel,
    blocks: Iterable[Block],
    windows: Tensor,
    candidates: Candidates,
    on_step: OnStep = lambda _label: None,
    *,
    between: Callable[[], None] = lambda: None,
    skip: Container[str] = (),
    held_bytes: int | None = None,
) -> Iterator[Sensitivity]:
    """Measure every candidate of every linear; in the order of the blocks, inside a block in the order of its groups.

    Args:
        streamed: the original model.
        blocks: its blocks in order, for example `calibrated_blocks`; their weights are as they were when the next is asked for.
        windows: tokens int64 [N, T] on which the divergences are measured.
        candidates: makes the rounded weights.
        on_step: called after each variant.
        between: called often; may raise to cancel.
        skip: linears, by their names in the checkpoint, that are left out.
        held_bytes: most bytes of hidden states of waiting variants; one variant is the least.

    Raises:
        RunFailed: the predictions of the original or of a variant are not numbers.
    """
    probe = Probe(streamed, windows, between)
    room = held_bytes or HELD_BYTES.get(streamed.device.type, HELD_BYTES["cpu"])
    capacity = max(room // (probe.entering.numel() * probe.entering.element_size()), 1)
    base, waiting = probe.entering, list[_Variant]()
    for block in blocks:
        for variant in waiting:
            variant.hidden = probe.run(block.module, variant.hidden, block.index)
        for group in block.groups:
            statistics = block.statistics(group) if isinstance(block, CalibratedBlock) else None
            for name in group.names:
                if probe.stored_name(block, name) in skip:
                    continue
                for variant in _variants(probe, block, name, group.names[0], base, statistics, candidates):
                    waiting.append(variant)
                    on_step(f"measuring {clean(variant.linear, limit=200)} at {variant.bits} bits")
                    if len(waiting) >= capacity:
                        yield from probe.measured(waiting, block.index + 1)
                        waiting = []
        base = probe.run(block.module, base, block.index)
    yield from probe.measured(waiting, streamed.n_blocks)


def _variants(
    probe: Probe, block: Block, name: str, shares: str, base: Tensor, statistics: InputStatistics | None, candidates: Candidates
) -> Iterator[_Variant]:
    """Each candidate of one linear, run through its block; the weight is the original's again between them."""
    linear = block.linears[name]
    stored, first = probe.stored_name(block, name), probe.stored_name(block, shares)
    original = linear.weight.detach().clone()
    for bits, weight in candidates(original.to(torch.float32), stored, statistics):
        linear.weight.data.copy_(weight.dequantize())
        try:
            hidden = probe.run(block.module, base, block.index)
        finally:
            linear.weight.data.copy_(original)
        yield _Variant(stored, first, bits, weight.nbytes, original.numel(), hidden)


class Probe:
    """Windows of tokens and what the original model makes of them.

    Args:
        streamed: the original model; its blocks are read and let go once here.
        windows: tokens int64 [N, T].
        between: called often; may raise to cancel.
    """

    def __init__(self, streamed: StreamedModel, windows: Tensor, between: Callable[[], None] = lambda: None) -> None:
        self.streamed, self._between = streamed, between
        self._inputs: BlockInputs = streamed.capture(windows)
        self.entering: Tensor = self._inputs.hidden
        """[N, T, H]: what the first block is given."""
        self._final = self._through([self.entering], 0)[0]

    def stored_name(self, block: Block, linear: str) -> str:
        """Name in the checkpoint, without `.weight`, of a linear of a block."""
        return self.streamed.checkpoint_name(f"{self.streamed.block_prefix(block.index)}{linear}.weight").removesuffix(".weight")

    @torch.no_grad()
    def run(self, block: nn.Module, hidden: Tensor, index: int) -> Tensor:
        """Output of block `index` for hidden states [N, T, H] of all windows."""
        self._between()
        return self.streamed.run_block(block, hidden, index, self._inputs)

    def measured(self, variants: Sequence[_Variant], first: int) -> Iterator[Sensitivity]:
        """The divergences of variants whose hidden states are about to enter block `first`; those are given up."""
        hidden = [variant.hidden for variant in variants]
        for variant in variants:
            variant.hidden = variant.hidden.new_empty(0)
        divergences = self.divergences(self._through(hidden, first))
        for variant, kl in zip(variants, divergences, strict=True):
            yield Sensitivity(variant.linear, variant.shares, variant.bits, variant.bytes, variant.weights, kl)

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

    def _through(self, hidden: list[Tensor], first: int) -> list[Tensor]:
        """Hidden states after the last block."""
        for index in range(first, self.streamed.n_blocks):
            block = self.streamed.load_block(index)
            for place, one in enumerate(hidden):
                hidden[place] = self.run(block, one, index)
            self.streamed.release_block(index)
        return hidden
