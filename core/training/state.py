"""Tensors and a few numbers of a training in one safetensors file, replaced in one step."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

from safetensors.torch import load_file, save_file
from torch import Tensor

_RECORD = "training"


def save_state(path: Path, tensors: Mapping[str, Tensor], record: Mapping[str, float]) -> None:
    """Replace the file; where the disk refuses, the last one stays. Raises OSError: it cannot be written."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_suffix(".tmp")
    save_file(dict(tensors), temporary, metadata={_RECORD: json.dumps(record)})
    temporary.replace(path)


def load_record(path: Path) -> dict[str, float]:
    """The numbers of a file that `save_state` wrote; no tensor is read."""
    with path.open("rb") as file:
        header = json.loads(file.read(int.from_bytes(file.read(8), "little")))
    found: dict[str, float] = json.loads(header["__metadata__"][_RECORD])
    return found


def load_tensors(path: Path) -> dict[str, Tensor]:
    """The tensors of a file that `save_state` wrote."""
    found: dict[str, Tensor] = load_file(path)
    return found
