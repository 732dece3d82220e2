"""What each decoder block adds to the KV cache for a token, as transformers caches it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from core.models.config.attention_kinds import attention_kinds, is_recurrent, is_sliding
from core.models.config.normal_config import NormalConfig


@dataclass(frozen=True)
class CacheBlock:
    """One decoder block that keeps keys and values."""

    keys: int
    """Values of a token's keys, over all heads."""
    values: int
    window: int | None
    """Tokens that it keeps at most; None: all."""


def cache_blocks(config: NormalConfig) -> Counter[CacheBlock]:
    """The blocks that keep keys and values, equal ones counted. Blocks with a recurrent state, without attention, or that reuse the keys and
    values of an earlier block are left out."""
    return Counter(_blocks(config))


def _blocks(config: NormalConfig) -> Iterator[CacheBlock]:
    kinds, types = attention_kinds(config), config.layer_types()
    if types is None:
        types = ["full_attention"] * kinds.full + ["sliding_attention"] * kinds.sliding
    shared = config.optional_count("num_kv_shared_layers") or 0
    heads_by_block = config.get("num_key_value_heads")
    overrides = config.get("per_layer_config")
    for index, kind in enumerate(types[: max(config.layers - shared, 0)]):
        if is_recurrent(kind):
            continue
        window = kinds.window if is_sliding(kind) else None
        heads, key, value = _heads_and_widths(config, sliding=window is not None)
        if isinstance(heads_by_block, list) and index < len(heads_by_block) and type(heads_by_block[index]) is int:
            heads = max(heads_by_block[index], 0)
        own = overrides.get(str(index), overrides.get(index)) if isinstance(overrides, Mapping) else None
        if isinstance(own, Mapping):
            heads = _own(own, "num_key_value_heads", heads)
            key, value = _own(own, "head_dim", key), _own(own, "v_head_dim", _own(own, "head_dim", value))
        if heads:
            yield CacheBlock(heads * key, heads * value, window)


def _own(block: Mapping[str, object], name: str, default: int) -> int:
    """What a block's own configuration says."""
    value = block.get(name)
    return value if type(value) is int and 0 < value < _MOST else default


def _heads_and_widths(config: NormalConfig, sliding: bool) -> tuple[int, int, int]:
    """KV heads of a block, and the widths of a key and of a value."""
    if latent := config.optional_count("kv_lora_rank"):
        return 1, latent, config.count("qk_rope_head_dim")
    heads, width = config.kv_heads, config.head_dim
    if config.model_type in _WIDE_GLOBAL and not sliding:
        shared = config.flag("attention_k_eq_v") and config.optional_count("num_global_key_value_heads")
        wide = config.optional_count("global_head_dim") or 512
        return shared or heads, wide, wide
    value = config.optional_count("v_head_dim")
    if sliding:
        width = config.optional_count("swa_head_dim") or width
        value = config.optional_count("swa_v_head_dim") or value
        doubled = 2 * heads if config.model_type == "mimo_v2_flash" else heads
        heads = config.optional_count("swa_num_key_value_heads") or doubled
    return heads, width, value or width


_MOST = 2**31
_WIDE_GLOBAL = {"gemma4_text", "gemma4_unified_text"}
"""Families whose blocks without a window have heads of another width."""
