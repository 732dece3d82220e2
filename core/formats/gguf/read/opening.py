"""Open a GGUF file as a model that is read block by block, its weights dequantized as they are needed."""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from core.errors import RequestError
from core.formats.gguf.read.reader import GgufFile
from core.formats.gguf.read.tokenizer_files import write_tokenizer
from core.formats.gguf.read.weights import GgufWeights, divide_frequencies
from core.models.disk.files import reason, shown
from core.models.disk.headers import TensorInfo, TensorLocation
from core.models.stream.streaming import Stored, StreamedModel

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase


def companion_folder(path: Path) -> Path:
    """A folder with the config.json and the tokenizer that a file's metadata describe; it goes away with the process.

    Raises:
        RequestError: a damaged file, or a family or tokenizer that cannot be read.
    """
    folder = _config_folder(path)
    if not (folder / "tokenizer_config.json").exists():
        write_tokenizer(GgufFile(path).header, folder, shown(path))
    return folder


def file_tokenizer(path: Path) -> PreTrainedTokenizerBase:
    """The tokenizer of a file, as tokenizer.json states it: not as the class that transformers has for the family would change it.

    Raises:
        RequestError: a damaged file, or a tokenizer that cannot be read.
    """
    from transformers import PreTrainedTokenizerFast

    folder = companion_folder(path)
    try:
        tokenizer: PreTrainedTokenizerBase = PreTrainedTokenizerFast.from_pretrained(folder, local_files_only=True)
    except Exception as error:  # tokenizers raise whatever a file led them to
        raise RequestError(f"transformers cannot read the tokenizer in {shown(path)}: {reason(error)}") from error
    return tokenizer


def open_gguf(path: Path, dtype: torch.dtype | None = None, device: str = "cpu", overlay: Mapping[str, Tensor] | None = None) -> StreamedModel:
    """The model of a file.

    Args:
        path: of the file.
        dtype: of the arithmetic; default: float32.
        device: where blocks are put.
        overlay: parameters by name that are used instead of the file's.

    Raises:
        RequestError: a damaged file, or a family that cannot be read.
    """
    folder = _config_folder(path)
    weights = GgufWeights(path)
    streamed = StreamedModel.open(folder, dtype or torch.float32, device, overlay, Stored(_locations(weights), _Reader(weights)))
    factors = weights.rope_factors()
    if factors is not None:
        divide_frequencies(streamed.model, factors)
    return streamed


def _locations(weights: GgufWeights) -> dict[str, TensorLocation]:
    """Parameters as they would stand in a file of float32 numbers; they are never read from there."""
    shapes = {name: weights.file.shape(tensor) for name, tensor in weights.names.items()}
    return {name: TensorLocation(weights.file.path, TensorInfo(name, "F32", shape, 0, 4 * _count(shape))) for name, shape in shapes.items()}


def _count(shape: tuple[int, ...]) -> int:
    return int(torch.Size(shape).numel())


class _Reader:
    """Reads parameters by name, wherever a location says they are."""

    def __init__(self, weights: GgufWeights) -> None:
        self._weights = weights

    def read(self, location: TensorLocation) -> Tensor:
        """A parameter in float32."""
        return self._weights[location.info.name]

    def close(self) -> None:
        """Nothing is kept open."""


def _config_folder(path: Path) -> Path:
    status = path.stat()
    return Path(_companion(path.absolute(), status.st_mtime_ns, status.st_size).name)


@lru_cache(maxsize=8)
def _companion(path: Path, _modified: int, _size: int) -> TemporaryDirectory[str]:
    folder = TemporaryDirectory(prefix="llmopt-gguf-")
    GgufWeights(path).write_config(Path(folder.name))
    return folder
