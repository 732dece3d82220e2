"""Matrix products and memory traffic as torch does them here, made ready to be timed."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import cycle
from pathlib import Path

import torch
from torch import Tensor

from core.measure.limits import available_memory
from core.numerics.products import linear

DTYPES: dict[str, torch.dtype] = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16, "int8": torch.int8}
_CACHES = Path("/sys/devices/system/cpu/cpu0/cache")
_UNITS = {"K": 2**10, "M": 2**20, "G": 2**30}
_SHARE = 4
"""A measurement takes no more than this part of the free memory."""
_FEW_ROWS = 16


def multiply(left: Tensor, weight: Tensor) -> Tensor:
    """Left [m, k] times the transpose of weight [n, k]: [m, n] in the same format, int32 of int8."""
    if left.dtype == torch.int8:
        return torch._int_mm(left, weight.t())
    return linear(left, weight)


def how(device: str, dtype: str) -> str:
    """What computes the products."""
    if dtype == "int8":
        return "torch._int_mm, sums in int32"
    if device == "cpu" and dtype == "float32":
        return "oneDNN if it is faster, otherwise torch's linear"
    return "torch's linear"


def refusal(device: str, dtype: str, rows: int, outputs: int, inputs: int) -> str:
    """Why a product cannot be measured here; "" when nothing is known against it."""
    if dtype == "int8" and not hasattr(torch, "_int_mm"):
        return "this version of torch has no int8 product"
    if dtype == "int8" and device != "cpu" and (rows <= _FEW_ROWS or outputs % 8 or inputs % 8):
        return f"torch's int8 product on a GPU needs more than {_FEW_ROWS} rows, and widths divisible by 8"
    needed = (rows * inputs + outputs * inputs) * DTYPES[dtype].itemsize + rows * outputs * result_item(dtype)
    free = free_memory(device)
    if needed > free // 2:
        return f"it needs {needed / 2**30:.1f} GiB, and {free / 2**30:.1f} GiB are free"
    return ""


def result_item(dtype: str) -> int:
    """Bytes of a value of a product."""
    return 4 if dtype == "int8" else DTYPES[dtype].itemsize


def random(rows: int, columns: int, dtype: str, device: str, seed: int) -> Tensor:
    """Normal numbers, or int8 from -127 to 127; [rows, columns]."""
    generator = torch.Generator(device=device).manual_seed(seed)
    if dtype == "int8":
        return torch.randint(-127, 128, (rows, columns), dtype=torch.int8, device=device, generator=generator)
    return torch.randn(rows, columns, device=device, generator=generator).to(DTYPES[dtype])


def rotated(weight: Tensor, between: float, device: str) -> Iterator[Tensor]:
    """A weight and copies of it, again and again, so that each comes back after `between` bytes of others, as far as memory goes."""
    held = weight.numel() * weight.itemsize
    most = max(1, free_memory(device) // _SHARE // held)
    copies = min(max(1, round(between / held)), most, 4096)
    return cycle([weight, *(weight.clone() for _ in range(copies - 1))])


def traffic_of(kind: str, n_bytes: int, device: str) -> tuple[Callable[[], object], int]:
    """What copies or reads an array of so many bytes, and how many bytes pass the memory by it."""
    source = torch.ones(max(1, n_bytes // 4), device=device)
    if kind == "read":
        return source.sum, 4 * source.numel()
    target = torch.zeros_like(source)
    return lambda: target.copy_(source), 8 * source.numel()


def array_bytes(requested: int | None, device: str) -> int:
    """Bytes of the array whose traffic is measured: as asked, else four times the last cache and 256 MiB at least, as far as memory goes."""
    wanted = requested or max(4 * (cache_bytes(device) or 0), 256 * 2**20)
    return max(4096, min(wanted, free_memory(device) // _SHARE))


def cache_bytes(device: str) -> int | None:
    """The last cache of a device; None where it is not known."""
    if device != "cpu":
        return getattr(torch.cuda.get_device_properties(device), "L2_cache_size", None) or None
    found: dict[int, int] = {}
    for index in _CACHES.glob("index*"):
        try:
            level, text = int((index / "level").read_text()), (index / "size").read_text().strip()
            found[level] = int(text.rstrip("KMG")) * _UNITS.get(text[-1:], 1)
        except (OSError, ValueError):
            continue
    return found[max(found)] if found else None


def free_memory(device: str) -> int:
    """Bytes that can be had."""
    return available_memory() if device == "cpu" else int(torch.cuda.mem_get_info(device)[0])
