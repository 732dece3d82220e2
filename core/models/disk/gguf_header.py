"""Header of a GGUF file, read with bounds: metadata and tensor shapes, no weights.

Format: https://github.com/ggml-org/ggml/blob/master/docs/gguf.md, versions 2 and 3, little-endian.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Any, BinaryIO

from core.errors import RequestError
from core.models.disk.files import STAND_IN_BYTES, reason, refuse_stand_in, shown
from core.sanitize import clean

_SCALARS = {0: "B", 1: "b", 2: "<H", 3: "<h", 4: "<I", 5: "<i", 6: "<f", 7: "?", 10: "<Q", 11: "<q", 12: "<d"}
_STRING, _ARRAY = 8, 9
_MAX_KEYS, _MAX_TENSORS, _MAX_TEXT, _MAX_RANK, _MAX_DEPTH = 65_536, 1_000_000, 16 * 2**20, 8, 4
_KEPT_ITEMS, _MOST_ITEMS = 4096, 2**22
_ALIGNMENT = 32


@dataclass(frozen=True)
class GgufTensor:
    """One tensor: shape as GGUF stores it (columns first), number of its ggml type, position in the data part."""

    name: str
    shape: tuple[int, ...]
    type_number: int
    offset: int

    @property
    def numel(self) -> int:
        """Number of values."""
        return prod(self.shape)


@dataclass(frozen=True)
class GgufHeader:
    """What a GGUF file says it holds. Of long arrays only the length is kept, as an int under `<key>.length`, unless they were asked for."""

    version: int
    metadata: dict[str, object]
    tensors: tuple[GgufTensor, ...]
    data_begin: int = 0
    """Position in the file that tensors' offsets are counted from."""


def read_gguf_header(path: Path, *, long_arrays: bool = False) -> GgufHeader:
    """Read and check the header.

    Args:
        path: of the file.
        long_arrays: keep the items of long arrays too, for example the tokens of a vocabulary.

    Raises:
        RequestError: naming the file, when it cannot be read, is not a GGUF or is damaged.
    """
    try:
        if not path.is_file():
            raise RequestError(f"{shown(path)} is not a file: give a .gguf file")
        with path.open("rb") as stream:
            refuse_stand_in(path, stream.read(STAND_IN_BYTES))
            stream.seek(0)
            return _Reader(stream, path.stat().st_size, shown(path), _MOST_ITEMS if long_arrays else _KEPT_ITEMS).header()
    except (OSError, ValueError) as error:
        raise RequestError(f"cannot read {shown(path)}: {reason(error)}") from error


class _Reader:
    """A cursor that never reads, and never believes a count, beyond the file's size."""

    def __init__(self, stream: BinaryIO, size: int, what: str, kept_items: int) -> None:
        self._stream = stream
        self._size = size
        self._what = what
        self._kept_items = kept_items

    def header(self) -> GgufHeader:
        if self._take(4) != b"GGUF":
            raise RequestError(f"{self._what} is not a GGUF file: it does not start with GGUF")
        version = self._scalar("<I")
        if version not in (2, 3):
            raise RequestError(f"{self._what} is GGUF version {version}; versions 2 and 3 can be read, convert it with a current llama.cpp")
        tensor_count, key_count = self._scalar("<Q"), self._scalar("<Q")
        if key_count > _MAX_KEYS or tensor_count > _MAX_TENSORS:
            raise self._damaged(f"it claims {tensor_count:,} tensors and {key_count:,} keys")
        metadata: dict[str, object] = {}
        for _ in range(key_count):
            self._entry(metadata)
        tensors = tuple(self._tensor() for _ in range(tensor_count))
        alignment = metadata.get("general.alignment", _ALIGNMENT)
        if type(alignment) is not int or not 0 < alignment <= 2**20 or alignment & (alignment - 1):
            raise self._damaged(f"it claims an alignment of {clean(repr(alignment), limit=40)}")
        end = self._stream.tell()
        return GgufHeader(version, metadata, tensors, end + -end % alignment)

    def _entry(self, metadata: dict[str, object]) -> None:
        key = self._text()
        kind = self._scalar("<I")
        if kind != _ARRAY:
            metadata[key] = self._value(kind)
            return
        items, length = self._array(0)
        metadata[f"{key}.length"] = length
        if items is not None:
            metadata[key] = items

    def _value(self, kind: int) -> Any:
        if kind == _STRING:
            return self._text()
        if kind not in _SCALARS:
            raise self._damaged(f"it has a value of unknown type {kind}")
        return self._scalar(_SCALARS[kind])

    def _array(self, depth: int) -> tuple[list[Any] | None, int]:
        kind, length = self._scalar("<I"), self._scalar("<Q")
        if length > self._left() or depth >= _MAX_DEPTH:
            raise self._damaged(f"it claims an array of {length:,} items")
        if kind in _SCALARS and length > self._kept_items:
            self._skip(length * struct.calcsize(_SCALARS[kind]))
            return None, length
        items: list[Any] = []
        for _ in range(length):
            if kind == _STRING and length > self._kept_items:
                self._skip(self._text_length())
            elif kind == _ARRAY:
                self._array(depth + 1)
            else:
                items.append(self._value(kind))
        return (items if len(items) == length else None), length

    def _tensor(self) -> GgufTensor:
        name = self._text()
        rank = self._scalar("<I")
        if rank > _MAX_RANK:
            raise self._damaged(f"the tensor {clean(name, limit=80)!r} has {rank:,} dimensions")
        shape = tuple(self._scalar("<Q") for _ in range(rank))
        tensor = GgufTensor(name, shape, self._scalar("<I"), self._scalar("<Q"))
        if tensor.numel > 64 * self._size or tensor.offset > self._size:
            raise self._damaged(f"the tensor {clean(name, limit=80)!r} extends beyond the file")
        return tensor

    def _text_length(self) -> int:
        length = self._scalar("<Q")
        if length > _MAX_TEXT:
            raise self._damaged(f"it claims a string of {length:,} bytes")
        return int(length)

    def _text(self) -> str:
        return self._take(self._text_length()).decode("utf-8", errors="replace")

    def _scalar(self, code: str) -> Any:
        return struct.unpack(code, self._take(struct.calcsize(code)))[0]

    def _take(self, count: int) -> bytes:
        if count > self._left():
            raise self._damaged("it ends before its header does")
        return self._stream.read(count)

    def _skip(self, count: int) -> None:
        if count > self._left():
            raise self._damaged("it ends before its header does")
        self._stream.seek(count, 1)

    def _left(self) -> int:
        return self._size - self._stream.tell()

    def _damaged(self, why: str) -> RequestError:
        return RequestError(f"{self._what} is damaged: {why}; fetch it again")
