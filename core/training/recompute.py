"""Gradient checkpointing: decoder blocks that keep only their inputs for the backward pass and compute the rest a second time."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from functools import partial

from torch import nn
from torch.utils.checkpoint import checkpoint


@contextmanager
def recomputed(blocks: Iterable[nn.Module]) -> Iterator[None]:
    """Within, memory for activations falls to about one block's, gradients stay the same, and a step takes about a third longer.

    Works in training and in evaluation mode, unlike transformers' own switch; the model must run without a KV cache.
    """
    changed = [(block, block.__dict__.get("forward")) for block in blocks]
    for block, _ in changed:
        block.forward = partial(checkpoint, block.forward, use_reentrant=False)
    try:
        yield
    finally:
        for block, own in changed:
            del block.forward
            if own is not None:
                block.forward = own
