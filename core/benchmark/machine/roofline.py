"""The roofline (Williams, Waterman and Patterson, Communications of the ACM 52(4), 2009): what bounds a matrix product.

A product can go no faster than the arithmetic's peak, and no faster than its operations per byte times the memory's bandwidth.
"""

from __future__ import annotations

from typing import Literal


def operations(rows: int, outputs: int, inputs: int) -> float:
    """Of rows [rows, inputs] times weights [outputs, inputs] transposed: a multiplication and an addition for each pair."""
    return 2.0 * rows * outputs * inputs


def traffic(rows: int, outputs: int, inputs: int, item: int, result_item: int) -> float:
    """Bytes that must pass the memory at least: both factors read once, the result written once.

    Args:
        rows: of the left factor.
        outputs: rows of the weights.
        inputs: columns of both.
        item: bytes of a value of the factors.
        result_item: bytes of a value of the result.
    """
    return float((rows + outputs) * inputs * item + rows * outputs * result_item)


def attainable(intensity: float, peak: float, bandwidth: float) -> float:
    """Operations per second at most: of operations per byte, and the peak and the bandwidth in operations and bytes per second."""
    return min(peak, intensity * bandwidth)


def bound(intensity: float, balance: float) -> Literal["memory", "arithmetic"]:
    """What is used up first at so many operations per byte, on a machine that is balanced at `balance`."""
    return "memory" if intensity < balance else "arithmetic"
