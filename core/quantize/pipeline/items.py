"""What a method hands out while it goes through a model."""

from __future__ import annotations

from dataclasses import dataclass

from pydantic import BaseModel
from torch import Tensor

from core.numerics.stored import StoredWeight
from core.quantize.result import LayerFigures
from core.runs.resume_store import KeptBlock


@dataclass(frozen=True)
class QuantizedLinear:
    """One finished linear."""

    name: str
    """Name in the checkpoint, without `.weight`."""
    tensor: StoredWeight
    figures: LayerFigures


@dataclass(frozen=True)
class ChangedTensor:
    """Another parameter that a method changed: a norm's weight, a bias."""

    name: str
    """Name in the checkpoint."""
    tensor: Tensor
    """In the dtype that the checkpoint stores."""


@dataclass(frozen=True)
class BlockDone:
    """Everything of a block was handed out; the changed block is still in memory."""

    index: int


@dataclass(frozen=True)
class BlockPassed:
    """The calibration text has passed a finished block."""

    index: int
    hidden: Tensor | None
    """[N, T, H]: what the next block is given; None when it needs nothing."""
    left: int
    """Blocks still to come."""


class BlockFacts(BaseModel):
    """What is kept of a finished block along with its tensors."""

    linears: list[str] = []
    """Quantized linears by their name in the checkpoint, without `.weight`."""
    changed: list[str] = []
    """Other parameters that were changed; they are among the tensors under their own names."""
    layers: list[LayerFigures] = []
    notes: list[str] = []


Item = QuantizedLinear | ChangedTensor | BlockDone | BlockPassed | KeptBlock[BlockFacts]
