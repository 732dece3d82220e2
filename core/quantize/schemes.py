"""How a checkpoint stores what a spec asks for: one entry a format."""

from __future__ import annotations

from collections.abc import Callable

from core.formats.base import Format
from core.formats.compressed_tensors import CompressedTensors
from core.quantize.spec import QuantizeSpec


def scheme_of(spec: QuantizeSpec) -> Format:
    """The format of a spec's checkpoint, with its settings."""
    return SCHEMES[spec.format](spec)


def _compressed_tensors(spec: QuantizeSpec) -> Format:
    assert spec.granularity != "block"
    group_size = spec.group_size if spec.granularity == "group" else None
    return CompressedTensors(spec.bits, spec.symmetric, spec.granularity, group_size, spec.activation_bits, spec.act_order, spec.activation_scales)


SCHEMES: dict[str, Callable[[QuantizeSpec], Format]] = {
    "compressed-tensors": _compressed_tensors,
}
