"""AWQ on disk (`quant_method: awq`, version `gemm`), as vLLM and transformers with gptqmodel read it.

For a linear of O outputs and I inputs in G groups: `qweight` int32 [I, O/8] and `qzeros` int32 [G, O/8] hold eight outputs a word,
field k that of output `ORDER[k]`; `scales` fp16 [G, O]; W = (q - z) * s. Source: AutoAWQ's `modules/linear/gemm.py`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar, Self

import torch
from torch import Tensor

from core.errors import RequestError
from core.formats.reading import check_groups, described, expect, field, group_size_of, matrix_of_scales, required, sequential_index
from core.numerics.packed.words import as_int32
from core.numerics.stored import StoredWeight
from core.numerics.tensor import QuantizedTensor
from core.sanitize import clean

ORDER = (0, 2, 4, 6, 1, 3, 5, 7)
_BITS = 4
_LANES = 8
_MIDDLE = 8
_PARTS = ("qweight", "qzeros", "scales")


@dataclass(frozen=True)
class Awq:
    """One scheme for all quantized linears of a checkpoint: 4 bits, in groups or rows."""

    group_size: int | None = 128
    """None: one scale a row."""
    zero_point: bool = True
    """False: a file without zero points is symmetric. Ours always have them, since kernels read them."""

    name: ClassVar[str] = "awq"
    scheme: ClassVar[str] = "gemm"

    def can_compress(self, weight: StoredWeight) -> bool:
        """Whether the format can hold this weight."""
        return self.refusal(weight) is None

    def refusal(self, weight: StoredWeight) -> str | None:
        """Why the format cannot hold a weight; None when it can."""
        if not isinstance(weight, QuantizedTensor) or weight.activations is not None:
            return "the AWQ format stores only integer weights with full-precision activations"
        half = weight.scales.to(torch.float16)
        checks = {
            f"it has {weight.bits} bits, and the AWQ format 4": weight.bits != _BITS,
            "the AWQ format does not support per-tensor scales: choose groups or channels": weight.granularity == "tensor",
            f"its {weight.shape[0]} outputs are not a multiple of 8": bool(weight.shape[0] % _LANES),
            "its groups follow the order of rounding, which the AWQ format does not support": not weight.sequential,
            "its scales are not exact in 16 bits": not torch.equal(half.float(), weight.scales.float()) or not bool(torch.isfinite(half).all()),
        }
        return next((reason for reason, holds in checks.items() if holds), None)

    def compress(self, name: str, weight: StoredWeight) -> dict[str, Tensor]:
        """Tensors to store for the linear `name`; errors as of `Format`."""
        reason = self.refusal(weight)
        if reason is not None:
            raise ValueError(f"{name}: {reason}")
        assert isinstance(weight, QuantizedTensor)
        zeros = torch.zeros_like(weight.scales, dtype=torch.int8) if weight.zeros is None else weight.zeros
        return {
            f"{name}.qweight": pack_outputs(weight.codes.t()),
            f"{name}.qzeros": pack_outputs(zeros.t()),
            f"{name}.scales": weight.scales.t().to(torch.float16).contiguous(),
        }

    def decompress(self, name: str, tensors: Mapping[str, Tensor]) -> QuantizedTensor:
        """Undo `compress`; errors as of `Format`."""
        packed = required(f"{name}.qweight", tensors)
        scales = matrix_of_scales(f"{name}.scales", tensors)
        groups, rows = scales.shape
        if packed.dtype != torch.int32 or packed.ndim != 2 or not packed.shape[0] or packed.shape[1] * _LANES != rows:
            along_inputs = packed.ndim == 2 and packed.shape[1] == rows
            raise RequestError(
                f"the tensor '{clean(name, limit=200)}.qweight' is {described(packed)}, which is not AWQ packing for {rows} outputs: "
                + ("it is packed as GPTQ does, set quant_method to gptq in config.json" if along_inputs else "fetch the checkpoint again")
            )
        columns = packed.shape[0]
        check_groups(f"{name}.scales", groups, columns, self.group_size)
        zeros = self._zeros(f"{name}.qzeros", tensors, groups, rows)
        return QuantizedTensor(
            codes=unpack_outputs(packed).t().contiguous(),
            scales=scales.t().contiguous(),
            zeros=None if zeros is None else zeros.t().contiguous(),
            group_index=sequential_index(columns, self.group_size),
            bits=_BITS,
            granularity="channel" if self.group_size is None else "group",
        )

    def linear_of(self, tensor: str) -> str | None:
        """By its packed weight."""
        return tensor.removesuffix(".qweight") if tensor.endswith(".qweight") else None

    def parts(self, name: str) -> tuple[str, ...]:
        """Names of all tensors that the linear `name` may consist of."""
        return tuple(f"{name}.{part}" for part in _PARTS)

    def config(self, ignore: list[str], *, dequantize: bool = False) -> dict[str, object]:
        """The `quantization_config` of config.json; this format knows no `dequantize`, whoever loads the checkpoint needs kernels for it."""
        del dequantize
        return {
            "quant_method": "awq",
            "bits": _BITS,
            "group_size": self.group_size or -1,
            "zero_point": True,
            "version": self.scheme,
            "modules_to_not_convert": ignore or None,
        }

    @classmethod
    def from_config(cls, config: Mapping[str, object]) -> Self:
        """The scheme that a `quantization_config`, or AutoAWQ's older `quant_config.json`, describes.

        Raises:
            RequestError: a scheme that cannot be read, in one sentence.
        """
        bits = field(config, "bits", int, _BITS, "w_bit")
        version = field(config, "version", str, "gemm").lower()
        layout = field(config, "checkpoint_format", str, version, "format").lower()
        if bits != _BITS:
            raise RequestError(f"AWQ weights of {clean(str(bits), limit=40)} bits cannot be read: the format is known with 4")
        if layout not in ("gemm", "awq"):
            raise RequestError(f"AWQ weights of the version {clean(layout, limit=40)!r} cannot be read: export them as gemm")
        return cls(group_size_of(config, 128, "q_group_size"), field(config, "zero_point", bool, True))

    def _zeros(self, name: str, tensors: Mapping[str, Tensor], groups: int, rows: int) -> Tensor | None:
        """Zero points int8 [groups, rows]; None when all are the middle code."""
        if name not in tensors and not self.zero_point:
            return None
        words = expect(name, required(name, tensors), (torch.int32,), (groups, rows // _LANES))
        zeros = unpack_outputs(words)
        return None if not bool(zeros.any()) else zeros


def pack_outputs(codes: Tensor) -> Tensor:
    """Signed codes int8 [rows, outputs] to int32 [rows, outputs/8], eight outputs a word in AWQ's order."""
    rows = codes.shape[0]
    lanes = codes.to(torch.int64).reshape(rows, -1, _LANES)
    words = torch.zeros(lanes.shape[:2], dtype=torch.int64, device=codes.device)
    for place, output in enumerate(ORDER):
        words |= (lanes[:, :, output] + _MIDDLE) << (_BITS * place)
    return as_int32(words)


def unpack_outputs(words: Tensor) -> Tensor:
    """Undo `pack_outputs`: int32 [rows, words] to signed codes int8 [rows, 8 * words]."""
    codes = torch.empty(*words.shape, _LANES, dtype=torch.int8, device=words.device)
    for place, output in enumerate(ORDER):
        codes[:, :, output] = (((words >> (_BITS * place)) & 15) - _MIDDLE).to(torch.int8)
    return codes.view(words.shape[0], -1)
