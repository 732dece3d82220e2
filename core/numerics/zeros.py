"""The zeros of a weight that was pruned before it is quantized: which are to be kept, and how many were."""

from __future__ import annotations

from torch import Tensor

LEAST_SHARE = 0.01
"""Share of exact zeros from which a weight counts as pruned; 16-bit weights have some by chance."""


def zeros_to_keep(weight: Tensor) -> Tensor | None:
    """Where a pruned weight [out, in] is zero, bool [out, in]; None where it was not pruned."""
    zeros = weight == 0
    return zeros if int(zeros.sum()) >= LEAST_SHARE * weight.numel() else None


def count_zeros(original: Tensor, approximation: Tensor) -> tuple[int, int]:
    """How many weights were exactly zero, and how many of these still are."""
    zeros = original == 0
    return int(zeros.sum()), int((zeros & (approximation == 0)).sum())
