"""AQLM on disk: additive codebooks, read by transformers through the package aqlm.

Layout of github.com/Vahe1994/AQLM (`inference_lib`): `codes` int8 (int16 above 8 bits) [O/og, I/ig, K], where a code c of b bits is stored as
c - 2^b once its highest bit is set and read modulo 2^b; `codebooks` [K, 2^b, og, ig]; `scales` [O/og, 1, 1, 1]. One shape of codebooks
serves all linears of a checkpoint. The package's kernels for CPUs take tiles of one row and codebooks of 256 vectors, those for GPUs tiles of one
row; all other shapes it dequantizes before each product. Its CPU kernel (version 1.1.7) is right with NUMBA_NUM_THREADS=1 only:
with more threads several add to one sum at once.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar, Self, TypeGuard

import torch
from torch import Tensor

from core.errors import RequestError
from core.numerics.additive import MAX_CODEBOOK_BITS, AdditiveTensor
from core.numerics.stored import StoredWeight
from core.sanitize import clean

_KINDS = ("codes", "codebooks", "scales")
_FLOATS = (torch.float16, torch.bfloat16, torch.float32)
_LIMITS = {"num_codebooks": 64, "nbits_per_codebook": MAX_CODEBOOK_BITS, "out_group_size": 64, "in_group_size": 64}


@dataclass(frozen=True)
class Aqlm:
    """One shape of codebooks for all quantized linears of a checkpoint."""

    codebooks: int
    codebook_bits: int
    out_group: int
    in_group: int

    name: ClassVar[str] = "aqlm"

    @property
    def scheme(self) -> str:
        """Codebooks and their bits, as AQLM's own checkpoints are named, and the tile: `2x8 tile 1x8`."""
        return f"{self.codebooks}x{self.codebook_bits} tile {self.out_group}x{self.in_group}"

    def can_compress(self, weight: StoredWeight) -> TypeGuard[AdditiveTensor]:
        """Whether the weight has codebooks of this shape."""
        return isinstance(weight, AdditiveTensor) and tuple(weight.codebooks.shape) == self._codebooks_shape

    def compress(self, name: str, weight: StoredWeight) -> dict[str, Tensor]:
        """Tensors to store for the linear `name`; errors as of `Format`."""
        if not self.can_compress(weight):
            raise ValueError(f"{name} does not fit the scheme {self}")
        half, whole = 1 << (self.codebook_bits - 1), 1 << self.codebook_bits
        codes = torch.where(weight.codes >= half, weight.codes - whole, weight.codes)
        return {f"{name}.codes": codes.to(self._code_dtype), f"{name}.codebooks": weight.codebooks, f"{name}.scales": weight.scales}

    def decompress(self, name: str, tensors: Mapping[str, Tensor]) -> AdditiveTensor:
        """Undo `compress`; errors as of `Format`."""
        codes, codebooks, scales = (self._part(name, kind, tensors) for kind in _KINDS)
        if codes.dtype != self._code_dtype or codes.dim() != 3 or codes.shape[2] != self.codebooks or not codes.numel():
            raise _wrong(name, "codes", codes, f"{self._code_dtype} [out/{self.out_group}, in/{self.in_group}, {self.codebooks}]")
        if codebooks.dtype not in _FLOATS or tuple(codebooks.shape) != self._codebooks_shape:
            raise _wrong(name, "codebooks", codebooks, f"floats {list(self._codebooks_shape)}")
        if scales.dtype not in _FLOATS or tuple(scales.shape) != (codes.shape[0], 1, 1, 1):
            raise _wrong(name, "scales", scales, f"floats [{codes.shape[0]}, 1, 1, 1]")
        for kind, values in (("codebooks", codebooks), ("scales", scales)):
            if not bool(torch.isfinite(values).all()):
                raise RequestError(f"{clean(name, limit=200)}.{kind} holds NaN or infinity: the checkpoint is damaged, fetch it again")
        return AdditiveTensor(codes.to(torch.int32) % (1 << self.codebook_bits), codebooks, scales)

    def config(self, ignore: list[str], *, dequantize: bool = False) -> dict[str, object]:
        """The `quantization_config` of config.json.

        Args:
            ignore: full names of linears that stay in full precision. Older transformers look for the names of their weights, newer ones
                for their own: both are written.
            dequantize: not known to the format.
        """
        del dequantize
        return {
            "quant_method": "aqlm",
            "in_group_size": self.in_group,
            "out_group_size": self.out_group,
            "num_codebooks": self.codebooks,
            "nbits_per_codebook": self.codebook_bits,
            "linear_weights_not_to_quantize": [entry for name in ignore for entry in (name, f"{name}.weight")],
        }

    def linear_of(self, tensor: str) -> str | None:
        """By its codes."""
        return tensor.removesuffix(".codes") if tensor.endswith(".codes") else None

    def parts(self, name: str) -> tuple[str, ...]:
        """What `compress` makes."""
        return tuple(f"{name}.{kind}" for kind in _KINDS)

    @classmethod
    def from_config(cls, config: Mapping[str, object]) -> Self:
        """The shape that a `quantization_config` states; a missing field has the default of transformers.

        Raises:
            RequestError: a field that is not a size.
        """
        values = {"num_codebooks": 1, "nbits_per_codebook": 16, "out_group_size": 1, "in_group_size": 8}
        for field in values:
            value = config.get(field)
            if value is None:
                continue
            if isinstance(value, bool) or not isinstance(value, int) or not 1 <= value <= _LIMITS[field]:
                raise RequestError(
                    f"the quantization_config states {field} = {clean(repr(value), limit=40)}, which must be a whole "
                    f"number from 1 to {_LIMITS[field]}: "
                    "the checkpoint is damaged, fetch it again"
                )
            values[field] = value
        return cls(values["num_codebooks"], values["nbits_per_codebook"], values["out_group_size"], values["in_group_size"])

    @property
    def _codebooks_shape(self) -> tuple[int, int, int, int]:
        return self.codebooks, 1 << self.codebook_bits, self.out_group, self.in_group

    @property
    def _code_dtype(self) -> torch.dtype:
        return torch.int8 if self.codebook_bits <= 8 else torch.int16

    @staticmethod
    def _part(name: str, kind: str, tensors: Mapping[str, Tensor]) -> Tensor:
        found = tensors.get(f"{name}.{kind}")
        if found is None:
            raise RequestError(f"the tensor {clean(name, limit=200)}.{kind} is missing: the AQLM checkpoint is incomplete, fetch it again")
        return found


def _wrong(name: str, kind: str, found: Tensor, expected: str) -> RequestError:
    return RequestError(
        f"{clean(name, limit=200)}.{kind} is {found.dtype} {list(found.shape)} where the quantization_config makes it {expected}: "
        "config.json and weights do not belong together"
    )
