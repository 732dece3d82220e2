"""SparseGPT (Frantar and Alistarh, arXiv 2301.00774)."""

from __future__ import annotations

from core.prune.methods.base import MASK, Method

SPARSEGPT = Method(
    name="sparsegpt",
    kind="weights",
    summary="lets the weights that are left make up for each removal",
    solver="core.prune.pipeline.masks:SPARSEGPT",
    example="--method sparsegpt --sparsity 0.5",
    fields=(*MASK, "within_block", "swaps", "refit", "damp"),
)
