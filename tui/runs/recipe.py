"""What an experiment was asked to do, in a few words. Pure."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from core.quantize.plan.methods import FACTS, MIXED_BUDGET
from core.sanitize import clean

Values = Mapping[str, Any]


def recipe(values: Values) -> str:
    """`gptq 4 bit g128`, `fp8 e4m3 per channel a8`, `gguf Q4_K_M`: the method, what belongs to it, and what departs from the usual."""
    method = str(values.get("method", ""))
    words = [method, *_OF_METHOD.get(method, _integer)(values), *_format(method, values)]
    return clean(" ".join(filter(None, words)), limit=60)


def scope(values: Values) -> str:
    """What shares a scale: `g128`, `per channel`."""
    granularity = str(values.get("granularity"))
    return _SCOPES.get(granularity) or f"{_SIZED.get(granularity, 'g')}{values.get('group_size')}"


_SCOPES = {"channel": "per channel", "tensor": "per tensor"}
_SIZED = {"block": "b"}


def _short(value: Any) -> str:
    return f"{value:g}" if isinstance(value, int | float) else str(value)


def _integer(values: Values) -> list[str]:
    flags = [word for word, wanted in _FLAGS if wanted(values)]
    return [f"{values.get('bits')} bit", scope(values), *flags, *_activations(values)]


def _activations(values: Values) -> list[str]:
    if values.get("activation_bits") != 8:
        return []
    return [
        "w8a8" if values.get("bits") == 8 and values.get("method") != "fp8" else "a8",
        *(["static"] if values.get("activation_scales") == "static" else []),
    ]


def _fp8(values: Values) -> list[str]:
    return [str(values.get("fp8_format", "")), scope(values), *_activations(values)]


def _smoothquant(values: Values) -> list[str]:
    alpha = values.get("alpha")
    return [*_activations(values), "" if alpha is None else f"α {_short(alpha)}"]


def _mixed(values: Values) -> list[str]:
    if (kl := values.get("max_kl")) is not None:
        return [f"KL {_short(kl)}", scope(values)]
    return [f"{_short(values.get('budget') or MIXED_BUDGET)} bit", scope(values)]


def _additive(values: Values) -> list[str]:
    books, bits, length = (values.get(name) for name in ("codebooks", "codebook_bits", "codebook_vector"))
    given = f"{books or '?'}x{bits or '?'} by {length or '?'}" if any((books, bits, length)) else ""
    return [f"{values.get('bits')} bit", given]


_OF_METHOD: dict[str, Callable[[Values], list[str]]] = {
    "smoothquant": _smoothquant,
    "fp8": _fp8,
    "nf4": lambda values: [f"b{values.get('group_size')}", "double" if values.get("double_quant") else ""],
    "int8": lambda _values: [],
    "additive": _additive,
    "mixed": _mixed,
    "gguf": lambda values: [str(values.get("level", "")), "imatrix" if values.get("imatrix") else ""],
}
"""What tells runs of a method apart; of those not listed an integer grid."""
_FLAGS: tuple[tuple[str, Callable[[Values], bool]], ...] = (
    ("asym", lambda values: values.get("symmetric") is False and values.get("method") != "awq"),
    ("sym", lambda values: values.get("symmetric") is True and values.get("method") == "awq"),
    ("mse", lambda values: values.get("clipping") == "mse"),
    ("act-order", lambda values: values.get("act_order") is True and values.get("method") == "gptq"),
)


def _format(method: str, values: Values) -> list[str]:
    facts, chosen = FACTS.get(method), values.get("format")
    return [f"as {chosen}"] if facts is not None and chosen and chosen != facts.formats[0] else []
