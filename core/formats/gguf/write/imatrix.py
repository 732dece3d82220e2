"""Importance matrices in both formats of llama.cpp: GGUF (`llama-imatrix`, `llama-quantize --imatrix`) and the older plain one."""

from __future__ import annotations

import os
import struct
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

import numpy as np
from gguf import GGUFWriter
from torch import Tensor

from core.errors import RunFailed
from core.formats.writing.output import disk_sentence


def write_imatrix(path: Path, mean_squares: Mapping[str, Tensor], dataset: str, windows: int, length: int) -> None:
    """Write the GGUF form: for every tensor the sums of squared inputs and the number of tokens they were summed over.

    Args:
        path: of the file.
        mean_squares: tensor's name in GGUF -> mean square of each input feature, float32 [in].
        dataset: what the text was.
        windows: of text.
        length: tokens of a window.

    Raises:
        RunFailed: it cannot be written.
    """
    writer = GGUFWriter(None, "")
    writer.kv_data[0].clear()
    writer.add_string("general.type", "imatrix")
    writer.add_array("imatrix.datasets", [dataset])
    writer.add_uint32("imatrix.chunk_count", windows)
    writer.add_uint32("imatrix.chunk_size", length)
    tokens = np.float32(windows * length)
    for name, values in sorted(mean_squares.items()):
        writer.add_tensor(f"{name}.in_sum2", (values.numpy().astype(np.float32) * tokens)[None])
        writer.add_tensor(f"{name}.counts", np.full((1, 1), tokens))
    partial = path.with_name(f".{path.name}.partial-{os.getpid()}")
    try:
        writer.write_header_to_file(partial)
        writer.write_kv_data_to_file()
        writer.write_tensors_to_file()
        writer.close()
        partial.rename(path)
    except OSError as error:
        with suppress(OSError):
            partial.unlink()
        raise RunFailed(disk_sentence(path, error)) from error


def legacy_bytes(mean_squares: Mapping[str, Tensor]) -> bytes:
    """The older form: number of entries, then each with its name, calls (one here) and values."""
    parts = [struct.pack("<i", len(mean_squares))]
    for name, values in mean_squares.items():
        encoded = name.encode()
        parts += [struct.pack("<i", len(encoded)), encoded, struct.pack("<ii", 1, values.numel()), values.numpy().astype("<f4").tobytes()]
    return b"".join(parts)
