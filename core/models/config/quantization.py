"""What a model folder says about how its weights are quantized, in all places where that is said."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from core.errors import RequestError
from core.models.disk.files import read_object, shown

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
        RequestError: such a file is damaged, or a `quantization_config` that says nothing, which transformers does not load.
    """
    for part in (config, *(config.get(key) for key in _NESTED)):
        for key in _KEYS:
            found = part.get(key) if isinstance(part, Mapping) else None
            if found is None:
                continue
            if not isinstance(found, dict) or not found:
                where = "config.json" if folder is None else shown(folder / "config.json")
                raise RequestError(f"{where} has a {key} that states no method: remove it where the weights are plain, else fetch config.json again")
            return found if key == _KEYS[0] else {"quant_method": "compressed-tensors", **found}
    for file, method in _BESIDE.items():
        if folder is not None and (folder / file).is_file():
            stated = read_object(folder / file)
            if not _only_the_cache(stated):
                return {"quant_method": method, **stated}
    return None


def stated_where(config: Mapping[str, object], folder: Path) -> Path:
    """The file of a folder that says how its weights are quantized: config.json, or one next to it."""
    inside = any(isinstance(part, Mapping) and part.get(key) for part in (config, *(config.get(key) for key in _NESTED)) for key in _KEYS)
    beside = next((folder / file for file in _BESIDE if (folder / file).is_file()), None)
    return folder / "config.json" if inside or beside is None else beside


def _only_the_cache(stated: Mapping[str, object]) -> bool:
    """Whether ModelOpt's file leaves the weights as they are, as it does where only keys and values are rounded."""
    nested = stated.get("quantization")
    return isinstance(nested, Mapping) and "quant_algo" in nested and nested["quant_algo"] is None
