"""The formats by the `quant_method` of config.json; each is imported when it is first needed."""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from pathlib import Path
from typing import cast

from core.errors import RequestError
from core.formats.base import Format
from core.models.disk.files import shown
from core.sanitize import clean

FORMATS: dict[str, str] = {
    "compressed-tensors": "core.formats.layouts.compressed_tensors.config_groups:ConfigGroups",
    "gptq": "core.formats.layouts.gptq:Gptq",
    "awq": "core.formats.layouts.awq:Awq",
    "auto-round": "core.formats.layouts.auto_round:AutoRound",
    "intel/auto-round": "core.formats.layouts.auto_round:AutoRound",
    "bitsandbytes": "core.formats.layouts.bitsandbytes:BitsAndBytes",
    "aqlm": "core.formats.layouts.aqlm:Aqlm",
    "fp8": "core.formats.layouts.fine_grained_fp8:FineGrainedFp8",
}


def format_class(quant_method: str) -> type[Format]:
    """The class of a format. Raises KeyError: not a known one."""
    module, _, name = FORMATS[quant_method].partition(":")
    return cast("type[Format]", getattr(import_module(module), name))


def read_format(config: Mapping[str, object], folder: Path) -> Format:
    """The format of a checkpoint by its `quantization_config`. Raises RequestError: it names no format, or one that cannot be read."""
    method = config.get("quant_method")
    if not isinstance(method, str) or method not in FORMATS:
        known = ", ".join(FORMATS)
        raise RequestError(f"{shown(folder)} is quantized by {clean(str(method), limit=40)!r}, which is not supported: known are {known}")
    return format_class(method).from_config(config)
