"""compressed-tensors `pack-quantized` whose linears have different widths: one config group a width, its linears by name."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import ClassVar, Self, cast

from torch import Tensor

from core.errors import RequestError
from core.formats.layouts.compressed_tensors.config_groups import ConfigGroups
from core.formats.layouts.compressed_tensors.integers import CompressedTensors
from core.formats.reading import section
from core.numerics.grid import Granularity
from core.numerics.stored import StoredWeight
from core.numerics.tensor import QuantizedTensor
from core.sanitize import clean


class MixedWidths:
    """Widths by linear; which linear has which is learned from what is compressed.

    Args:
        symmetric: as of `CompressedTensors`, like the other two the same for all linears.
        granularity: what shares a scale.
        group_size: weights of a row that share a scale; None for whole rows.
    """

    name: ClassVar[str] = "compressed-tensors"
    scheme: ClassVar[str] = "pack-quantized"

    def __init__(self, symmetric: bool, granularity: Granularity, group_size: int | None) -> None:
        self._shared = (symmetric, granularity, group_size)
        self.widths: dict[str, int] = {}
        """Bits by the linear's name in the checkpoint."""

    def of(self, bits: int) -> CompressedTensors:
        """The scheme of the linears of one width."""
        return CompressedTensors(bits, *self._shared)

    def can_compress(self, weight: StoredWeight) -> bool:
        """Whether the format can hold this weight."""
        return isinstance(weight, QuantizedTensor) and self.of(weight.bits).can_compress(weight)

    def compress(self, name: str, weight: StoredWeight) -> dict[str, Tensor]:
        """Tensors to store for the linear `name`, as of `CompressedTensors`."""
        if not isinstance(weight, QuantizedTensor):
            raise ValueError(f"{name} does not fit the scheme {self.scheme}")
        self.widths[name] = weight.bits
        return self.of(weight.bits).compress(name, weight)

    def decompress(self, name: str, tensors: Mapping[str, Tensor]) -> QuantizedTensor:
        """Undo `compress`; errors as of `CompressedTensors`."""
        return self.of(width_of(name, tensors)).decompress(name, tensors)

    def learn(self, names: Iterable[str], tensors: Mapping[str, Tensor]) -> None:
        """Take note of linears that were compressed before."""
        self.widths |= {name: width_of(name, tensors) for name in names}

    def linear_of(self, tensor: str) -> str | None:
        """By its scales."""
        return self.of(4).linear_of(tensor)

    def parts(self, name: str) -> tuple[str, ...]:
        """What `compress` may make."""
        return self.of(4).parts(name)

    def config(self, ignore: list[str], *, dequantize: bool = False) -> dict[str, object]:
        """The `quantization_config` of config.json; arguments as of `CompressedTensors`."""
        groups: dict[str, object] = {}
        shared: dict[str, object] = {}
        for index, bits in enumerate(sorted(set(self.widths.values()))):
            shared = self.of(bits).config(ignore, dequantize=dequantize)
            (group,) = section(shared, "config_groups").values()
            targets = [name for name, width in self.widths.items() if width == bits]
            groups[f"group_{index}"] = {**cast("dict[str, object]", group), "targets": targets}
        return shared | {"config_groups": groups}

    @classmethod
    def from_config(cls, config: Mapping[str, object]) -> Self:
        """From a `quantization_config` that `config` made. Raises RequestError: its groups are not packed integers that differ in width alone."""
        named = {target.text: target.scheme for target in ConfigGroups.from_config(config).targets}
        integers = {name: scheme for name, scheme in named.items() if isinstance(scheme, CompressedTensors)}
        shared = {(scheme.symmetric, scheme.granularity, scheme.group_size) for scheme in integers.values()}
        if len(integers) < len(named) or len(shared) != 1:
            raise RequestError("the groups of quantization_config do not differ in width alone: open the checkpoint as compressed-tensors")
        found = cls(*shared.pop())
        found.widths = {name: scheme.bits for name, scheme in integers.items()}
        return found


def width_of(name: str, tensors: Mapping[str, Tensor]) -> int:
    """Bits of a packed linear, by how many words its rows take.

    Raises:
        RequestError: a tensor is missing, or the words and the shape do not belong together.
    """
    packed, shape = tensors.get(f"{name}.weight_packed"), tensors.get(f"{name}.weight_shape")
    if packed is None or shape is None or packed.ndim != 2 or shape.numel() != 2:
        raise RequestError(f"the linear {clean(name, limit=200)!r} lacks its packed weight or its shape: fetch the checkpoint again")
    columns = int(shape.flatten()[1])
    bits = 32 * packed.shape[1] // columns if columns > 0 else 0
    if not 2 <= bits <= 8:
        raise RequestError(f"the packed weight of {clean(name, limit=200)!r} does not have rows of {columns} values: fetch the checkpoint again")
    return bits
