"""How a checkpoint stores what a spec asks for."""

from __future__ import annotations

from collections.abc import Callable

from core.formats.base import Format
from core.formats.layouts.awq import Awq
from core.formats.layouts.compressed_tensors.integers import CompressedTensors
from core.formats.layouts.gptq import Gptq
from core.quantize.pipeline.solvers import CheckpointWriter, solver_of
from core.quantize.spec import QuantizeSpec


def scheme_of(spec: QuantizeSpec) -> Format:
    """The format of a spec's checkpoint, with its settings: the method's own, else that of an integer grid."""
    solver = solver_of(spec.method)
    assert not isinstance(solver, CheckpointWriter)
    return (solver.scheme or _INTEGERS[spec.format])(spec)


def _compressed_tensors(spec: QuantizeSpec) -> Format:
    assert spec.granularity != "block"
    group_size = spec.group_size if spec.granularity == "group" else None
    return CompressedTensors(spec.bits, spec.symmetric, spec.granularity, group_size, spec.activation_bits, spec.act_order, spec.activation_scales)


def _gptq(spec: QuantizeSpec) -> Format:
    grouped = spec.granularity == "group"
    act_order = spec.act_order and not spec.static_groups and grouped
    return Gptq(spec.bits, spec.symmetric, spec.group_size if grouped else None, act_order, damp=spec.damp)


_INTEGERS: dict[str, Callable[[QuantizeSpec], Format]] = {
    "compressed-tensors": _compressed_tensors,
    "gptq": _gptq,
    "awq": lambda spec: Awq(spec.group_size if spec.granularity == "group" else None),
}
