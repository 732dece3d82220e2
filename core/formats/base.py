"""What every checkpoint format can do."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol, Self

from torch import Tensor

from core.numerics.stored import StoredWeight


class Format(Protocol):
    """How a checkpoint stores its quantized linears: one class a format, one instance a checkpoint."""

    @property
    def name(self) -> str:
        """As the user and `quant_method` call it: compressed-tensors, gptq, awq, bitsandbytes, aqlm."""
        ...

    @property
    def scheme(self) -> str:
        """The kind of storage inside the format, for example `pack-quantized`; for people."""
        ...

    def can_compress(self, weight: StoredWeight) -> bool:
        """Whether the format can hold this weight."""
        ...

    def compress(self, name: str, weight: StoredWeight) -> dict[str, Tensor]:
        """Tensors to store for the linear `name` (without `.weight`).

        Raises:
            ValueError: `can_compress` is false.
        """
        ...

    def decompress(self, name: str, tensors: Mapping[str, Tensor]) -> StoredWeight:
        """Undo `compress`; `tensors` may hold more than this linear's.

        Raises:
            RequestError: naming the tensor that is missing or does not hold what the format says.
        """
        ...

    def config(self, ignore: list[str], *, dequantize: bool = False) -> dict[str, object]:
        """The `quantization_config` of config.json.

        Args:
            ignore: full names of linears that stay in full precision, `lm_head` among them.
            dequantize: ask whoever loads the checkpoint to unpack the weights, for models whose code reads the weight of a linear itself.
        """
        ...

    def linear_of(self, tensor: str) -> str | None:
        """The linear (without `.weight`) that a stored tensor of this name marks as quantized; None for any other tensor."""
        ...

    def parts(self, name: str) -> tuple[str, ...]:
        """Names of all tensors that the linear `name` may consist of."""
        ...

    @classmethod
    def from_config(cls, config: Mapping[str, object]) -> Self:
        """The format that a `quantization_config`, ours or anybody's, describes.

        Raises:
            RequestError: a scheme that cannot be read, in one sentence.
        """
        ...
