"""What the finished parts of a run depend on: the request, the model's files, the calibration text, the arithmetic, the programs."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor


def identity_of(
    spec: Mapping[str, object], model: Path, windows: Tensor | None, dtype: torch.dtype, device: str, versions: Mapping[str, object]
) -> dict[str, object]:
    """As plain data, which JSON gives back as it was but for tuples.

    Args:
        spec: the request.
        model: folder of the original.
        windows: calibration tokens int64 [N, T].
        dtype: of the arithmetic.
        device: of the arithmetic.
        versions: of the programs.
    """
    return {
        "request": dict(spec),
        "files_of_the_model": states(model),
        "calibration_text": None if windows is None else hashlib.sha256(windows.contiguous().numpy().tobytes()).hexdigest(),
        "arithmetic": f"{dtype} on {device.partition(':')[0]}",
        "versions_of_the_programs": dict(versions),
    }


def states(folder: Path) -> dict[str, object]:
    """Size in bytes, modification time and hash of the first MiB of a model's weight files and config.json, by file name."""
    files = sorted(file for file in folder.iterdir() if file.suffix == ".safetensors" or file.name == "config.json")
    return {file.name: _state_of(file) for file in files}


def _state_of(file: Path) -> dict[str, object]:
    """A safetensors file lists its tensors in its beginning."""
    status = file.stat()
    with file.open("rb") as stream:
        beginning = stream.read(1 << 20)
    return {"bytes": status.st_size, "modified_ns": status.st_mtime_ns, "sha256_of_beginning": hashlib.sha256(beginning).hexdigest()}
