"""Do tensors hold numbers, or codes that only mean something with a scheme? Decided by names and dtypes alone."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

from core.errors import RequestError
from core.models.disk.files import shown
from core.models.disk.headers import TensorLocation
from core.sanitize import clean

_NUMBERS = frozenset(("F64", "F32", "F16", "BF16", "computed"))
_CODES = frozenset(("F8_E4M3", "F8_E5M2", "F8_E4M3FNUZ", "F8_E5M2FNUZ", "F8_E8M0", "F6_E2M3", "F6_E3M2", "F4"))
_PACKED = (".qweight", ".weight_packed", ".codebooks")
_BESIDE_A_WEIGHT = re.compile(r"(?P<linear>.+)\.(?:weight_(?:global_)?scale(?:_inv|_2)?|scale_weight|weight\.absmax|SCB|scales|qzeros)$")
"""Scales that lie next to the weight of a linear."""


def check_numbers(tensors: Mapping[str, TensorLocation], folder: Path) -> None:
    """Nothing, when the tensors that are taken as they are hold numbers. Raises RequestError: naming one that holds codes of quantized weights."""
    for name, location in tensors.items():
        dtype = location.info.dtype
        if dtype in _CODES or (name.endswith("weight") and dtype not in _NUMBERS) or name.endswith(_PACKED):
            raise RequestError(
                f"the tensor {clean(name, limit=200)!r} in {shown(folder)} is quantized ({dtype}), but config.json has no quantization_config that "
                "covers it: fetch config.json, or quantize_config.json next to it, again"
            )


def check_scales(tensors: Mapping[str, TensorLocation], folder: Path) -> None:
    """Nothing, when no weight has a scale next to it. Raises RequestError: naming the scale; its weight holds codes, whatever their dtype."""
    for name in tensors:
        found = _BESIDE_A_WEIGHT.match(name)
        if found is not None and f"{found['linear']}.weight" in tensors:
            raise RequestError(
                f"the tensor {clean(name, limit=200)!r} in {shown(folder)} is not part of the model that config.json describes: it is part of "
                "quantized weights whose format config.json does not state in quantization_config, fetch config.json again"
            )
