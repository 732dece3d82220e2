"""bitsandbytes as transformers saves it: NF4 (with or without double quantization) and LLM.int8().

Names and layouts follow bitsandbytes 0.50 and transformers 5. A 4-bit linear is `weight` (two codes a byte) with `weight.absmax`,
`weight.quant_map`, with double quantization `weight.nested_absmax` and `weight.nested_quant_map`, and a JSON text as bytes under
`weight.quant_state.bitsandbytes__nf4`. An 8-bit linear is `weight` (int8) with `SCB`, the largest magnitude of each row.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar, Literal, Self, cast

import torch
from torch import Tensor

from core.errors import RequestError
from core.numerics.llm_int8 import THRESHOLD, Int8Rows, OutlierInputs
from core.numerics.nf4 import NestedScales, Nf4Tensor
from core.numerics.stored import StoredWeight
from core.sanitize import clean

Kind = Literal["nf4", "fp4", "int8"]

_STATE = ".weight.quant_state.bitsandbytes__"
_FOUR_BIT_PARTS = ("weight", "weight.absmax", "weight.quant_map", "weight.nested_absmax", "weight.nested_quant_map")
_EIGHT_BIT_PARTS = ("weight", "SCB", "weight_format")
_DTYPES = {"bfloat16": torch.bfloat16, "float16": torch.float16, "float32": torch.float32}
_MAX_STATE_BYTES = 4096
_LARGEST_FLOAT = 3e38
_BLOCKS = (32, 64, 128, 256, 512, 1024, 2048, 4096)


@dataclass(frozen=True)
class BitsAndBytes:
    """One scheme for all quantized linears of a checkpoint."""

    kind: Kind = "nf4"
    double_quant: bool = True
    """4-bit: whether the scales are rounded to 8 bits."""
    threshold: float = THRESHOLD
    """int8: magnitude from which a feature of the inputs is multiplied in full precision."""
    compute_dtype: str = "bfloat16"
    """4-bit: of the products, in whoever loads it."""

    name: ClassVar[str] = "bitsandbytes"

    @property
    def scheme(self) -> str:
        """`nf4`, `nf4 double-quantized`, `fp4`, `int8`."""
        return f"{self.kind} double-quantized" if self.kind != "int8" and self.double_quant else self.kind

    def can_compress(self, weight: StoredWeight) -> bool:
        """Whether the format can hold this weight."""
        if isinstance(weight, Int8Rows):
            return self.kind == "int8"
        return isinstance(weight, Nf4Tensor) and weight.grid_name == self.kind and isinstance(weight.scales, NestedScales) == self.double_quant

    def compress(self, name: str, weight: StoredWeight) -> dict[str, Tensor]:
        """Tensors to store for the linear `name`; errors as of `Format`."""
        if not self.can_compress(weight):
            raise ValueError(f"{name} does not fit the scheme {self}")
        if isinstance(weight, Int8Rows):
            row_layout = torch.zeros((), dtype=torch.uint8)
            return {f"{name}.weight": weight.codes, f"{name}.SCB": weight.absmax, f"{name}.weight_format": row_layout}
        stored = cast("Nf4Tensor", weight)
        tensors = {f"{name}.weight": stored.packed, f"{name}.weight.quant_map": stored.grid}
        if isinstance(stored.scales, Tensor):
            tensors[f"{name}.weight.absmax"] = stored.scales
        else:
            tensors[f"{name}.weight.absmax"] = stored.scales.codes
            tensors[f"{name}.weight.nested_absmax"] = stored.scales.absmax
            tensors[f"{name}.weight.nested_quant_map"] = stored.scales.grid
        tensors[f"{name}{_STATE}{self.kind}"] = torch.tensor(list(stored.state_bytes), dtype=torch.uint8)
        return tensors

    def decompress(self, name: str, tensors: Mapping[str, Tensor]) -> StoredWeight:
        """Undo `compress`; errors as of `Format`."""
        return self._eight_bit(name, tensors) if self.kind == "int8" else self._four_bit(name, tensors)

    def _eight_bit(self, name: str, tensors: Mapping[str, Tensor]) -> Int8Rows:
        codes = _matrix(name, tensors)
        absmax = _take(f"{name}.SCB", tensors, torch.float32, (codes.shape[0],))
        _require_scales(f"{name}.SCB", absmax)
        layout = tensors.get(f"{name}.weight_format")
        if layout is not None and (layout.numel() != 1 or bool((layout != 0).any())):
            raise _damaged(f"{name}.weight_format", "names a layout of the codes that only one kind of GPU reads: save the checkpoint anew from rows")
        return Int8Rows(codes, absmax, OutlierInputs("int8", threshold=self.threshold))

    def _four_bit(self, name: str, tensors: Mapping[str, Tensor]) -> Nf4Tensor:
        state = _State.read(f"{name}{_STATE}{self.kind}", tensors, self.kind)
        count = math.prod(state.shape)
        packed = _four_bit_codes(name, tensors, count)
        grid = _take(f"{name}.weight.quant_map", tensors, torch.float32, (16,))
        blocks = -(-count // state.block)
        scales: Tensor | NestedScales
        if state.nested_block is None:
            scales = _take(f"{name}.weight.absmax", tensors, torch.float32, (blocks,))
            _require_scales(f"{name}.weight.absmax", scales)
        else:
            codes = _take(f"{name}.weight.absmax", tensors, torch.uint8, (blocks,))
            absmax = _take(f"{name}.weight.nested_absmax", tensors, torch.float32, (-(-blocks // state.nested_block),))
            _require_scales(f"{name}.weight.nested_absmax", absmax)
            nested_grid = _take(f"{name}.weight.nested_quant_map", tensors, torch.float32, (256,))
            scales = NestedScales(codes, absmax, state.nested_offset, nested_grid, state.nested_block)
        return Nf4Tensor(packed, scales, state.shape, state.dtype, grid, self.kind, state.block)

    def config(self, ignore: list[str], *, dequantize: bool = False) -> dict[str, object]:
        """The `quantization_config` of config.json; bitsandbytes has no `dequantize`, and models that read the weights themselves load without."""
        del dequantize
        four = self.kind != "int8"
        return {
            "quant_method": "bitsandbytes",
            "_load_in_4bit": four,
            "_load_in_8bit": not four,
            "load_in_4bit": four,
            "load_in_8bit": not four,
            "llm_int8_threshold": self.threshold,
            "llm_int8_skip_modules": ignore,
            "llm_int8_enable_fp32_cpu_offload": False,
            "llm_int8_has_fp16_weight": False,
            "bnb_4bit_quant_type": self.kind if four else "fp4",
            "bnb_4bit_use_double_quant": four and self.double_quant,
            "bnb_4bit_compute_dtype": self.compute_dtype if four else "float32",
            "bnb_4bit_quant_storage": "uint8",
        }

    def linear_of(self, tensor: str) -> str | None:
        """The linear (without `.weight`) that a stored tensor of this name marks as quantized; None for any other tensor."""
        if self.kind == "int8":
            return tensor.removesuffix(".SCB") if tensor.endswith(".SCB") else None
        name, mark, kind = tensor.partition(_STATE)
        return name if mark and kind == self.kind else None

    def parts(self, name: str) -> tuple[str, ...]:
        """Names of all tensors that the linear `name` may consist of."""
        if self.kind == "int8":
            return tuple(f"{name}.{part}" for part in _EIGHT_BIT_PARTS)
        return (*(f"{name}.{part}" for part in _FOUR_BIT_PARTS), f"{name}{_STATE}{self.kind}")

    @classmethod
    def from_config(cls, config: Mapping[str, object]) -> Self:
        """The scheme that a `quantization_config` describes. Raises RequestError: neither 4 nor 8 bits, or an unknown grid."""
        four, eight = (config.get(f"load_in_{bits}", config.get(f"_load_in_{bits}")) is True for bits in ("4bit", "8bit"))
        if four == eight:
            raise RequestError("quantization_config of bitsandbytes says neither load_in_4bit nor load_in_8bit alone: fetch the checkpoint again")
        if eight:
            threshold = config.get("llm_int8_threshold", THRESHOLD)
            if not isinstance(threshold, int | float) or not 0 <= threshold <= _LARGEST_FLOAT:
                raise RequestError(
                    f"llm_int8_threshold is {clean(str(threshold), limit=40)!r}, and must be a number of at least 0: correct config.json"
                )
            return cls("int8", double_quant=False, threshold=float(threshold))
        kind = config.get("bnb_4bit_quant_type", "fp4")
        if kind not in ("nf4", "fp4"):
            raise RequestError(f"the 4-bit grid {clean(str(kind), limit=40)!r} of bitsandbytes cannot be read: known are nf4 and fp4")
        compute = str(config.get("bnb_4bit_compute_dtype", "float32"))
        return cls(kind, config.get("bnb_4bit_use_double_quant") is True, compute_dtype=compute if compute in _DTYPES else "float32")


@dataclass(frozen=True)
class _State:
    """The JSON text of a 4-bit weight, checked."""

    shape: tuple[int, int]
    dtype: torch.dtype
    block: int
    nested_block: int | None
    nested_offset: float

    @classmethod
    def read(cls, name: str, tensors: Mapping[str, Tensor], kind: str) -> _State:
        stored = tensors.get(name)
        if stored is None:
            raise RequestError(f"the tensor {clean(name, limit=200)} is missing: fetch the checkpoint again")
        if stored.dtype != torch.uint8 or stored.dim() != 1 or len(stored) > _MAX_STATE_BYTES:
            raise _damaged(name, "is not a short text in bytes")
        try:
            found = json.loads(bytes(stored.tolist()))
        except (ValueError, RecursionError) as error:
            raise _damaged(name, "is not JSON") from error
        if not isinstance(found, dict) or found.get("quant_type") != kind or str(found.get("dtype")) not in _DTYPES:
            raise _damaged(name, f"does not describe {kind} weights")
        shape, block, nested = found.get("shape"), found.get("blocksize"), found.get("nested_blocksize")
        if not isinstance(shape, list) or len(shape) != 2 or not all(isinstance(size, int) and 0 < size < 2**31 for size in shape):
            raise _damaged(name, "does not have the shape of a matrix")
        if block not in _BLOCKS or (nested is not None and nested not in _BLOCKS):
            raise _damaged(name, "has an unknown size of blocks")
        offset = found.get("nested_offset", 0.0)
        if not isinstance(offset, int | float) or not abs(offset) < _LARGEST_FLOAT:
            raise _damaged(name, "has a nested_offset that is not a number")
        return cls((shape[0], shape[1]), _DTYPES[found["dtype"]], block, nested, float(offset))


def _matrix(name: str, tensors: Mapping[str, Tensor]) -> Tensor:
    codes = tensors.get(f"{name}.weight")
    if codes is None:
        raise RequestError(f"the tensor {clean(name, limit=200)}.weight is missing: fetch the checkpoint again")
    if codes.dtype != torch.int8 or codes.dim() != 2:
        raise _damaged(f"{name}.weight", f"is {codes.dtype} {list(codes.shape)} and not an int8 matrix")
    return codes


def _four_bit_codes(name: str, tensors: Mapping[str, Tensor], count: int) -> Tensor:
    packed = tensors.get(f"{name}.weight")
    if packed is None:
        raise RequestError(f"the tensor {clean(name, limit=200)}.weight is missing: fetch the checkpoint again")
    if packed.nbytes != -(-count // 2):
        raise _damaged(f"{name}.weight", f"is {packed.dtype} {list(packed.shape)}, and {count} codes of 4 bits fill {-(-count // 2)} bytes")
    # `bnb_4bit_quant_storage` may dress the bytes up as numbers of any dtype.
    return packed.contiguous().reshape(-1).view(torch.uint8).reshape(-1, 1)


def _take(name: str, tensors: Mapping[str, Tensor], dtype: torch.dtype, shape: tuple[int, ...]) -> Tensor:
    found = tensors.get(name)
    if found is None:
        raise RequestError(f"the tensor {clean(name, limit=200)} is missing: fetch the checkpoint again")
    if found.dtype != dtype or tuple(found.shape) != shape:
        raise _damaged(name, f"is {found.dtype} {list(found.shape)}, and {dtype} {list(shape)} belongs there")
    return found


def _require_scales(name: str, scales: Tensor) -> None:
    if not bool((torch.isfinite(scales) & (scales >= 0)).all()):
        raise _damaged(name, "holds a scale that is not a number from 0")


def _damaged(name: str, what: str) -> RequestError:
    return RequestError(f"the tensor {clean(name, limit=200)} {what}: the checkpoint is damaged, fetch it again")
