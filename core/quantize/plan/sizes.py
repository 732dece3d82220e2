"""Bytes on disk of a quantized linear, by the layout of its format: what the fit check predicts with."""

from __future__ import annotations

from collections.abc import Callable

from core.models.card import LinearShape
from core.numerics.widths import packed_words
from core.quantize.plan.additive_shape import shape_of
from core.quantize.plan.methods import MIXED_BUDGET
from core.quantize.spec import QuantizeSpec

_SCALE_BYTES = 2
_NESTED_BLOCK = 256
_TABLE_BYTES = 4


def stored_bytes(spec: QuantizeSpec, linear: LinearShape) -> int:
    """Bytes of one linear: codes, scales, zero points, tables; exact where a layout fixes them, else an estimate."""
    return SIZES.get(spec.method, integer_bytes)(spec, linear)


def integer_bytes(spec: QuantizeSpec, linear: LinearShape) -> int:
    """Packed codes, scales in 16 bits, packed zero points, which GPTQ and AWQ keep always, and GPTQ's group index."""
    rows, columns = linear.out_features, linear.in_features
    groups = {"group": columns // spec.group_size}.get(spec.granularity, 1)
    scales = 1 if spec.granularity == "tensor" else rows * groups
    zeros = 4 * packed_words(rows, spec.bits) * groups if not spec.symmetric or spec.format in ("gptq", "awq") else 0
    index = 4 * columns if spec.format == "gptq" else 0
    return 4 * rows * packed_words(columns, spec.bits) + _SCALE_BYTES * scales + zeros + index


def _float8(spec: QuantizeSpec, linear: LinearShape) -> int:
    rows, columns = linear.out_features, linear.in_features
    side = spec.group_size
    scales = {"channel": rows, "tensor": 1, "block": -(-rows // side) * -(-columns // side)}[spec.granularity]
    return rows * columns + _SCALE_BYTES * scales + (_SCALE_BYTES if spec.activation_scales == "static" else 0)


def _normal_float(spec: QuantizeSpec, linear: LinearShape) -> int:
    weights = linear.out_features * linear.in_features
    blocks = -(-weights // spec.group_size)
    tables = 16 * _TABLE_BYTES
    if not spec.double_quant:
        return -(-weights // 2) + 4 * blocks + tables
    return -(-weights // 2) + blocks + 4 * -(-blocks // _NESTED_BLOCK) + 256 * _TABLE_BYTES + tables


def _rows8(_spec: QuantizeSpec, linear: LinearShape) -> int:
    return linear.out_features * linear.in_features + 4 * linear.out_features


def _additive(spec: QuantizeSpec, linear: LinearShape) -> int:
    return shape_of(spec).stored_bytes(linear.out_features, linear.in_features)


def _mixed(spec: QuantizeSpec, linear: LinearShape) -> int:
    return int(linear.out_features * linear.in_features * (spec.budget or MIXED_BUDGET) / 8)


SIZES: dict[str, Callable[[QuantizeSpec, LinearShape], int]] = {
    "fp8": _float8,
    "nf4": _normal_float,
    "int8": _rows8,
    "additive": _additive,
    "mixed": _mixed,
}
