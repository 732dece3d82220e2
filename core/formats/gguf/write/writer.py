"""A GGUF file written tensor by tensor: the header first, then every tensor in small runs.

Written under a temporary name and renamed when whole.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Generator, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, suppress
from dataclasses import dataclass
from itertools import zip_longest
from pathlib import Path
from typing import BinaryIO

import numpy as np
from gguf import GGMLQuantizationType, GGUFValueType, GGUFWriter
from torch import Tensor

from core.errors import LlmoptError, RunFailed
from core.formats.gguf.blocks import row_bytes
from core.formats.gguf.encode import encode, parts
from core.formats.gguf.write.entries import Entry
from core.formats.writing.output import disk_sentence

_ALIGNMENT = 32


@dataclass(frozen=True)
class PlannedTensor:
    """A tensor that will be written."""

    name: str
    shape: tuple[int, ...]
    """As torch has it, rows first."""
    block: str
    """ggml's type."""
    load: Callable[[], Tensor]
    """Its values, in any float dtype."""

    @property
    def numel(self) -> int:
        """Number of values."""
        return int(np.prod(self.shape))

    @property
    def nbytes(self) -> int:
        """Bytes in the file, without padding."""
        return row_bytes(self.block, self.numel)


def write_gguf(
    path: Path, architecture: str, entries: Iterable[Entry], tensors: Iterable[PlannedTensor], each: Callable[[PlannedTensor], None] = lambda _: None
) -> int:
    """Write a file; nothing of it is left when that fails.

    Args:
        path: of the finished file.
        architecture: `general.architecture`.
        entries: metadata besides.
        tensors: in the order of the file; two are in memory at a time.
        each: called before each tensor; may raise to cancel.

    Returns:
        Bytes of the file.

    Raises:
        RunFailed: the disk is full, or the folder cannot be written.
    """
    partial = path.with_name(f".{path.name}.partial-{os.getpid()}")
    planned = list(tensors)
    writer = GGUFWriter(None, architecture)
    try:
        _describe(writer, entries, planned)
        writer.write_header_to_file(partial)
        writer.write_kv_data_to_file()
        writer.write_ti_data_to_file()
        stream = _stream_of(writer)
        with closing(_loaded(planned, each)) as loaded:
            for tensor, values in loaded:
                stream.write(bytes(-stream.tell() % _ALIGNMENT))
                for part in parts(values):
                    stream.write(encode(part, tensor.block).numpy().data)
        stream.write(bytes(-stream.tell() % _ALIGNMENT))
        stream.flush()
        os.fsync(stream.fileno())
        writer.close()
        partial.rename(path)
    except BaseException as error:
        with suppress(OSError):
            writer.close()
        partial.unlink(missing_ok=True)
        if isinstance(error, OSError) and not isinstance(error, LlmoptError):
            raise RunFailed(disk_sentence(path, error)) from error
        raise
    return path.stat().st_size


def _loaded(planned: Sequence[PlannedTensor], each: Callable[[PlannedTensor], None]) -> Generator[tuple[PlannedTensor, Tensor], None, None]:
    """Tensors with their values; the next is read while one is worked on."""
    with ThreadPoolExecutor(1) as pool:
        coming = pool.submit(planned[0].load) if planned else None
        for tensor, following in zip_longest(planned, planned[1:]):
            each(tensor)
            if coming is not None:
                values = coming.result()
                coming = None if following is None else pool.submit(following.load)
                yield tensor, values


def _describe(writer: GGUFWriter, entries: Iterable[Entry], tensors: Iterable[PlannedTensor]) -> None:
    for entry in entries:
        kind = GGUFValueType[entry.kind.upper()]
        if isinstance(entry.value, list):
            writer.add_key_value(entry.key, entry.value, GGUFValueType.ARRAY, sub_type=kind)
        else:
            writer.add_key_value(entry.key, entry.value, kind)
    for tensor in tensors:
        writer.add_tensor_info(tensor.name, tensor.shape, np.dtype(np.float32), tensor.nbytes, GGMLQuantizationType[tensor.block])


def _stream_of(writer: GGUFWriter) -> BinaryIO:
    """The open file behind the package's writer, which has written the header."""
    if not writer.fout:
        raise ValueError("the writer has no file yet")
    stream: BinaryIO = writer.fout[0]
    return stream
