"""A quantized checkpoint on disk, whichever method wrote it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import torch
from torch import Tensor

from core.formats.base import Format
from core.formats.opening import Activations
from core.formats.weights import QuantizedWeights
from core.models.stream.streaming import StreamedModel
from core.quantize.result import LayerFigures

Weights = Callable[[StreamedModel], tuple[Mapping[str, Tensor], Activations]]
"""From the original to the dequantized parameters, by their names in the model, and the rounding of activations."""


@dataclass
class Written:
    """A checkpoint on disk and what making it showed."""

    folder: Path
    format: str
    """As the user calls it."""
    scheme: str
    """The kind of storage inside the format."""
    weights: Weights
    """Opens what was written."""
    layers: list[LayerFigures] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    bytes: int = 0
    """Of all tensors."""


def written_as(folder: Path, scheme: Format) -> Written:
    """A checkpoint folder of quantized linears, all stored in one format."""

    def weights(original: StreamedModel) -> tuple[Mapping[str, Tensor], Activations]:
        found = QuantizedWeights(folder, scheme, torch.float32, original.checkpoint_name)
        return found, found.activations

    return Written(folder, scheme.name, scheme.scheme, weights)
