"""Logits of a GGUF file as llama.cpp computes them, in a process of its own."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import torch
from torch import Tensor

from core.formats.gguf.llama.process import stream_logits


class LlamaCppLogits:
    """A `LogitSource` of llama.cpp; keys and values are kept in float32, products are llama.cpp's own."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def logits(self, windows: Tensor) -> Iterator[Tensor]:
        """Logits of windows int64 [N, T] as float32 tensors [1, T, V]. Raises RunFailed: llama.cpp cannot read the file, or crashed."""
        with closing(stream_logits(self._path, windows.tolist())) as stream:
            for values in stream:
                yield torch.frombuffer(bytearray(values), dtype=torch.float32).view(1, windows.shape[1], -1)
