"""LLM.int8(): rows of int8 weights, and inputs of which the features with outliers are kept out of the rounding.

The scheme is that of arXiv 2208.07339: a weight's row and an input's token share one scale each, absmax / 127. Features in which
any token reaches the threshold are multiplied in full precision, with the dequantized weights, instead.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from core.numerics.activations import ActivationQuantizer

THRESHOLD = 6.0
_STEP = 1 / 127


@dataclass(frozen=True)
class OutlierInputs(ActivationQuantizer):
    """Inputs rounded to int8 by one scale a token, but for features that hold an outlier in any token of the sequence.

    bitsandbytes looks for outliers in all sequences of a batch together; here each sequence is by itself, as in a batch of one, so that
    what is measured does not depend on how windows are put together.
    """

    threshold: float = THRESHOLD
    """Magnitude from which a value makes its feature an outlier; 0 rounds all features."""

    def __call__(self, activations: Tensor) -> Tensor:
        """Activations [..., tokens, features] rounded to the grid and back, in their own dtype."""
        magnitudes = activations.abs()
        far = magnitudes >= self.threshold if self.threshold > 0 else torch.zeros_like(activations, dtype=torch.bool)
        # As in bitsandbytes only the outliers themselves, not their whole features, are left out of a token's scale.
        largest = magnitudes.masked_fill(far, 0).amax(dim=-1, keepdim=True)
        codes = torch.round(activations * (127 / torch.where(largest == 0, 1, largest)))
        return torch.where(far.any(dim=-2, keepdim=True), activations, codes * (largest * _STEP))


@dataclass(frozen=True)
class Int8Rows:
    """Codes and scales of a weight [out, in]: W = codes * absmax / 127."""

    codes: Tensor
    """int8 [out, in], -127 to 127."""
    absmax: Tensor
    """float32 [out]."""
    activations: ActivationQuantizer | None = OutlierInputs("int8")
    notes: tuple[str, ...] = ()

    @property
    def shape(self) -> tuple[int, int]:
        """[out, in]."""
        rows, columns = self.codes.shape
        return rows, columns

    @property
    def nbytes(self) -> int:
        """Bytes on disk: codes, scales, and the byte that names their layout."""
        return self.codes.nbytes + self.absmax.nbytes + 1

    def dequantize(self, dtype: torch.dtype = torch.float32) -> Tensor:
        """The weight that the codes stand for, [out, in], computed in float32 and cast to `dtype`."""
        return (self.codes.float() * (self.absmax.float() * _STEP).unsqueeze(1)).to(dtype)


def quantize_rows(weight: Tensor, threshold: float = THRESHOLD) -> Int8Rows:
    """Every weight, float32 [out, in], to the closest of 255 steps of its row."""
    absmax = weight.abs().amax(dim=1)
    codes = torch.round(weight * (127 / torch.where(absmax == 0, 1, absmax)).unsqueeze(1))
    return Int8Rows(codes.to(torch.int8), absmax, OutlierInputs("int8", threshold=threshold))
