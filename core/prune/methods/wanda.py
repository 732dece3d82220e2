"""Wanda (Sun et al., arXiv 2306.11695)."""

from __future__ import annotations

from core.prune.methods.base import MASK, Method

WANDA = Method(
    name="wanda",
    kind="weights",
    summary="weighs each weight by the size of its input; fast",
    solver="core.prune.pipeline.masks:WANDA",
    example="--method wanda --keep 2:4 --swaps 100",
    fields=(*MASK, "within_block", "swaps", "refit", "damp"),
)
