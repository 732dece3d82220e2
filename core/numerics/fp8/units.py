"""Whether FP8 products run on matrix units of their own."""

from __future__ import annotations

FP8_CAPABILITY = (8, 9)
"""CUDA compute capability from which matrix units take 8-bit floats: Ada, Hopper, Blackwell."""


def has_fp8_units(compute_capability: tuple[int, int] | None) -> bool:
    """Whether a GPU of this CUDA compute capability multiplies 8-bit floats; None means a machine without a GPU."""
    return compute_capability is not None and tuple(compute_capability) >= FP8_CAPABILITY
