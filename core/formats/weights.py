"""A checkpoint folder as dequantized weights, read linear by linear from its files; nothing is kept in memory."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import torch
from torch import Tensor

from core.formats.base import Format
from core.models.disk.headers import TensorInfo, TensorLocation, model_tensors
from core.models.disk.tensors import TensorReader
from core.numerics.activations import ActivationQuantizer
from core.numerics.stored import StoredWeight


class QuantizedWeights(Mapping[str, Tensor]):
    """Parameters by name: quantized linears dequantized, all other tensors of the folder as they are.

    Args:
        folder: the checkpoint.
        format_: how it stores quantized linears.
        dtype: of the dequantized weights that are handed out.
        stored_name: from a parameter's name to its name in the checkpoint, where these differ.
    """

    def __init__(self, folder: Path, format_: Format, dtype: torch.dtype = torch.float32, stored_name: Callable[[str], str] = str) -> None:
        self._format, self._dtype, self._stored_name = format_, dtype, stored_name
        self.files: Mapping[str, TensorLocation] = model_tensors(folder)
        found = (format_.linear_of(name) for name in self.files)
        self.linears: tuple[str, ...] = tuple(dict.fromkeys(name for name in found if name is not None))
        """Quantized linears by their name in the checkpoint, without `.weight`."""
        self._reader = TensorReader()
        self._quantized = {f"{name}.weight" for name in self.linears}
        parts = {part for name in self.linears for part in format_.parts(name)}
        self._plain = {name for name in self.files if name not in parts}
        self._activations: dict[str, ActivationQuantizer | None] = {}
        self._shapes: dict[str, tuple[int, int]] = {}

    def stored(self, linear: str) -> StoredWeight:
        """A quantized linear by its name in the checkpoint, as it is stored."""
        present = [part for part in self._format.parts(linear) if part in self.files]
        weight = self._format.decompress(linear, {part: self._reader.read(self.files[part]) for part in present})
        self._activations[linear], self._shapes[linear] = weight.activations, weight.shape
        return weight

    def shape(self, linear: str) -> tuple[int, int]:
        """[out, in] of a quantized linear by its name in the checkpoint."""
        return self._shapes[linear] if linear in self._shapes else self.stored(linear).shape

    @property
    def format(self) -> Format:
        """How quantized linears are stored."""
        return self._format

    @property
    def tensors(self) -> dict[str, TensorLocation]:
        """What a plain checkpoint of the model would hold: plain tensors as they are stored, quantized linears as one computed weight each, whose
        shape is known once it is computed."""
        found = {name: self.files[name] for name in self.files if name in self._plain}
        for weight, linear in ((f"{name}.weight", name) for name in self.linears):
            found[weight] = TensorLocation(self.files[self._mark(linear)].file, TensorInfo(weight, "computed", (), 0, 0))
        return found

    def read(self, location: TensorLocation) -> Tensor:
        """A tensor of `tensors`."""
        return self[location.info.name] if location.info.name in self._quantized else self._reader.read(location)

    def close(self) -> None:
        """Close the files; a later read opens them again."""
        self._reader.close()

    def stray(self) -> str | None:
        """A tensor that belongs to no quantized linear but to the format, or a plain weight next to its quantized one; None when there is none."""
        kinds = tuple(part.removeprefix("x") for part in self._format.parts("x") if part not in ("x.weight", "x.bias"))
        return next((name for name in sorted(self._plain) if name.endswith(kinds) or name in self._quantized), None)

    def _mark(self, linear: str) -> str:
        return next(part for part in self._format.parts(linear) if part in self.files)

    def activations(self, parameter: str) -> ActivationQuantizer | None:
        """How the inputs of the linear with this weight are rounded at run time."""
        name = self._stored_name(parameter)
        if name not in self._quantized:
            return None
        linear = name.removesuffix(".weight")
        return self._activations[linear] if linear in self._activations else self.stored(linear).activations

    def __getitem__(self, key: str) -> Tensor:
        name = self._stored_name(key)
        if name in self._quantized:
            return self.stored(name.removesuffix(".weight")).dequantize(self._dtype)
        if name not in self._plain:
            raise KeyError(key)
        return self._reader.read(self.files[name])

    def __contains__(self, key: object) -> bool:
        return isinstance(key, str) and ((name := self._stored_name(key)) in self._quantized or name in self._plain)

    def __iter__(self) -> Iterator[str]:
        yield from self._quantized
        yield from self._plain

    def __len__(self) -> int:
        return len(self._quantized) + len(self._plain)
