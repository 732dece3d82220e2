"""compressed-tensors on disk: `pack-quantized` (integer weights of any width) and `int-quantized` (W8A8).

vLLM reads both natively, transformers through the package compressed-tensors. Tensor names and layouts follow version
0.20 of that package, in which the words of 3-, 5-, 6- and 7-bit weights are dense and act-order groups no longer exist:
only runs of neighbouring columns can share a scale.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from core.models.headers import model_tensors
from core.models.tensors import TensorReader
from core.numerics.grid import Granularity
from core.numerics.packing import pack, unpack
from core.numerics.tensor import QuantizedTensor

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

    @property
    def format(self) -> str:
        """`pack-quantized` or `int-quantized`."""
        return "int-quantized" if self.activation_bits == 8 else "pack-quantized"

    def can_compress(self, quantized: QuantizedTensor) -> bool:
        """Whether the format can hold this tensor."""
        same_scheme = (quantized.bits, quantized.symmetric, quantized.granularity) == (self.bits, self.symmetric, self.granularity)
        return same_scheme and quantized.sequential and (self.activation_bits == 16 or (self.bits == 8 and self.symmetric))

    def compress(self, name: str, quantized: QuantizedTensor) -> dict[str, Tensor]:
        """Tensors to store for the linear `name` (without `.weight`).

        Raises:
            ValueError: `can_compress` is false.
        """
        if not self.can_compress(quantized):
            raise ValueError(f"{name} does not fit the scheme {self}")
        scales = quantized.scales.reshape(1) if self.granularity == "tensor" else quantized.scales
        if self.format == "int-quantized":
            return {f"{name}.weight": quantized.codes, f"{name}.weight_scale": scales}
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
        if self.format == "int-quantized":
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
        return QuantizedTensor(codes, scales, zeros, index, self.bits, self.granularity)

    def config(self, ignore: list[str], *, dequantize: bool = False) -> dict[str, Any]:
        """The `quantization_config` of config.json.

        Args:
            ignore: full names of linears that stay in full precision, `lm_head` among them.
            dequantize: have transformers unpack the weights while it loads, for models whose code reads the weight of a linear itself.
        """
        weights = self._arguments(self.bits, self.granularity, symmetric=self.symmetric, dynamic=False)
        weights |= {"group_size": self.group_size if self.granularity == "group" else None, "actorder": "weight" if self.act_order else None}
        inputs = self._arguments(8, "token", symmetric=True, dynamic=True) if self.activation_bits == 8 else None
        # compressed-tensors 0.20 expects unpacked zero points when transformers keeps the weights packed, and cannot unpack those then.
        dequantize = dequantize or (not self.symmetric and self.granularity != "tensor")
        return {
            "quant_method": "compressed-tensors",
            "format": self.format,
            "version": _FOLLOWS,
            "quantization_status": "compressed",
            "global_compression_ratio": None,
            "kv_cache_scheme": None,
            "ignore": ignore,
            **({"dequantize": True} if dequantize else {}),
            "config_groups": {
                "group_0": {"targets": ["Linear"], "format": self.format, "weights": weights, "input_activations": inputs, "output_activations": None}
            },
        }

    @staticmethod
    def _arguments(bits: int, strategy: str, *, symmetric: bool, dynamic: bool) -> dict[str, Any]:
        return {"num_bits": bits, "type": "int", "symmetric": symmetric, "strategy": strategy, "dynamic": dynamic, "group_size": None}


class CompressedWeights(Mapping[str, Tensor]):
    """The dequantized weights of a checkpoint folder, read from its files each time one is asked for; nothing is kept in memory.

    Args:
        folder: the checkpoint.
        scheme: what it was written with.
        dtype: of the weights that are handed out.
        stored_name: from a parameter's name to its name in the checkpoint, where these differ.
    """

    def __init__(self, folder: Path, scheme: CompressedTensors, dtype: torch.dtype = torch.float32, stored_name: Callable[[str], str] = str) -> None:
        self._scheme, self._dtype, self._stored_name = scheme, dtype, stored_name
        self._files = model_tensors(folder)
        self._names = [name.removesuffix(".weight_scale") for name in self._files if name.endswith(".weight_scale")]

    def __getitem__(self, key: str) -> Tensor:
        if key not in self:
            raise KeyError(key)
        name = self._stored_name(key).removesuffix(".weight")
        kinds = ("weight", "weight_packed", "weight_scale", "weight_shape", "weight_zero_point")
        present = [f"{name}.{kind}" for kind in kinds if f"{name}.{kind}" in self._files]
        with TensorReader() as reader:
            tensors = {tensor: reader.read(self._files[tensor]) for tensor in present}
        return self._scheme.decompress(name, tensors).dequantize(self._dtype)

    def __contains__(self, key: object) -> bool:
        return isinstance(key, str) and key.endswith(".weight") and f"{self._stored_name(key)}_scale" in self._files

    def __iter__(self) -> Iterator[str]:
        return (f"{name}.weight" for name in self._names)

    def __len__(self) -> int:
        return len(self._names)
