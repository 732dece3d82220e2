"""The standard error of a mean over a sequence whose neighbours are alike, as the tokens of a text are."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

_BLOCK = 64
_FEWEST_BLOCKS = 8


def mean_error(values: Sequence[float] | NDArray[np.float64]) -> float:
    """Standard error of the mean of values in their order; NaN for a single one.

    From the means of all overlapping blocks of 64 values (Meketon and Schmeiser, "Overlapping batch means", 1984), of fewer where there are few;
    at least that of independent values, the sample's standard deviation over √n.
    """
    found = np.asarray(values, dtype=np.float64)
    count = len(found)
    if count < 2:
        return math.nan
    block = max(min(_BLOCK, count // _FEWEST_BLOCKS), 1)
    sums = np.concatenate([[0.0], (found - found.mean()).cumsum()])
    means = (sums[block:] - sums[:-block]) / block
    of_blocks = float((means**2).sum()) * block / ((count - block) * (count - block + 1))
    return math.sqrt(max(of_blocks, float(found.var(ddof=1)) / count))
