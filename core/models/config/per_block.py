"""Which fields of a configuration describe decoder blocks one by one, or couple them."""

from __future__ import annotations

from collections.abc import Mapping

from core.models.config.normal_config import NormalConfig

COUPLING = (
    *("num_kv_shared_layers", "hidden_size_per_layer_input", "num_nextn_predict_layers", "num_mtp_layers", "mtp_num_hidden_layers"),
    *("cross_attention_layers", "cross_layer_kv_sharing", "cla_share_factor"),
)
"""Blocks that share a cache, embeddings of their own for each block, blocks that predict further tokens."""
LISTS = ("layer_types", "mlp_layer_types", "no_rope_layers")
"""Fields with one item per block that are cut with the blocks."""
PERIODS = (
    *("sliding_window_pattern", "_sliding_window_pattern", "no_rope_layer_interval", "max_window_layers", "full_attention_interval"),
    *("attn_layer_period", "attn_layer_offset", "expert_layer_period", "expert_layer_offset", "decoder_sparse_step", "first_k_dense_replace"),
)
"""Fields from which lists are derived by a block's number; they would give the blocks that stay other roles, so the lists replace them."""
_NOT_PER_BLOCK = ("architectures", "eos_token_id", "bos_token_id", "pad_token_id", "suppress_tokens", "keys_to_ignore_at_inference", "bad_words_ids")


def fields_per_block(config: NormalConfig) -> list[str]:
    """Names, in the order of the file: lists as long as there are blocks, and of `COUPLING` what is not zero, empty or false."""
    layers = config.layers
    return [name for name, value in config.text.items() if (name in COUPLING and value) or is_per_block(name, value, layers)]


def is_per_block(name: str, value: object, layers: int) -> bool:
    """Whether a field lists something for each block."""
    return name not in _NOT_PER_BLOCK and isinstance(value, list) and len(value) == layers


def lists_per_block(fields: Mapping[str, object], layers: int) -> dict[str, list[object]]:
    """The lists of a configuration that have one item per block."""
    return {name: value for name, value in fields.items() if isinstance(value, list) and is_per_block(name, value, layers)}


def unknown_lists(names: tuple[str, ...]) -> str | None:
    """What is said of fields with one item per block whose meaning is not known; None when there are none."""
    unknown = [name for name in names if name not in LISTS]
    if not unknown:
        return None
    return f"config.json describes blocks one by one in {', '.join(unknown)}, which cannot be cut safely: choose another method or model"
