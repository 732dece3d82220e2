"""Do a configuration's sizes and a checkpoint's tensors belong together? Asked before transformers allocates what the configuration says."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from core.errors import RequestError
from core.models.config.normal_config import NormalConfig
from core.models.disk.files import shown
from core.models.disk.headers import TensorLocation

_LONGEST_CONTEXT = 2**27


def check_consistent(config: NormalConfig, tensors: Mapping[str, TensorLocation], folder: Path) -> None:
    """Nothing, when no size that the configuration states goes beyond what the weights can hold.

    Raises:
        RequestError: a size that no tensor has, more blocks than tensors, or a context of no real model.
    """
    shapes = [location.info.shape for location in tensors.values()]
    sizes = {size for shape in shapes for size in shape}
    largest = max(sizes, default=0)
    for name in ("hidden_size", "vocab_size"):
        if config.count(name) not in sizes:
            raise _mismatch(folder, name, config.count(name))
    for name, value, limit in (
        ("num_hidden_layers", config.layers, len(shapes)),
        ("num_attention_heads", config.heads, largest),
        ("num_key_value_heads", config.kv_heads, largest),
        ("head_dim", config.head_dim, largest),
        ("intermediate_size", config.optional_count("intermediate_size") or 1, largest * largest),
        ("max_position_embeddings", config.count("max_position_embeddings", 1), _LONGEST_CONTEXT),
    ):
        if value > limit:
            raise _mismatch(folder, name, value)


def _mismatch(folder: Path, name: str, value: int) -> RequestError:
    return RequestError(f"{shown(folder / 'config.json')} says {name} = {value:,}, but its weights do not: the two do not belong together")
