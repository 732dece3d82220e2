"""What every kind of compressed weight has in common, whatever its grid."""

from __future__ import annotations

from typing import Protocol

import torch
from torch import Tensor

from core.numerics.activations import ActivationQuantizer


class StoredWeight(Protocol):
    """A weight matrix [out, in] as a checkpoint keeps it."""

    @property
    def notes(self) -> tuple[str, ...]:
        """What the user should know, for example that damping was raised."""
        ...

    @property
    def activations(self) -> ActivationQuantizer | None:
        """How the linear's inputs are rounded at run time; None: not at all."""
        ...

    @property
    def shape(self) -> tuple[int, int]:
        """[out, in]."""
        ...

    @property
    def nbytes(self) -> int:
        """Bytes on disk: codes, scales, zero points, codebooks and whatever else the weight needs."""
        ...

    def dequantize(self, dtype: torch.dtype = torch.float32) -> Tensor:
        """The weight that is stood for, [out, in], computed in float32 and cast to `dtype`."""
        ...
