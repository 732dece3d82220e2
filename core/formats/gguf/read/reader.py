"""A GGUF file's tensors as float32, whatever type of ggml they are stored in; every position is checked before it is read."""

from __future__ import annotations

import math
import os
from functools import cached_property
from pathlib import Path

import numpy as np
import torch
from gguf import GGML_QUANT_SIZES, GGMLQuantizationType, dequantize
from torch import Tensor

from core.errors import RequestError, RunFailed
from core.formats.gguf.encode import decode_q8_0
from core.models.disk.files import reason, shown
from core.models.disk.gguf_header import GgufHeader, GgufTensor
from core.models.disk.gguf_parts import read_gguf_parts
from core.sanitize import clean

_PLAIN = {"F32": torch.float32, "F16": torch.float16, "BF16": torch.bfloat16, "F64": torch.float64}
_VALUES_AT_ONCE = 2**22
_MOST_VALUES = 2**34


class GgufFile:
    """An open GGUF file, with its other parts where the model is split into several.

    Raises:
        RequestError: not a GGUF file, damaged, or a tensor that is not where the file says, of a type nobody can read, or named twice.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        model = read_gguf_parts(path, long_arrays=True)
        self.header: GgufHeader = model.header
        self.tensors: dict[str, GgufTensor] = {}
        self._places: dict[str, tuple[Path, int]] = {}
        for file, header in model.parts:
            size = file.stat().st_size
            for tensor in header.tensors:
                if tensor.name in self.tensors:
                    raise self._damaged(tensor.name, "is listed twice")
                self.tensors[tensor.name] = tensor
                self._places[tensor.name] = file, header.data_begin + tensor.offset
                self._check(tensor, size)

    @cached_property
    def file_bytes(self) -> int:
        """Bytes of all tensors, without padding."""
        return sum(self.nbytes(name) for name in self.tensors)

    def shape(self, name: str) -> tuple[int, ...]:
        """Shape as torch has it, rows first."""
        return tuple(reversed(self.tensors[name].shape))

    def block(self, name: str) -> str:
        """ggml's name of the type that a tensor is stored in."""
        return str(GGMLQuantizationType(self.tensors[name].type_number).name)

    def nbytes(self, name: str) -> int:
        """Bytes of a tensor, without padding."""
        values, size = GGML_QUANT_SIZES[GGMLQuantizationType(self.tensors[name].type_number)]
        return self.tensors[name].numel // values * size

    def read(self, name: str) -> Tensor:
        """A tensor in float32, rows first.

        Raises:
            RequestError: there is no such tensor, or nobody here can dequantize its type.
            RunFailed: the file cannot be read any more.
        """
        if name not in self.tensors:
            raise RequestError(f"{shown(self.path)} has no tensor {clean(name, limit=120)!r}: the model is incomplete")
        out = torch.empty(self.tensors[name].numel, dtype=torch.float32)
        values, size = GGML_QUANT_SIZES[GGMLQuantizationType(self.tensors[name].type_number)]
        step = _VALUES_AT_ONCE // values * values
        file, begin = self._places[name]
        try:
            with file.open("rb") as stream:
                for first in range(0, len(out), step):
                    count = min(step, len(out) - first)
                    raw = os.pread(stream.fileno(), count // values * size, begin + first // values * size)
                    if len(raw) < count // values * size:
                        raise RunFailed(f"{shown(file)} shrank while it was being read: do not change the model during a run")
                    out[first : first + count] = self._decode(name, raw)
        except OSError as error:
            raise RunFailed(f"cannot read {shown(file)}: {reason(error)}") from error
        return out.view(self.shape(name))

    def _decode(self, name: str, raw: bytes) -> Tensor:
        kind = GGMLQuantizationType(self.tensors[name].type_number)
        data = torch.frombuffer(bytearray(raw), dtype=torch.uint8)
        if kind.name in _PLAIN:
            return data.view(_PLAIN[kind.name]).to(torch.float32)
        if kind == GGMLQuantizationType.Q8_0:
            return decode_q8_0(data)
        try:
            return torch.from_numpy(dequantize(np.frombuffer(raw, dtype=np.uint8).reshape(1, -1), kind)).view(-1)
        except (NotImplementedError, KeyError) as error:
            raise RequestError(f"{shown(self.path)} stores {clean(name, limit=120)!r} as {kind.name}, which is not supported") from error

    def _check(self, tensor: GgufTensor, file_size: int) -> None:
        try:
            values, size = GGML_QUANT_SIZES[GGMLQuantizationType(tensor.type_number)]
        except ValueError as error:
            raise self._damaged(tensor.name, f"has the unknown type {tensor.type_number}") from error
        if not tensor.shape or not 0 < math.prod(tensor.shape) <= _MOST_VALUES or tensor.shape[0] % values:
            raise self._damaged(tensor.name, f"has the shape {list(tensor.shape)}, which its type cannot have")
        if self._places[tensor.name][1] + tensor.numel // values * size > file_size:
            raise self._damaged(tensor.name, "extends beyond the end of the file")

    def _damaged(self, name: str, why: str) -> RequestError:
        return RequestError(
            f"the tensor {clean(name, limit=120)!r} in {shown(self.path)} {why}: the file is damaged or was cut short, fetch it again"
        )
