"""ALPS (Meng et al., arXiv 2406.07831)."""

from __future__ import annotations

from core.prune.methods.base import MASK, Method

ALPS = Method(
    name="alps",
    kind="weights",
    summary="optimizes mask and weights together (ADMM); slower, better at high sparsity",
    solver="core.prune.pipeline.masks:ALPS",
    example="--method alps --sparsity 0.7 --allocation owl",
    fields=(*MASK, "within_block", "swaps", "refit", "damp", "alps_steps"),
    defaults={"sparsity": 0.6},
)
