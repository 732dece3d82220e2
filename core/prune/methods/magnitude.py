"""Magnitude pruning (Han et al., arXiv 1506.02626)."""

from __future__ import annotations

from core.prune.methods.base import MASK, Method

MAGNITUDE = Method(
    name="magnitude",
    kind="weights",
    summary="removes the smallest weights; needs no text",
    solver="core.prune.pipeline.masks:MAGNITUDE",
    example="--method magnitude --sparsity 0.3",
    fields=(*MASK, "scope", "swaps", "refit", "damp"),
    calibration="no",
    defaults={"sparsity": 0.3},
)
