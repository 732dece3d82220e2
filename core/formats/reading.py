"""What readers of foreign checkpoints share: fields and tensors that are believed only after they were looked at."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TypeVar

import torch
from torch import Tensor

from core.errors import RequestError
from core.sanitize import clean

T = TypeVar("T")

SCALE_DTYPES = (torch.float16, torch.bfloat16, torch.float32)


def field(config: Mapping[str, object], name: str, kind: type[T], default: T, *also: str) -> T:
    """A field of `quantization_config`; missing and null are the default.

    Args:
        config: the mapping.
        name: of the field.
        kind: what it must be; a bool is not an int.
        default: where it is missing.
        also: other names that the field goes by.

    Raises:
        RequestError: it is something else.
    """
    value = next((config[key] for key in (name, *also) if config.get(key) is not None), default)
    if not isinstance(value, kind) or (kind is int and isinstance(value, bool)):
        raise RequestError(
            f"quantization_config says {name} = {clean(repr(value), limit=60)}, which is not of type {kind.__name__}: fetch config.json again"
        )
    return value


def section(config: object, name: str) -> Mapping[str, object]:
    """A part of `quantization_config` that holds fields itself. Raises RequestError: it is missing or something else."""
    part = config.get(name) if isinstance(config, Mapping) else None
    if not isinstance(part, Mapping):
        raise RequestError(f"quantization_config has no {name}, or it is not an object: fetch config.json again")
    return part


def group_size_of(config: Mapping[str, object], default: int, *also: str) -> int | None:
    """`group_size` of a `quantization_config`; None when it is -1, one scale a row. Raises RequestError: it is neither -1 nor a number of weights."""
    size = field(config, "group_size", int, default, *also)
    if size != -1 and not 0 < size < 2**31:
        raise RequestError(f"quantization_config says group_size = {clean(str(size), limit=40)}: it must be -1 or a number of weights")
    return None if size == -1 else size


def required(name: str, tensors: Mapping[str, Tensor]) -> Tensor:
    """A tensor that a linear cannot do without. Raises RequestError: it is not there."""
    tensor = tensors.get(name)
    if tensor is None:
        raise RequestError(f"the tensor {clean(name, limit=200)!r} is missing: the checkpoint is incomplete, fetch it again")
    return tensor


def expect(name: str, tensor: Tensor, dtypes: tuple[torch.dtype, ...], shape: tuple[int, ...]) -> Tensor:
    """The tensor, when it is of one of these dtypes and of this shape. Raises RequestError: it is not."""
    if tensor.dtype not in dtypes or tuple(tensor.shape) != shape:
        raise RequestError(
            f"the tensor {clean(name, limit=200)!r} is {described(tensor)}, and its quantization_config makes it {_name(dtypes[0])} {list(shape)}: "
            "config.json and weights do not belong together, fetch the checkpoint again"
        )
    return tensor


def matrix_of_scales(name: str, tensors: Mapping[str, Tensor]) -> Tensor:
    """Scales, a matrix of finite numbers. Raises RequestError: missing, of another kind, or with NaN or Inf."""
    scales = required(name, tensors)
    if scales.ndim != 2 or scales.dtype not in SCALE_DTYPES or not scales.numel():
        raise RequestError(
            f"the tensor {clean(name, limit=200)!r} is {described(scales)}, and scales are a matrix of 16- or 32-bit floats: "
            "fetch the checkpoint again"
        )
    check_scales(name, scales)
    return scales


def check_scales(name: str, scales: Tensor) -> None:
    """Nothing, when all scales are finite. Raises RequestError: one is NaN or Inf."""
    if not bool(torch.isfinite(scales).all()):
        raise RequestError(
            f"the tensor {clean(name, limit=200)!r} holds a scale that is not a finite number: the checkpoint is damaged, fetch it again"
        )


def check_groups(name: str, groups: int, columns: int, group_size: int | None) -> None:
    """Nothing, when a row of `columns` weights makes this many groups. Raises RequestError: it does not."""
    size = columns if group_size is None else group_size
    if groups != -(-columns // size):
        stated = "-1" if group_size is None else str(group_size)
        raise RequestError(
            f"the tensor {clean(name, limit=200)!r} has {groups} scales a row, and group_size {stated} makes {-(-columns // size)} for {columns} "
            "weights: correct group_size in config.json, or fetch the checkpoint again"
        )


def group_index(name: str, tensor: Tensor, columns: int, groups: int) -> Tensor:
    """The group of each column, int32 [columns]. Raises RequestError: it is of another shape or dtype, or names a group that has no scales."""
    index = expect(name, tensor, (torch.int32, torch.int64), (columns,))
    low, high = int(index.min()), int(index.max())
    if low < 0 or high >= groups:
        raise RequestError(
            f"the tensor {clean(name, limit=200)!r} names the group {low if low < 0 else high}, and there are {groups}: "
            "the checkpoint is damaged, fetch it again"
        )
    return index.to(torch.int32)


def sequential_index(columns: int, group_size: int | None) -> Tensor:
    """The group of each column when groups are runs of neighbours, int32 [columns]."""
    return torch.arange(columns, dtype=torch.int32) // (group_size or max(columns, 1))


def described(tensor: Tensor) -> str:
    """Dtype and shape in words, for example `int32 [16, 64]`."""
    return f"{_name(tensor.dtype)} {list(tensor.shape)}"


def _name(dtype: torch.dtype) -> str:
    return str(dtype).removeprefix("torch.")
