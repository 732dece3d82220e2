"""`float-quantized` of compressed-tensors: 8-bit floats (E4M3; the format knows no E5M2) by tensor, channel or block of 128 x 128.

vLLM reads it natively, transformers through the package compressed-tensors, whose version 0.20 the names and layouts follow.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Literal, Self, cast

import torch
from torch import Tensor

from core.errors import RequestError
from core.formats.layouts.compressed_tensors.one_group import one_group
from core.numerics.activations import ActivationQuantizer
from core.numerics.fp8.codec import E4M3, Fp8Format
from core.numerics.fp8.tensor import BLOCK, Float8Tensor, Fp8Granularity, GroupedInputs
from core.numerics.stored import StoredWeight
from core.sanitize import clean

_GRANULARITIES = ("tensor", "channel", "block")
_SCALE_DTYPES = (torch.float32, torch.bfloat16, torch.float16)

Inputs = Literal["dynamic", "static"]


@dataclass(frozen=True)
class FloatQuantized:
    """One scheme for all quantized linears of a checkpoint."""

    granularity: Fp8Granularity = "channel"
    inputs: Inputs | None = "dynamic"
    """`dynamic`: a scale a token (block: a scale 128 features of a token). `static`: one scale, stored. None: not rounded."""

    name: ClassVar[str] = "compressed-tensors"
    scheme: ClassVar[str] = "float-quantized"
    kind: ClassVar[Fp8Format] = E4M3

    def can_compress(self, weight: StoredWeight) -> bool:
        """Whether the format can hold this weight."""
        if not isinstance(weight, Float8Tensor):
            return False
        static = None if weight.activations is None else "dynamic" if weight.activations.scale is None else "static"
        return weight.format is self.kind and (weight.granularity, static) == (self.granularity, self.inputs)

    def compress(self, name: str, weight: StoredWeight) -> dict[str, Tensor]:
        """Tensors to store for the linear `name`; errors as of `Format`."""
        if not self.can_compress(weight):
            raise ValueError(f"{name} does not fit the scheme {self}")
        stored = cast("Float8Tensor", weight)
        tensors = {f"{name}.weight": stored.codes, f"{name}.weight_scale": stored.scales}
        if stored.activations is not None and stored.activations.scale is not None:
            tensors[f"{name}.input_scale"] = stored.activations.scale
        return tensors

    def decompress(self, name: str, tensors: Mapping[str, Tensor]) -> Float8Tensor:
        """Undo `compress`; errors as of `Format`."""
        codes = fp8_codes(name, tensors, self.kind)
        scales = stored_scales(f"{name}.weight_scale", tensors, scale_shapes(codes, self.granularity))
        return Float8Tensor(codes, scales, self.granularity, self.kind, self._activations(name, tensors))

    def _activations(self, name: str, tensors: Mapping[str, Tensor]) -> ActivationQuantizer | None:
        if self.inputs is None:
            return None
        if self.inputs == "static":
            return ActivationQuantizer("fp8-e4m3", stored_input_scale(f"{name}.input_scale", tensors))
        return GroupedInputs("fp8-e4m3") if self.granularity == "block" else ActivationQuantizer("fp8-e4m3")

    def config(self, ignore: list[str], *, dequantize: bool = False) -> dict[str, object]:
        """The `quantization_config` of config.json; arguments as of `Format`."""
        block = self.granularity == "block"
        weights = _arguments(self.granularity, dynamic=False) | ({"block_structure": [BLOCK, BLOCK]} if block else {})
        inputs = {
            None: None,
            "static": _arguments("tensor", dynamic=False),
            "dynamic": _arguments("group", dynamic=True) | {"group_size": BLOCK} if block else _arguments("token", dynamic=True),
        }[self.inputs]
        return one_group(self.scheme, weights, inputs, ignore, dequantize=dequantize)

    def linear_of(self, tensor: str) -> str | None:
        """The linear (without `.weight`) that a stored tensor of this name marks as quantized; None for any other tensor."""
        return tensor.removesuffix(".weight_scale") if tensor.endswith(".weight_scale") else None

    def parts(self, name: str) -> tuple[str, ...]:
        """Names of all tensors that the linear `name` may consist of."""
        return tuple(f"{name}.{part}" for part in ("weight", "weight_scale", "input_scale"))

    @classmethod
    def from_config(cls, config: Mapping[str, object]) -> Self:
        """The scheme that a `quantization_config` describes. Raises RequestError: groups that differ, or a scheme that cannot be read."""
        groups = config.get("config_groups")
        if not isinstance(groups, Mapping) or not groups:
            raise RequestError("quantization_config has no config_groups: the checkpoint's config.json is damaged, fetch it again")
        first, *others = (cls.from_group(group) for group in groups.values())
        if any(other != first for other in others):
            raise RequestError("quantization_config has several different schemes of 8-bit floats in one checkpoint: these cannot be read")
        return first

    @classmethod
    def from_group(cls, group: Any) -> Self:
        """The scheme of one entry of `config_groups`. Raises RequestError: it is not one of 8-bit floats, or one that is not known."""
        found: Mapping[str, object] = group if isinstance(group, Mapping) else {}
        stated, inputs = found.get("weights"), found.get("input_activations")
        weights: Mapping[str, object] = stated if isinstance(stated, Mapping) else {}
        granularity = _strategy(weights)
        if granularity not in _GRANULARITIES:
            raise RequestError(
                f"weights of 8-bit floats with the strategy {clean(str(granularity), limit=40)!r} cannot be read: known are tensor, channel, block"
            )
        if granularity == "block" and weights.get("block_structure") not in ([BLOCK, BLOCK], f"{BLOCK}x{BLOCK}"):
            raise RequestError(f"blocks of {clean(str(weights.get('block_structure')), limit=40)} cannot be read: known are blocks of [128, 128]")
        return cls(cast("Fp8Granularity", granularity), _inputs(inputs, granularity))


def _inputs(arguments: Any, granularity: str) -> Inputs | None:
    if arguments is None:
        return None
    strategy, dynamic = _strategy(arguments), arguments.get("dynamic")
    if dynamic is True and strategy == "token" and granularity != "block":
        return "dynamic"
    if dynamic is True and strategy == "group" and arguments.get("group_size") == BLOCK and granularity == "block":
        return "dynamic"
    if dynamic is False and strategy == "tensor":
        return "static"
    raise RequestError(
        f"inputs rounded by {clean(str(strategy), limit=40)!r} ({'dynamic' if dynamic else 'static'}) with weights by {granularity} "
        "cannot be read: known are token (block: group of 128) when dynamic, tensor when static"
    )


def _strategy(arguments: Any) -> str:
    """Of weights or inputs, which must be symmetric 8-bit floats."""
    if (
        not isinstance(arguments, Mapping)
        or (arguments.get("type"), arguments.get("num_bits")) != ("float", 8)
        or not arguments.get("symmetric", True)
    ):
        raise RequestError("quantization_config announces float-quantized and holds a scheme that is not of symmetric 8-bit floats: fetch it again")
    return str(arguments.get("strategy"))


def _arguments(strategy: str, *, dynamic: bool) -> dict[str, object]:
    return {"num_bits": 8, "type": "float", "symmetric": True, "strategy": strategy, "dynamic": dynamic, "group_size": None}


def scale_shapes(codes: Tensor, granularity: Fp8Granularity) -> list[tuple[int, ...]]:
    """Shapes that the scales of these codes may have in a file; the first is that of `Float8Tensor`."""
    rows, columns = codes.shape
    shapes: dict[str, list[tuple[int, ...]]] = {
        "tensor": [(1,), (), (1, 1)],
        "channel": [(rows, 1), (rows,)],
        "block": [(-(-rows // BLOCK), -(-columns // BLOCK))],
    }
    return shapes[granularity]


def fp8_codes(name: str, tensors: Mapping[str, Tensor], kind: Fp8Format = E4M3) -> Tensor:
    """The matrix of 8-bit floats of a linear. Raises RequestError: it is missing, of another dtype, or no matrix."""
    codes = tensors.get(f"{name}.weight")
    if codes is None:
        raise RequestError(f"the tensor {clean(name, limit=200)}.weight is missing: fetch the checkpoint again")
    if codes.dtype != kind.dtype or codes.dim() != 2:
        raise RequestError(
            f"the tensor {clean(name, limit=200)}.weight is {codes.dtype} {list(codes.shape)}, and 8-bit floats keep a matrix of {kind.dtype} there"
        )
    return codes


def stored_scales(name: str, tensors: Mapping[str, Tensor], shapes: list[tuple[int, ...]]) -> Tensor:
    """Scales of a linear, brought to the first of the shapes that they may have; bare exponents (UE8M0) become float32.

    Raises:
        RequestError: they are missing, of another shape or dtype, or not all finite and at least 0, as the scale of zeros is.
    """
    scales, shown = tensors.get(name), clean(name, limit=200)
    if scales is None:
        raise RequestError(f"the tensor {shown} is missing: fetch the checkpoint again")
    if scales.dtype == torch.float8_e8m0fnu:
        scales = scales.float()
    if tuple(scales.shape) not in shapes or scales.dtype not in _SCALE_DTYPES:
        raise RequestError(f"the tensor {shown} is {scales.dtype} {list(scales.shape)}, and the scheme keeps scales of shape {list(shapes[0])} there")
    if not bool((torch.isfinite(scales) & (scales >= 0)).all()):
        raise RequestError(f"the tensor {shown} holds a scale that is negative or not a finite number: the checkpoint is damaged, fetch it again")
    return scales.reshape(shapes[0])


def stored_input_scale(name: str, tensors: Mapping[str, Tensor]) -> Tensor:
    """The fixed scale [1] of a linear's inputs, which they are divided by. Raises RequestError: as of `stored_scales`, or it is 0."""
    scale = stored_scales(name, tensors, [(1,), ()])
    if not bool(scale > 0):
        raise RequestError(f"the tensor {clean(name, limit=200)} is not a positive number: the checkpoint is damaged, fetch it again")
    return scale
