"""compressed-tensors on disk: `pack-quantized` (integer weights of any width) and `int-quantized` (W8A8).

vLLM reads both natively, transformers through the package compressed-tensors. Tensor names and layouts follow version
0.20 of that package, in which the words of 3-, 5-, 6- and 7-bit weights are dense and act-order groups no longer exist:
only runs of neighbouring columns can share a scale.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Literal, Self, TypeGuard

import torch
from torch import Tensor

from core.errors import RequestError
from core.numerics.activations import ActivationQuantizer
from core.numerics.grid import Granularity
from core.numerics.packing import pack, unpack
from core.numerics.stored import StoredWeight
from core.numerics.tensor import QuantizedTensor
from core.sanitize import clean

_FOLLOWS = "0.20.0"


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

    name: ClassVar[str] = "compressed-tensors"

    @property
    def scheme(self) -> str:
        """`pack-quantized` or `int-quantized`."""
        return "int-quantized" if self.activation_bits == 8 else "pack-quantized"

    def can_compress(self, quantized: StoredWeight) -> TypeGuard[QuantizedTensor]:
        """Whether the format can hold this tensor."""
        if not isinstance(quantized, QuantizedTensor):
            return False
        same_scheme = (quantized.bits, quantized.symmetric, quantized.granularity) == (self.bits, self.symmetric, self.granularity)
        return same_scheme and quantized.sequential and (self.activation_bits == 16 or (self.bits == 8 and self.symmetric))

    def compress(self, name: str, quantized: StoredWeight) -> dict[str, Tensor]:
        """Tensors to store for the linear `name` (without `.weight`).

        Raises:
            ValueError: `can_compress` is false.
        """
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
        """Undo `compress`; `tensors` may hold more than this linear's."""
        scales = tensors[f"{name}.weight_scale"].cpu()
        if self.scheme == "int-quantized":
            codes, zeros = tensors[f"{name}.weight"], None
        else:
            rows, columns = tensors[f"{name}.weight_shape"].tolist()
            codes, zeros = unpack(tensors[f"{name}.weight_packed"], self.bits, columns), None
            if not self.symmetric:
                zeros = tensors[f"{name}.weight_zero_point"]
                zeros = zeros.view(1, 1) if self.granularity == "tensor" else unpack(zeros.t(), self.bits, rows).t().contiguous()
        columns = codes.shape[1]
        scales = scales.view(1, 1) if self.granularity == "tensor" else scales
        index = torch.arange(columns, dtype=torch.int32) // (columns // scales.shape[1])
        rounding = ActivationQuantizer("int8", tensors.get(f"{name}.input_scale")) if self.activation_bits == 8 else None
        return QuantizedTensor(codes, scales, zeros, index, self.bits, self.granularity, activations=rounding)

    def linear_of(self, tensor: str) -> str | None:
        """By its scales."""
        return tensor.removesuffix(".weight_scale") if tensor.endswith(".weight_scale") else None

    def parts(self, name: str) -> tuple[str, ...]:
        """What `compress` may make."""
        kinds = ("weight", "weight_packed", "weight_scale", "weight_shape", "weight_zero_point", "input_scale")
        return tuple(f"{name}.{kind}" for kind in kinds)

    def config(self, ignore: list[str], *, dequantize: bool = False) -> dict[str, Any]:
        """The `quantization_config` of config.json.

        Args:
            ignore: full names of linears that stay in full precision, `lm_head` among them.
            dequantize: have transformers unpack the weights while it loads, for models whose code reads the weight of a linear itself.
        """
        weights = self._arguments(self.bits, self.granularity, symmetric=self.symmetric, dynamic=False)
        weights |= {"group_size": self.group_size if self.granularity == "group" else None, "actorder": "weight" if self.act_order else None}
        fixed = self.activation_scales == "static"
        strategy = "tensor" if fixed else "token"
        inputs = self._arguments(8, strategy, symmetric=True, dynamic=not fixed) if self.activation_bits == 8 else None
        # compressed-tensors 0.20 expects unpacked zero points when transformers keeps the weights packed, and cannot unpack those then.
        dequantize = dequantize or (not self.symmetric and self.granularity != "tensor")
        return {
            "quant_method": "compressed-tensors",
            "format": self.scheme,
            "version": _FOLLOWS,
            "quantization_status": "compressed",
            "global_compression_ratio": None,
            "kv_cache_scheme": None,
            "ignore": ignore,
            **({"dequantize": True} if dequantize else {}),
            "config_groups": {
                "group_0": {"targets": ["Linear"], "format": self.scheme, "weights": weights, "input_activations": inputs, "output_activations": None}
            },
        }

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> Self:
        """The scheme of a checkpoint whose linears all share one.

        Raises:
            RequestError: not integers, or several groups.
        """
        groups = config.get("config_groups")
        if not isinstance(groups, Mapping) or len(groups) != 1:
            raise RequestError("this compressed-tensors checkpoint does not have exactly one scheme: it cannot be read here")
        group = next(iter(groups.values()))
        weights, inputs = group["weights"], group.get("input_activations")
        if weights.get("type") != "int":
            raise RequestError(f"compressed-tensors weights of the type {clean(str(weights.get('type')), limit=40)} cannot be read here")
        static = inputs is not None and not inputs.get("dynamic")
        return cls(
            bits=weights["num_bits"],
            symmetric=weights["symmetric"],
            granularity=weights["strategy"],
            group_size=weights.get("group_size"),
            activation_bits=16 if inputs is None else inputs["num_bits"],
            act_order=weights.get("actorder") is not None,
            activation_scales="static" if static else "dynamic",
        )

    @staticmethod
    def _arguments(bits: int, strategy: str, *, symmetric: bool, dynamic: bool) -> dict[str, Any]:
        return {"num_bits": bits, "type": "int", "symmetric": symmetric, "strategy": strategy, "dynamic": dynamic, "group_size": None}
