"""What a model folder says about how its weights are quantized, in all places where that is said."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from core.models.disk.files import read_object

_KEYS = ("quantization_config", "compression_config")
_NESTED = ("text_config", "llm_config", "language_config", "thinker_config")
_BESIDE = {"quantize_config.json": "gptq", "quant_config.json": "awq", "hf_quant_config.json": "modelopt"}
"""Files of other tools next to config.json, and the method that they mean when they name none."""


def quantization_of(config: Mapping[str, object], folder: Path | None = None) -> dict[str, object] | None:
    """The `quantization_config` of a model; None when its weights are plain numbers.

    Args:
        config: contents of config.json.
        folder: where the file is; other tools write quantize_config.json, quant_config.json or hf_quant_config.json next to it.

    Raises:
        RequestError: such a file is damaged.
    """
    for part in (config, *(config.get(key) for key in _NESTED)):
        for key in _KEYS:
            found = part.get(key) if isinstance(part, Mapping) else None
            if isinstance(found, dict) and found:
                return found if key == _KEYS[0] else {"quant_method": "compressed-tensors", **found}
    for file, method in _BESIDE.items():
        if folder is not None and (folder / file).is_file():
            return {"quant_method": method, **read_object(folder / file)}
    return None
