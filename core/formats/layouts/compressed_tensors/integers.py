"""compressed-tensors on disk: `pack-quantized` (integer weights of any width) and `int-quantized` (W8A8).

vLLM reads both natively, transformers through the package compressed-tensors. Tensor names and layouts follow version
0.20 of that package, in which the words of 3-, 5-, 6- and 7-bit weights are dense and act-order groups no longer exist:
only runs of neighbouring columns can share a scale. What older versions wrote, `weight_g_idx` of act-order groups and words of which
no value straddles two, is read.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Literal, Self, TypeGuard

import torch
from torch import Tensor

from core.errors import RequestError
from core.formats.layouts.compressed_tensors.one_group import one_group
from core.formats.reading import SCALE_DTYPES, check_scales, described, expect, field, group_index, group_size_of, required, section, sequential_index
from core.numerics.activations import ActivationQuantizer
from core.numerics.grid import Granularity
from core.numerics.packed.words import pack, unpack, unpack_fields
from core.numerics.stored import StoredWeight
from core.numerics.tensor import QuantizedTensor
from core.numerics.widths import packed_words
from core.sanitize import clean

_STORAGE = {"pack-quantized": "pack-quantized", "int-quantized": "int-quantized", "naive-quantized": "int-quantized"}


@dataclass(frozen=True)
class CompressedTensors:
    """One scheme for all quantized linears of a checkpoint."""

    bits: int
    symmetric: bool
    granularity: Granularity
    group_size: int | None
    activation_bits: int = 16
    """8: activations are rounded to int8 per token at run time."""
    act_order: bool = False
    activation_scales: Literal["dynamic", "static"] = "dynamic"
    """dynamic: one a token, found at run time; static: one for all, stored."""
    packed: bool | None = None
    """Whether codes are packed into words; None: they are unless activations are rounded too, as engines expect it."""

    name: ClassVar[str] = "compressed-tensors"

    @property
    def scheme(self) -> str:
        """`pack-quantized` or `int-quantized`."""
        packed = self.activation_bits == 16 if self.packed is None else self.packed
        return "pack-quantized" if packed else "int-quantized"

    def can_compress(self, quantized: StoredWeight) -> TypeGuard[QuantizedTensor]:
        """Whether the format can hold this tensor."""
        if not isinstance(quantized, QuantizedTensor):
            return False
        same_scheme = (quantized.bits, quantized.symmetric, quantized.granularity) == (self.bits, self.symmetric, self.granularity)
        return same_scheme and quantized.sequential and (self.activation_bits == 16 or (self.bits == 8 and self.symmetric))

    def compress(self, name: str, quantized: StoredWeight) -> dict[str, Tensor]:
        """Tensors to store for the linear `name`; errors as of `Format`."""
        if not self.can_compress(quantized):
            raise ValueError(f"{name} does not fit the scheme {self}")
        scales = quantized.scales.reshape(1) if self.granularity == "tensor" else quantized.scales
        if self.scheme == "int-quantized":
            fixed = quantized.activations.scale if quantized.activations is not None else None
            inputs = {} if fixed is None else {f"{name}.input_scale": fixed.to(scales.dtype)}
            return {f"{name}.weight": quantized.codes, f"{name}.weight_scale": scales} | inputs
        tensors = {
            f"{name}.weight_packed": pack(quantized.codes, self.bits),
            f"{name}.weight_scale": scales,
            f"{name}.weight_shape": torch.tensor(quantized.codes.shape, dtype=torch.int64),
        }
        if quantized.zeros is not None:
            tensors[f"{name}.weight_zero_point"] = (
                quantized.zeros.reshape(1) if self.granularity == "tensor" else pack(quantized.zeros.t(), self.bits).t().contiguous()
            )
        return tensors

    def decompress(self, name: str, tensors: Mapping[str, Tensor]) -> QuantizedTensor:
        """Undo `compress`; errors as of `Format`."""
        codes = self._packed_codes(name, tensors) if self.scheme == "pack-quantized" else self._plain_codes(name, tensors)
        rows, columns = codes.shape
        scales = self._scales(f"{name}.weight_scale", tensors, rows, columns)
        zeros = None if self.symmetric else self._zeros(f"{name}.weight_zero_point", tensors, scales)
        index, named = sequential_index(columns, self.group_size if self.granularity == "group" else None), f"{name}.weight_g_idx"
        if named in tensors and not bool((tensors[named] == -1).all()):
            index = group_index(named, tensors[named], columns, scales.shape[1])
        # The package unpacks these while it loads them, in the dtype of the scales, whatever dtype the model is loaded in.
        product = scales.dtype if self.scheme == "pack-quantized" and zeros is not None and self.granularity != "tensor" else torch.float32
        return QuantizedTensor(codes, scales, zeros, index, self.bits, self.granularity, None, (), self._activations(name, tensors), product)

    def _packed_codes(self, name: str, tensors: Mapping[str, Tensor]) -> Tensor:
        shape = expect(f"{name}.weight_shape", required(f"{name}.weight_shape", tensors), (torch.int64, torch.int32), (2,))
        packed = required(f"{name}.weight_packed", tensors)
        rows, columns = (int(size) for size in shape)
        if packed.ndim == 2 and packed.dtype == torch.int32 and packed.shape[0] == rows and columns > 0:
            codes = _unpack(packed, self.bits, columns)
            if codes is not None:
                return codes
        raise RequestError(
            f"the tensor '{clean(name, limit=200)}.weight_packed' is {described(packed)}, which is not {self.bits}-bit packing of {[rows, columns]}: "
            "correct num_bits in config.json, or fetch the checkpoint again"
        )

    def _plain_codes(self, name: str, tensors: Mapping[str, Tensor]) -> Tensor:
        codes = required(f"{name}.weight", tensors)
        if codes.ndim != 2 or codes.dtype != torch.int8 or not codes.numel():
            raise RequestError(f"the tensor '{clean(name, limit=200)}.weight' is {described(codes)}, and {self.scheme} keeps a matrix of int8 there")
        if int(codes.max()) >= 1 << (self.bits - 1) or int(codes.min()) < -(1 << (self.bits - 1)):
            raise RequestError(
                f"the tensor '{clean(name, limit=200)}.weight' holds codes of more than {self.bits} bits: correct num_bits in config.json"
            )
        return codes

    def _scales(self, name: str, tensors: Mapping[str, Tensor], rows: int, columns: int) -> Tensor:
        """[rows, groups], [1, 1] for one scale a tensor."""
        scales = required(name, tensors)
        if self.granularity == "tensor":
            scales = scales.reshape(1, 1) if scales.numel() == 1 else scales
            rows = 1
        elif scales.ndim == 1 and self.granularity == "channel":
            scales = scales.unsqueeze(1)
        size = self.group_size if self.granularity == "group" and self.group_size else columns
        scales = expect(name, scales, SCALE_DTYPES, (rows, -(-columns // size)))
        check_scales(name, scales)
        return scales

    def _zeros(self, name: str, tensors: Mapping[str, Tensor], scales: Tensor) -> Tensor:
        """int8 of the shape of the scales; packed along the outputs, or as they are where one serves the tensor or nothing is packed."""
        zeros = required(name, tensors)
        if self.scheme != "pack-quantized" or self.granularity == "tensor":
            zeros = expect(name, zeros.reshape(scales.shape) if zeros.numel() == scales.numel() else zeros, (torch.int8,), tuple(scales.shape))
            if int(zeros.max()) >= 1 << (self.bits - 1) or int(zeros.min()) < -(1 << (self.bits - 1)):
                raise RequestError(
                    f"the tensor {clean(name, limit=200)!r} holds zero points of more than {self.bits} bits: fetch the checkpoint again"
                )
            return zeros
        rows, groups = scales.shape
        unpacked = _unpack(zeros.t(), self.bits, rows) if zeros.ndim == 2 and zeros.dtype == torch.int32 and zeros.shape[1] == groups else None
        if unpacked is None:
            raise RequestError(
                f"the tensor {clean(name, limit=200)!r} is {described(zeros)}, which is not {self.bits}-bit packing of {[rows, groups]} zero points: "
                "fetch the checkpoint again"
            )
        return unpacked.t().contiguous()

    def _activations(self, name: str, tensors: Mapping[str, Tensor]) -> ActivationQuantizer | None:
        if self.activation_bits != 8:
            return None
        if self.activation_scales == "dynamic":
            return ActivationQuantizer("int8")
        fixed = required(f"{name}.input_scale", tensors)
        fixed = expect(f"{name}.input_scale", fixed.reshape(1) if fixed.numel() == 1 else fixed, SCALE_DTYPES, (1,))
        check_scales(f"{name}.input_scale", fixed)
        return ActivationQuantizer("int8", fixed)

    def linear_of(self, tensor: str) -> str | None:
        """By its scales."""
        return tensor.removesuffix(".weight_scale") if tensor.endswith(".weight_scale") else None

    def parts(self, name: str) -> tuple[str, ...]:
        """What `compress` may make."""
        kinds = ("weight", "weight_packed", "weight_scale", "weight_shape", "weight_zero_point", "weight_g_idx", "input_scale", "input_zero_point")
        return tuple(f"{name}.{kind}" for kind in kinds)

    def config(self, ignore: list[str], *, dequantize: bool = False) -> dict[str, object]:
        """The `quantization_config` of config.json; arguments as of `Format`."""
        weights = self._arguments(self.bits, self.granularity, symmetric=self.symmetric, dynamic=False)
        grouped = self.granularity == "group"
        weights |= {"group_size": self.group_size if grouped else None, "actorder": "weight" if self.act_order and grouped else None}
        fixed = self.activation_scales == "static"
        strategy = "tensor" if fixed else "token"
        inputs = self._arguments(8, strategy, symmetric=True, dynamic=not fixed) if self.activation_bits == 8 else None
        # compressed-tensors 0.20 expects unpacked zero points when transformers keeps the weights packed, and cannot unpack those then.
        dequantize = dequantize or (not self.symmetric and self.granularity != "tensor")
        return one_group(self.scheme, weights, inputs, ignore, dequantize=dequantize)

    @classmethod
    def from_config(cls, config: Mapping[str, object]) -> Self:
        """The scheme of a checkpoint whose linears all share one. Raises RequestError: not integers, or several groups."""
        groups = config.get("config_groups")
        group = next(iter(groups.values())) if isinstance(groups, Mapping) and len(groups) == 1 else None
        if not isinstance(group, Mapping) or not isinstance(group.get("weights"), Mapping):
            raise RequestError("this compressed-tensors checkpoint does not have exactly one scheme: it cannot be read as one")
        return cls.from_group(group, config.get("format"))

    @classmethod
    def from_group(cls, group: Mapping[str, object], storage: Any = None) -> Self:
        """The scheme of one entry of `config_groups`.

        Args:
            group: the entry.
            storage: `format` of the whole checkpoint, for older ones whose groups have none.

        Raises:
            RequestError: one that cannot be read.
        """
        weights = section(group, "weights")
        bits, strategy = field(weights, "num_bits", int, 8), _strategy(weights)
        if weights.get("type", "int") != "int" or not 2 <= bits <= 8 or strategy not in ("group", "channel", "tensor"):
            what = f"{bits}-bit {weights.get('type')} by {strategy}"
            raise RequestError(
                f"compressed-tensors weights of {clean(what, limit=80)} cannot be read: known are 2 to 8 bits by group, channel or tensor"
            )
        inputs = group.get("input_activations")
        scales: Literal["dynamic", "static"] = "dynamic" if inputs is None else _input_scales(inputs)
        stored = _STORAGE.get(str(group.get("format") or storage), "pack-quantized" if inputs is None else "int-quantized")
        return cls(
            bits=bits,
            symmetric=field(weights, "symmetric", bool, True),
            granularity=strategy,
            group_size=group_size_of(weights, -1) if strategy == "group" else None,
            activation_bits=16 if inputs is None else 8,
            act_order=weights.get("actorder") is not None,
            activation_scales=scales,
            packed=stored == "pack-quantized",
        )

    @staticmethod
    def _arguments(bits: int, strategy: str, *, symmetric: bool, dynamic: bool) -> dict[str, object]:
        return {"num_bits": bits, "type": "int", "symmetric": symmetric, "strategy": strategy, "dynamic": dynamic, "group_size": None}


def _strategy(arguments: Mapping[str, object]) -> Any:
    """What shares a scale; older configs leave it to the group size."""
    strategy, size = arguments.get("strategy"), arguments.get("group_size")
    if strategy is not None:
        return strategy
    return "tensor" if size is None else "channel" if size == -1 else "group"


def _input_scales(inputs: Any) -> Literal["dynamic", "static"]:
    arguments = inputs if isinstance(inputs, Mapping) else {}
    dynamic = arguments.get("dynamic", False)
    known = arguments.get("type", "int") == "int" and arguments.get("num_bits") == 8 and arguments.get("symmetric", True) is True
    if known and dynamic is True and _strategy(arguments) == "token":
        return "dynamic"
    if known and dynamic is False and _strategy(arguments) == "tensor":
        return "static"
    what = " ".join(str(arguments.get(key)) for key in ("num_bits", "type", "strategy", "symmetric", "dynamic"))
    raise RequestError(
        f"inputs rounded as {clean(what, limit=80)} (bits, type, strategy, symmetric, dynamic) are not "
        "supported with integer weights, only 8-bit symmetric integers by token when dynamic, by tensor when static"
    )


def _unpack(words: Tensor, bits: int, columns: int) -> Tensor | None:
    """Signed codes of rows of words, whether values straddle words or, in files of older versions, do not; None when neither fits."""
    if words.shape[1] == packed_words(columns, bits):
        return unpack(words, bits, columns)
    return unpack_fields(words, bits, columns) if words.shape[1] == -(-columns // (32 // bits)) else None
