"""A quantized checkpoint on disk, whichever method wrote it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import torch
from torch import Tensor

from core.formats.base import Format
from core.formats.opening import round_inputs
from core.formats.weights import QuantizedWeights
from core.models.stream.streaming import StreamedModel
from core.quantize.result import LayerFigures

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

Open = Callable[[StreamedModel], StreamedModel]
"""From the original, whose arithmetic and device count, to what was written, read from its files."""


@dataclass
class Written:
    """A checkpoint on disk and what making it showed."""

    folder: Path
    format: str
    """As the user calls it."""
    scheme: str
    """The kind of storage inside the format."""
    open: Open
    own: OwnReading | None = None
    """Of a file that engines read by its own tokenizer and configuration."""
    layers: list[LayerFigures] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    bytes: int = 0
    """Of all tensors."""


class OwnReading(Protocol):
    """How a file that describes itself differs from the model that it was made of."""

    def tokenizer(self) -> PreTrainedTokenizerBase | None:
        """The tokenizer in the file; None when it cannot be read here, and the original's is used."""

    def notes(self, windows: Tensor, nll: Tensor, on_line: Callable[[str], None]) -> list[str]:
        """What an engine finds otherwise than was measured here.

        Args:
            windows: tokens int64 [N, T].
            nll: negative log-likelihoods that were measured for them, window after window, float64 [N * (T - 1)] in nats.
            on_line: called with each line of the engine's log; may raise to cancel.
        """


def written_as(folder: Path, scheme: Format) -> Written:
    """A checkpoint folder of quantized linears, all stored in one format; opened, they are dequantized as they are needed."""

    def opened(original: StreamedModel) -> StreamedModel:
        found = QuantizedWeights(folder, scheme, torch.float32, original.checkpoint_name)
        streamed = StreamedModel.open(original.folder, original.dtype, str(original.device), found)
        round_inputs(streamed, found.activations)
        return streamed

    return Written(folder, scheme.name, scheme.scheme, opened)
