"""How a checkpoint stores what a spec asks for: one entry a format."""

from __future__ import annotations

from collections.abc import Callable

from core.formats.base import Format
from core.formats.layouts.aqlm import Aqlm
from core.formats.layouts.awq import Awq
from core.formats.layouts.bitsandbytes import BitsAndBytes
from core.formats.layouts.compressed_tensors.floats import FloatQuantized
from core.formats.layouts.compressed_tensors.integers import CompressedTensors
from core.formats.layouts.compressed_tensors.mixed_widths import MixedWidths
from core.formats.layouts.gptq import Gptq
from core.quantize.plan.additive_shape import shape_of
from core.quantize.spec import QuantizeSpec


def scheme_of(spec: QuantizeSpec) -> Format:
    """The format of a spec's checkpoint, with its settings."""
    return SCHEMES[spec.format](spec)


def _compressed_tensors(spec: QuantizeSpec) -> Format:
    if spec.method == "fp8":
        assert spec.granularity != "group"
        return FloatQuantized(spec.granularity, spec.activation_scales if spec.activation_bits == 8 else None)
    assert spec.granularity != "block"
    group_size = spec.group_size if spec.granularity == "group" else None
    if spec.method == "mixed":
        return MixedWidths(spec.symmetric, spec.granularity, group_size)
    return CompressedTensors(spec.bits, spec.symmetric, spec.granularity, group_size, spec.activation_bits, spec.act_order, spec.activation_scales)


def _bitsandbytes(spec: QuantizeSpec) -> Format:
    return BitsAndBytes("int8", double_quant=False) if spec.method == "int8" else BitsAndBytes("nf4", spec.double_quant)


def _gptq(spec: QuantizeSpec) -> Format:
    grouped = spec.granularity == "group"
    act_order = spec.act_order and not spec.static_groups and grouped
    return Gptq(spec.bits, spec.symmetric, spec.group_size if grouped else None, act_order, damp=spec.damp)


def _awq(spec: QuantizeSpec) -> Format:
    return Awq(spec.group_size if spec.granularity == "group" else None)


def _aqlm(spec: QuantizeSpec) -> Format:
    shape = shape_of(spec.request)
    return Aqlm(shape.codebooks, shape.codebook_bits, shape.out_group, shape.in_group)


SCHEMES: dict[str, Callable[[QuantizeSpec], Format]] = {
    "compressed-tensors": _compressed_tensors,
    "gptq": _gptq,
    "awq": _awq,
    "bitsandbytes": _bitsandbytes,
    "aqlm": _aqlm,
}
