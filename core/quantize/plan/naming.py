"""What a checkpoint is called."""

from __future__ import annotations

import re
from collections.abc import Callable

from core.models.source import ModelSource
from core.quantize.plan.additive_shape import shape_of
from core.quantize.plan.methods import FACTS, MIXED_BUDGET
from core.quantize.spec import QuantizeSpec


def scheme_name(spec: QuantizeSpec) -> str:
    """Method and grid in short, for example `gptq-w4-g128`."""
    if spec.method in _SPECIAL:
        return "-".join([spec.method, *_SPECIAL[spec.method](spec)])
    shares = _shares(spec)
    parts = [spec.method, f"w{spec.bits}a8" if spec.activation_bits == 8 else f"w{spec.bits}", shares]
    parts += [] if spec.symmetric else ["asym"]
    return "-".join(parts if spec.format == FACTS[spec.method].formats[0] else [*parts, spec.format.replace("compressed-tensors", "ct")])


def _shares(spec: QuantizeSpec) -> str:
    return {"group": f"g{spec.group_size}", "channel": "channel", "tensor": "tensor", "block": f"b{spec.group_size}"}[spec.granularity]


_SPECIAL: dict[str, Callable[[QuantizeSpec], list[str]]] = {
    "fp8": lambda spec: [spec.fp8_format, f"a{spec.activation_bits}", _shares(spec)],
    "nf4": lambda spec: [_shares(spec), *(["dq"] if spec.double_quant else [])],
    "int8": lambda _spec: [],
    "additive": lambda spec: [f"{spec.bits}bit"],
    "mixed": lambda spec: [f"kl{spec.max_kl:g}" if spec.max_kl is not None else f"{spec.budget or MIXED_BUDGET:g}bit", _shares(spec)],
    "gguf": lambda spec: [spec.level, *(["imatrix"] if spec.imatrix else [])],
}


def checkpoint_folder(source: ModelSource, spec: QuantizeSpec) -> str:
    """Name of the folder that a run writes when none was asked for, for example `base-gptq-w4-g128`."""
    model = re.sub(r"[^A-Za-z0-9._]+", "-", source.name.removeprefix("bundled:").rstrip("/").rpartition("/")[2]).strip("-.")
    return f"{model[:80] or 'model'}-{scheme_name(spec)}"


def described(spec: QuantizeSpec) -> str:
    """The grid of a spec in words, for example `4 bits by GPTQ: symmetric integer grid, one scale for 128 neighbouring weights of a row`."""
    share = _SHARE[spec.granularity].format(spec.group_size)
    inputs = f", inputs rounded to 8 bits ({spec.activation_scales} scales)" if spec.activation_bits == 8 else ""
    kind = f"{'symmetric' if spec.symmetric else 'asymmetric'} integer grid"
    words = {
        "fp8": f"8-bit floats ({spec.fp8_format.upper()}), {_SQUARE if spec.granularity == 'block' else share}{inputs}",
        "nf4": f"4-bit NormalFloat, {share}{', scales rounded to 8 bits too' if spec.double_quant else ''}",
        "int8": "LLM.int8(): 8-bit rows, outlier features of the inputs in 16 bits",
        "additive": f"sums of codebook vectors (AQLM){'' if spec.codebooks is None else f': {shape_of(spec).words}'}",
        "mixed": f"widths chosen linear by linear by measured sensitivity: {kind}, {share}",
        "gguf": f"GGUF {spec.level}{' with an importance matrix' if spec.imatrix else ''}",
    }
    return words.get(spec.method, f"{spec.bits} bits by {spec.method.upper()}: {kind}, {share}{inputs}")


_SQUARE = "one scale for a block of 128 x 128 weights"
_SHARE = {
    "group": "one scale for {} neighbouring weights of a row",
    "channel": "one scale a row",
    "tensor": "one scale a matrix",
    "block": "one scale for a block of {} weights",
}
