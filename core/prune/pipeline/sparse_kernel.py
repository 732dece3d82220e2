"""What torch's 2:4 kernels bring on this GPU, measured at the shape of a pruned linear.

The kernels (`torch.sparse.to_sparse_semi_structured`, a prototype in torch 2.13) exist for CUDA only, and for shapes that are multiples of 32 and 64.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Mapping
from pathlib import Path

import torch
from torch import Tensor
from torch.nn import functional

from core.models.disk.headers import model_tensors
from core.models.disk.tensors import TensorReader

_TOKENS = 2048
"""Rows of the other factor, as a prefill has them; with a single row the kernels are slower than dense products."""
_REPEATS = 20
_MULTIPLES = (32, 64)


def takes(rows: int, columns: int) -> bool:
    """Whether the 16-bit kernels take a weight of this shape."""
    return rows % _MULTIPLES[0] == 0 and columns % _MULTIPLES[1] == 0


def sparse_kernel_speedup(folder: Path, linears: Mapping[str, tuple[int, int]], device: str) -> float | None:
    """Time of the dense product over that of the sparse one, at the largest pruned linear that the kernels take.

    Args:
        folder: of a checkpoint whose linears keep 2 of every 4 inputs.
        linears: shape [out, in] by name in the checkpoint, without `.weight`.
        device: of the model.

    Returns:
        None without CUDA, without a linear of such a shape, or where torch refuses the conversion.
    """
    fitting = {name: shape for name, shape in linears.items() if takes(*shape)}
    if not device.startswith("cuda") or not fitting:
        return None
    name = max(fitting, key=lambda each: fitting[each][0] * fitting[each][1])
    with TensorReader() as reader:
        weight = reader.read(model_tensors(folder)[f"{name}.weight"]).to(device, torch.float16)
    try:
        sparse = torch.sparse.to_sparse_semi_structured(weight)
    except (RuntimeError, ValueError, NotImplementedError):
        return None
    inputs = torch.randn(_TOKENS, weight.shape[1], device=device, dtype=torch.float16)
    dense = _seconds(lambda: functional.linear(inputs, weight))
    return dense / _seconds(lambda: functional.linear(inputs, sparse))


def _seconds(product: Callable[[], Tensor]) -> float:
    """Median over repeats."""
    for _ in range(3):
        product()
    found: list[float] = []
    for _ in range(_REPEATS):
        torch.cuda.synchronize()
        began = time.perf_counter()
        product()
        torch.cuda.synchronize()
        found.append(time.perf_counter() - began)
    return statistics.median(found)
