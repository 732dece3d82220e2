"""Read single tensors of safetensors files into fresh memory.

Plain reads instead of a lasting memory map: pages of a map count as this process's memory until the
kernel needs them, which would let streaming a model grow to the model's size.
"""

from __future__ import annotations

import os
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Protocol, Self, cast

import torch
from torch import Tensor

from core.errors import RequestError, RunFailed
from core.models.disk.files import reason, shown
from core.models.disk.headers import TensorLocation
from core.sanitize import clean

if TYPE_CHECKING:
    from typing_extensions import Buffer

TORCH_DTYPES: dict[str, torch.dtype] = {
    "F64": torch.float64,
    "F32": torch.float32,
    "F16": torch.float16,
    "BF16": torch.bfloat16,
    "I64": torch.int64,
    "I32": torch.int32,
    "I16": torch.int16,
    "I8": torch.int8,
    "U64": torch.uint64,
    "U32": torch.uint32,
    "U16": torch.uint16,
    "U8": torch.uint8,
    "BOOL": torch.bool,
    "C64": torch.complex64,
    "F8_E4M3": torch.float8_e4m3fn,
    "F8_E5M2": torch.float8_e5m2,
    "F8_E4M3FNUZ": torch.float8_e4m3fnuz,
    "F8_E5M2FNUZ": torch.float8_e5m2fnuz,
    "F8_E8M0": torch.float8_e8m0fnu,
}
_LARGEST_READ = 2**30


class Reader(Protocol):
    """Makes tensors from what a checkpoint stores."""

    def read(self, location: TensorLocation) -> Tensor:
        """One tensor on the CPU, in memory of its own."""
        ...

    def close(self) -> None:
        """Close what was opened; a later read opens it again."""
        ...


class TensorReader:
    """Open weight files, read by position. Use as a context manager, or call `close`."""

    def __init__(self) -> None:
        self._files: dict[Path, int] = {}

    def read(self, location: TensorLocation) -> Tensor:
        """One tensor in its stored dtype, on the CPU, in memory of its own.

        Raises:
            RequestError: a dtype that torch does not have.
            RunFailed: the file cannot be read any more.
        """
        info = location.info
        dtype = TORCH_DTYPES.get(info.dtype)
        if dtype is None:
            raise RequestError(f"the tensor {clean(info.name)!r} in {shown(location.file)} is stored as {info.dtype}, which torch does not support")
        raw = torch.empty(info.nbytes, dtype=torch.uint8)
        if info.nbytes:
            self._fill(memoryview(cast("Buffer", raw.numpy())), location)
        return raw.view(dtype).view(info.shape)

    def _fill(self, buffer: memoryview, location: TensorLocation) -> None:
        done = 0
        try:
            while done < len(buffer):
                count = os.preadv(self._open(location.file), [buffer[done : done + _LARGEST_READ]], location.info.begin + done)
                if count == 0:
                    raise RunFailed(f"{shown(location.file)} shrank while it was being read: do not change the model during a run")
                done += count
        except OSError as error:
            raise RunFailed(f"cannot read {shown(location.file)}: {reason(error)}") from error

    def _open(self, file: Path) -> int:
        if file not in self._files:
            self._files[file] = os.open(file, os.O_RDONLY | getattr(os, "O_CLOEXEC", 0))
        return self._files[file]

    def close(self) -> None:
        """Close the files; a later read opens them again."""
        while self._files:
            os.close(self._files.popitem()[1])

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    def __del__(self) -> None:
        self.close()


def check_finite(name: str, tensor: Tensor, where: str = "the weights") -> None:
    """Nothing, when every value of a floating-point tensor is a finite number. Raises RequestError: naming the tensor that holds NaN or Inf."""
    if not tensor.is_floating_point() or tensor.numel() == 0:
        return
    for part in torch.split(tensor.detach().reshape(-1), 2**24):
        values = part.float() if part.element_size() == 1 else part
        low, high = torch.aminmax(values)
        if not bool(torch.isfinite(low) & torch.isfinite(high)):
            what = "NaN" if bool(torch.isnan(low) | torch.isnan(high)) else "Inf"
            raise RequestError(f"the tensor {clean(name, limit=200)!r} in {where} holds {what}: fetch the model again, or repair it")
