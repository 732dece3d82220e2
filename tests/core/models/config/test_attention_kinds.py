"""Blocks that keep a window, by the rules of families whose file does not list them, against the cache that transformers makes."""

from __future__ import annotations

import json
from typing import Any

import pytest
from transformers import CONFIG_MAPPING, DynamicCache

from core.models.config.cache_blocks import cache_blocks
from core.models.config.normal_config import normalize

_SIZES: dict[str, Any] = {"hidden_size": 64, "num_attention_heads": 4, "num_key_value_heads": 2, "vocab_size": 320, "head_dim": 16}
_PLAIN = (
    *("mistral", "mixtral", "phi3", "starcoder2", "ministral3", "doge", "gemma2", "vaultgemma", "gpt_oss", "gemma3_text", "cohere2", "olmo3"),
    *("exaone4", "exaone_moe", "cwm", "granite_swa", "granitemoe_swa", "kolibri1", "beam", "flint", "gemma4_text", "inkling_text", "mimo_v2_flash"),
)
_FAMILIES: dict[str, dict[str, Any]] = {
    **{family: {} for family in _PLAIN},
    "qwen2": {"use_sliding_window": True, "max_window_layers": 3},
    "qwen3_moe": {"use_sliding_window": True, "max_window_layers": 3},
    "afmoe": {"global_attn_every_n_layers": 3},
    "cohere2_moe": {"first_k_dense_replace": 3, "prefix_dense_sliding_window_pattern": 2},
    "modernbert-decoder": {"global_attn_every_n_layers": 4, "local_attention": 16},
}


@pytest.mark.parametrize("layers", [4, 7, 13])
@pytest.mark.parametrize("family", _FAMILIES)
def test_windows_are_those_of_transformers_cache(family: str, layers: int) -> None:
    made: Any = CONFIG_MAPPING[family]
    known = {name for part in made.__mro__ for name in getattr(part, "__annotations__", {})}
    sizes = {name: value for name, value in _SIZES.items() if name in known}
    raw = json.loads(made(**sizes, num_hidden_layers=layers).to_json_string(use_diff=False)) | _FAMILIES[family]
    raw |= {"sliding_window": 8} if "sliding_window" in known else {}
    raw.pop("layer_types", None)
    raw.pop("mlp_layer_types", None)
    windows = [getattr(layer, "sliding_window", None) for layer in DynamicCache(config=made.from_dict(raw)).layers]
    ours = [block.window for block, count in cache_blocks(normalize(raw)).items() for _ in range(count)]
    assert sorted(ours, key=str) == sorted(windows, key=str)


def test_blocks_with_a_window_have_twice_the_heads_in_mimo() -> None:
    kinds = ["full_attention", "sliding_attention"]
    raw = {**_SIZES, "model_type": "mimo_v2_flash", "sliding_window": 8, "num_hidden_layers": 2, "v_head_dim": 8, "layer_types": kinds}
    assert {(block.keys, block.values, block.window) for block in cache_blocks(normalize(raw))} == {(32, 16, None), (64, 32, 8)}
