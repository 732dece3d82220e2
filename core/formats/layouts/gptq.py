"""GPTQ on disk (`quant_method: gptq`), as vLLM, transformers with gptqmodel, and llama.cpp's converter read it.

For a linear of O outputs and I inputs in G groups: `qweight` int32 [I*b/32, O] and `qzeros` int32 [G, O*b/32] are dense bit
strings along I and O, low bits first; `scales` fp16 [G, O]; `g_idx` int32 [I]; W = (q - z) * s. Version 1 stores z - 1, version 2
(`checkpoint_format: gptq_v2`) stores z. Sources: AutoGPTQ's `qlinear_cuda.py` and gptqmodel's `convert_gptq_v2_to_v1_format`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, ClassVar, Self

import torch
from torch import Tensor

from core.errors import RequestError
from core.formats.layouts.dynamic import NONE, Overrides
from core.formats.reading import check_groups, described, expect, field, group_index, group_size_of, matrix_of_scales, required, sequential_index
from core.numerics.packed.words import as_int32, pack, unpack
from core.numerics.stored import StoredWeight
from core.numerics.tensor import QuantizedTensor
from core.sanitize import clean

BITS = (2, 3, 4, 8)
_VERSIONS = {"gptq": 1, "gptq_v2": 2}
_PARTS = ("qweight", "qzeros", "scales", "g_idx")


@dataclass(frozen=True)
class Gptq:
    """One scheme for all quantized linears of a checkpoint, with exceptions by name."""

    bits: int = 4
    symmetric: bool = True
    group_size: int | None = 128
    """None: one scale a row."""
    act_order: bool = False
    """Whether groups follow the order of rounding, so that `g_idx` is not a run of neighbours."""
    version: int = 1
    """1: zero points are stored less one. 2: as they are."""
    damp: float = 0.01
    borrows: bool = False
    """Whether zero points of version 1 were lowered by subtracting from whole words, as gptqmodel does, and are raised the same way."""
    overrides: Overrides = NONE

    name: ClassVar[str] = "gptq"

    @property
    def scheme(self) -> str:
        """`v1` or `v2`."""
        return f"v{self.version}"

    def can_compress(self, weight: StoredWeight) -> bool:
        """Whether the format can hold this weight."""
        return self.refusal(weight) is None

    def refusal(self, weight: StoredWeight) -> str | None:
        """Why the format cannot hold a weight; None when it can."""
        if not isinstance(weight, QuantizedTensor) or weight.activations is not None:
            return "the GPTQ format stores only integer weights with full-precision activations"
        rows, columns = weight.shape
        checks = {
            f"it has {weight.bits} bits, and the checkpoint {self.bits} (GPTQ knows 2, 3, 4 and 8)": weight.bits != self.bits
            or self.bits not in BITS,
            "it and the checkpoint are not both symmetric": weight.symmetric != self.symmetric,
            "the GPTQ format does not support per-tensor scales: choose groups or channels": weight.granularity == "tensor",
            f"its {columns} inputs or {rows} outputs do not fill whole 32-bit words": bool(columns * self.bits % 32 or rows * self.bits % 32),
            "its groups follow the order of rounding, which the checkpoint's desc_act denies": not self.act_order and not weight.sequential,
            "its scales are not exact in 16 bits": not _exact_in_half(weight.scales),
            "a zero point is 0, and version 1 stores zero points less one: clamp them to 1 and above": self._underflows(weight),
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
            f"{name}.qweight": pack(weight.codes, self.bits).t().contiguous(),
            f"{name}.qzeros": pack((zeros - int(self.version == 1)).t(), self.bits),
            f"{name}.scales": weight.scales.t().to(torch.float16).contiguous(),
            f"{name}.g_idx": weight.group_index.to(torch.int32),
        }

    def decompress(self, name: str, tensors: Mapping[str, Tensor]) -> QuantizedTensor:
        """Undo `compress`; errors as of `Format`."""
        own = self.of(name)
        packed = required(f"{name}.qweight", tensors)
        scales = matrix_of_scales(f"{name}.scales", tensors)
        groups, rows = scales.shape
        columns = own._columns(name, packed, rows)
        check_groups(f"{name}.scales", groups, columns, own.group_size)
        zeros = own._zeros(name, tensors, groups, rows)
        codes = unpack(packed.t(), own.bits, columns)
        return QuantizedTensor(
            codes=codes,
            scales=scales.t().contiguous(),
            zeros=None if zeros is None else zeros.t().contiguous(),
            group_index=own._group_index(name, tensors, columns, groups),
            bits=own.bits,
            granularity="channel" if own.group_size is None else "group",
        )

    def of(self, linear: str) -> Gptq:
        """The scheme of one linear. Raises RequestError: the config asks for something there that cannot be read."""
        changes = self.overrides.of(linear)
        if not changes:
            return self
        merged = {"bits": self.bits, "sym": self.symmetric, "group_size": self.group_size or -1, "desc_act": self.act_order} | dict(changes)
        changed = _scheme(merged)
        return replace(self, **changed, overrides=NONE)

    def with_overrides(self, overrides: Overrides) -> Self:
        """The same with other exceptions by name."""
        return replace(self, overrides=overrides)

    def linear_of(self, tensor: str) -> str | None:
        """By its packed weight."""
        return tensor.removesuffix(".qweight") if tensor.endswith(".qweight") else None

    def parts(self, name: str) -> tuple[str, ...]:
        """Names of all tensors that the linear `name` may consist of."""
        return tuple(f"{name}.{part}" for part in _PARTS)

    def config(self, ignore: list[str], *, dequantize: bool = False) -> dict[str, Any]:
        """The `quantization_config` of config.json; this format knows no `dequantize`, whoever loads the checkpoint needs kernels for it."""
        del dequantize
        kept = [name for name in ignore if name != "lm_head"]
        return {
            "quant_method": "gptq",
            "bits": self.bits,
            "group_size": self.group_size or -1,
            "sym": self.symmetric,
            "desc_act": self.act_order,
            "checkpoint_format": "gptq" if self.version == 1 else "gptq_v2",
            "true_sequential": True,
            "damp_percent": self.damp,
            "lm_head": "lm_head" not in ignore,
            "pack_dtype": "int32",
            **({"dynamic": Overrides.leaving_out(kept)} if kept else {}),
        }

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> Self:
        """The scheme that a `quantization_config`, or an older `quantize_config.json`, describes.

        Raises:
            RequestError: a scheme that cannot be read, in one sentence.
        """
        stated = config.get("checkpoint_format") or config.get("format") or "gptq"
        if not isinstance(stated, str) or stated not in _VERSIONS:
            raise RequestError(
                f"GPTQ weights with checkpoint_format {clean(str(stated), limit=40)!r} cannot be read: export them as gptq or gptq_v2 with gptqmodel"
            )
        if config.get("pack_dtype") not in (None, "int32"):
            raise RequestError(
                f"GPTQ weights packed into {clean(str(config['pack_dtype']), limit=40)} cannot be read: export them with pack_dtype int32"
            )
        meta = config.get("meta")
        makers = meta.get("quantizer") if isinstance(meta, Mapping) else None
        makers = [makers] if isinstance(makers, str) else makers if isinstance(makers, list) else []
        return cls(
            **_scheme(config),
            version=_VERSIONS[stated],
            borrows=any(isinstance(maker, str) and maker.startswith("gptqmodel") for maker in makers),
            overrides=Overrides.from_dynamic(config.get("dynamic")),
        )

    def _columns(self, name: str, packed: Tensor, rows: int) -> int:
        if self.bits == 4 and packed.dtype == torch.int32 and packed.ndim == 2 and packed.shape[1] * 8 == rows:
            raise RequestError(
                f"the tensor '{clean(name, limit=200)}.qweight' is packed along the outputs, as AWQ does: set quant_method to awq in config.json"
            )
        words = packed.shape[0] if packed.ndim == 2 else 0
        if packed.dtype != torch.int32 or packed.ndim != 2 or packed.shape[1] != rows or not words or words * 32 % self.bits:
            raise RequestError(
                f"the tensor '{clean(name, limit=200)}.qweight' is {described(packed)}, not {self.bits}-bit GPTQ packing for {rows} outputs: "
                "correct bits in config.json, or fetch the checkpoint again"
            )
        return words * 32 // self.bits

    def _zeros(self, name: str, tensors: Mapping[str, Tensor], groups: int, rows: int) -> Tensor | None:
        """Zero points int8 [groups, rows], None when symmetric."""
        tensor = f"{name}.qzeros"
        if self.symmetric and tensor not in tensors:
            return None
        words = expect(tensor, required(tensor, tensors), (torch.int32,), (groups, -(-rows * self.bits // 32)))
        offset = int(self.version == 1)
        if self.symmetric:
            stored = unpack(words, self.bits, rows)
            self._check_symmetric(tensor, stored, offset)
            return None
        if offset and self.borrows and self.bits != 3:
            return unpack(_raised(words, self.bits), self.bits, rows)
        stored = unpack(words, self.bits, rows)
        highest = (1 << (self.bits - 1)) - 1
        if offset and not self.borrows and bool((stored == highest).any()):
            raise RequestError(
                f"the tensor {clean(tensor, limit=200)!r} holds zero points that version 1 of the format cannot keep, so that engines differ: "
                "if the file is of version 2, set checkpoint_format to gptq_v2 in config.json, else quantize again with zero points of 1 and above"
            )
        return torch.where(stored == highest, -highest - 1, stored + 1).to(torch.int8) if offset else stored

    def _check_symmetric(self, tensor: str, stored: Tensor, offset: int) -> None:
        """Symmetric weights have the middle code for their zero point, everywhere."""
        low, high = (int(value) for value in torch.aminmax(stored))
        if low == high == -offset:
            return
        shown = clean(tensor, limit=200)
        if low == high == offset - 1:
            other = "gptq_v2" if offset else "gptq"
            raise RequestError(
                f"the tensor {shown!r} holds zero points of version {1 + offset} of the format, and config.json says {self.scheme}: "
                f"set checkpoint_format to {other} in config.json"
            )
        raise RequestError(
            f"the tensor {shown!r} holds zero points that are not those of symmetric weights: set sym to false in config.json, or fetch it again"
        )

    def _group_index(self, name: str, tensors: Mapping[str, Tensor], columns: int, groups: int) -> Tensor:
        tensor = f"{name}.g_idx"
        sequential = sequential_index(columns, self.group_size)
        if tensor not in tensors:
            if self.act_order and groups > 1:
                required(tensor, tensors)
            return sequential
        index = group_index(tensor, tensors[tensor], columns, groups)
        if not self.act_order and not torch.equal(index, sequential):
            raise RequestError(
                f"the tensor {clean(tensor, limit=200)!r} is not in order, and config.json says desc_act false: engines would ignore it; "
                "set desc_act to true in config.json"
            )
        return index

    def _underflows(self, weight: QuantizedTensor) -> bool:
        return self.version == 1 and weight.zeros is not None and bool((weight.zeros <= -(1 << (self.bits - 1))).any())


def _scheme(config: Mapping[str, Any]) -> dict[str, Any]:
    bits = field(config, "bits", int, 4)
    if bits not in BITS:
        raise RequestError(f"GPTQ weights of {clean(str(bits), limit=40)} bits cannot be read: known are 2, 3, 4 and 8")
    return {
        "bits": bits,
        "symmetric": field(config, "sym", bool, True),
        "group_size": group_size_of(config, 128),
        "act_order": field(config, "desc_act", bool, False),
    }


def _raised(words: Tensor, bits: int) -> Tensor:
    """Words int32 with one added to every value in them, carries running into the next value as borrows did."""
    ones = sum(1 << shift for shift in range(0, 32, bits))
    return as_int32((words.to(torch.int64) + ones) & 0xFFFFFFFF)


def _exact_in_half(scales: Tensor) -> bool:
    half = scales.to(torch.float16)
    return bool(torch.isfinite(half).all()) and torch.equal(half.to(torch.float32), scales.to(torch.float32))
