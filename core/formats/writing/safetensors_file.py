"""One safetensors file, written tensor by tensor.

The header comes before the data and its size is only known at the end: tensors are appended behind room
for it. At the end a small file's data is moved to close up with its header; a large file's header is filled
up with spaces, as the format allows. Tensors whose size would leave the next one unaligned are written last.
"""

from __future__ import annotations

import json
import os
from contextlib import suppress
from pathlib import Path
from typing import BinaryIO

import torch
from torch import Tensor

from core.errors import RequestError
from core.models.disk.tensors import TORCH_DTYPES
from core.sanitize import clean

_NAMES = {dtype: name for name, dtype in TORCH_DTYPES.items()}
_ROOM = 2**20
_CHUNK = 2**24
_MOVED = 2**29
_HELD_BACK = 2**26
_ALIGNMENT = 8


def stored_bytes(tensor: Tensor) -> int:
    """Bytes that a tensor takes in a file."""
    return tensor.numel() * tensor.element_size()


class SafetensorsFile:
    """A file under construction: it is not a safetensors file before `close`."""

    def __init__(self, path: Path, header_room: int = _ROOM) -> None:
        self.path = path
        self.nbytes = 0
        """Bytes of tensor data in the file."""
        self._room = header_room
        self._held: list[tuple[str, Tensor]] = []
        self.held_bytes = 0
        """Bytes of tensors that are written last."""
        self._entries: dict[str, dict[str, object]] = {}
        self._stream: BinaryIO = path.open("w+b")
        self._stream.seek(8 + self._room)

    def append(self, name: str, tensor: Tensor) -> None:
        """Write a tensor's bytes; nothing large of it is held afterwards."""
        dtype = _NAMES.get(tensor.dtype)
        if dtype is None:
            raise RequestError(f"the tensor {clean(name, limit=200)!r} has the dtype {tensor.dtype}, which safetensors does not support")
        if stored_bytes(tensor) % _ALIGNMENT and self.held_bytes + stored_bytes(tensor) <= _HELD_BACK:
            self._held.append((name, tensor.detach().clone()))
            self.held_bytes += stored_bytes(tensor)
            return
        self._write(name, dtype, tensor)

    def _write(self, name: str, dtype: str, tensor: Tensor) -> None:
        begin = self.nbytes
        flat = tensor.detach().contiguous().reshape(-1).view(torch.uint8)
        for part in torch.split(flat, _CHUNK):
            self._stream.write(part.cpu().numpy().data)
        self.nbytes += stored_bytes(tensor)
        self._entries[name] = {"dtype": dtype, "shape": list(tensor.shape), "data_offsets": [begin, self.nbytes]}

    def close(self) -> None:
        """Write the header and bring the file to the disk."""
        for name, tensor in sorted(self._held, key=lambda item: -item[1].element_size()):
            self._write(name, _NAMES[tensor.dtype], tensor)
        self._held.clear()
        header = json.dumps({"__metadata__": {"format": "pt"}, **self._entries}, separators=(",", ":")).encode()
        needed = len(header) + -len(header) % _ALIGNMENT
        if needed > self._room:
            self._move_back(needed)
        elif self.nbytes <= _MOVED:
            self._close_up(needed)
        self._stream.seek(0)
        self._stream.write(self._room.to_bytes(8, "little"))
        self._stream.write(header.ljust(self._room))
        self._stream.flush()
        os.fsync(self._stream.fileno())
        self._stream.close()

    def discard(self) -> None:
        """Close and remove the file, whatever the disk says to what is still to be written."""
        with suppress(OSError):
            self._stream.close()
        with suppress(OSError):
            self.path.unlink(missing_ok=True)

    def _close_up(self, room: int) -> None:
        """Move the data forwards to where a smaller header ends."""
        source, target = 8 + self._room, 8 + room
        while target < 8 + room + self.nbytes:
            self._stream.seek(source)
            part = self._stream.read(_CHUNK)
            self._stream.seek(target)
            self._stream.write(part)
            source, target = source + len(part), target + len(part)
        self._room = room
        self._stream.truncate(8 + room + self.nbytes)

    def _move_back(self, room: int) -> None:
        """Move the data backwards, from its end, to where a larger header ends."""
        shift, position = room - self._room, 8 + self._room + self.nbytes
        while position > 8 + self._room:
            size = min(_CHUNK, position - 8 - self._room)
            position -= size
            self._stream.seek(position)
            part = self._stream.read(size)
            self._stream.seek(position + shift)
            self._stream.write(part)
        self._room = room
