"""What a quantization was asked to do, in a few words."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import PurePath
from typing import Any

from core.runs.store import Run
from core.sanitize import clean

_SCOPES = {"channel": "per channel", "tensor": "per tensor"}


def title(run: Run) -> str:
    """`gptq 4 bit, groups of 128: bundled:base`."""
    values = run.values
    what = "comparison of methods" if run.capability == "quantize-compare" else recipe(values)
    return f"{what}: {model(values)}"


def recipe(values: Mapping[str, Any]) -> str:
    """`gptq 4 bit g128`, with what departs from the defaults behind it."""
    scope = _SCOPES.get(str(values.get("granularity")), f"g{values.get('group_size')}")
    extras = [word for word, wanted in _EXTRAS if wanted(values)]
    return clean(" ".join([f"{values.get('method')} {values.get('bits')} bit {scope}", *extras]), limit=60)


def model(values: Mapping[str, Any]) -> str:
    """Last part of a path, or the name as it is."""
    name = str(values.get("model", ""))
    return clean(PurePath(name).name if name.startswith(("/", "./", "../", "~")) else name, limit=60)


_EXTRAS = (
    ("asym", lambda values: values.get("symmetric") is False),
    ("mse", lambda values: values.get("clipping") == "mse"),
    ("act-order", lambda values: values.get("act_order") is True and values.get("method") == "gptq"),
    ("w8a8", lambda values: values.get("activation_bits") == 8),
)
