"""How much a model loses when a single linear is rounded: measured, linear by linear and width by width.

A variant of the model differs from the original in one linear of one block. Up to that block its hidden states are the original's and are
not computed again; from there on variants wait for each other, so that each later block is read once for as many variants as the memory
holds. What is measured is the KL divergence of the variant's predictions from the original's.
"""

from __future__ import annotations

from collections.abc import Callable, Container, Iterable, Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from core.calibration.blocks import Block, CalibratedBlock
from core.calibration.probe import HELD_BYTES, Probe
from core.calibration.statistics import InputStatistics
from core.models.stream.streaming import StreamedModel
from core.numerics.stored import StoredWeight
from core.sanitize import clean

Candidates = Callable[[Tensor, str, InputStatistics | None], Iterable[tuple[int, StoredWeight]]]
"""(weight float32 [out, in], name in the checkpoint, statistics of its inputs) to the ways to store it, each with its width."""
OnStep = Callable[[str], None]
"""Told what comes next after each variant; may raise to cancel."""


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
                        yield from _measured(probe, waiting, block.index + 1)
                        waiting = []
        base = probe.run(block.module, base, block.index)
    yield from _measured(probe, waiting, streamed.n_blocks)


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


def _measured(probe: Probe, variants: Sequence[_Variant], first: int) -> Iterator[Sensitivity]:
    """The divergences of variants whose hidden states are about to enter block `first`; those are given up."""
    hidden = [variant.hidden for variant in variants]
    for variant in variants:
        variant.hidden = variant.hidden.new_empty(0)
    divergences = probe.divergences(probe.through(hidden, first))
    for variant, kl in zip(variants, divergences, strict=True):
        yield Sensitivity(variant.linear, variant.shares, variant.bits, variant.bytes, variant.weights, kl)
