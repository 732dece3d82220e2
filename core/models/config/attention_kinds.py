"""Which blocks of a decoder hold a growing cache, which only a window, which a state of fixed size."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from math import ceil

from core.models.config.normal_config import STATE_ONLY, NormalConfig

_SLIDING = {"sliding_attention", "chunked_attention", "hybrid_sliding", "sliding", "local"}
_RECURRENT = {"linear_attention", "mamba", "mamba2", "recurrent", "conv", "ssm", "rwkv", "moe", "mlp"}
"""Among them blocks without any attention, which keep nothing."""


@dataclass(frozen=True)
class AttentionKinds:
    """Blocks by what they keep of the past."""

    full: int
    sliding: int
    recurrent: int
    window: int | None
    """Tokens that a sliding block keeps."""


def is_sliding(kind: str) -> bool:
    """Whether a block of this kind keeps a window."""
    return kind in _SLIDING


def is_recurrent(kind: str) -> bool:
    """Whether a block of this kind keeps no keys and values."""
    return kind in _RECURRENT


def attention_kinds(config: NormalConfig) -> AttentionKinds:
    """Count the blocks of each kind, by the file's `layer_types`, else by the rule of the family."""
    layers = config.layers
    window = config.optional_count("sliding_window") or config.optional_count("attention_chunk_size")
    types = config.layer_types()
    if types is not None:
        recurrent = sum(kind in _RECURRENT for kind in types)
        sliding = sum(kind in _SLIDING for kind in types) if window else 0
    else:
        counted = _RECURRENT_RULES.get(config.model_type)
        recurrent = 0 if counted is None else counted(config)
        rule = _SLIDING_RULES.get(config.model_type)
        sliding = min(rule(config), layers - recurrent) if rule and window else 0
    return AttentionKinds(layers - sliding - recurrent, sliding, recurrent, window if sliding else None)


def _every_but_nth(default: int, *, key: str = "sliding_window_pattern", last: bool = False) -> Callable[[NormalConfig], int]:
    """All blocks slide except every n-th; `last`: and except the last one."""

    def rule(config: NormalConfig) -> int:
        period = config.optional_count(key) or default
        return config.layers - (ceil(config.layers / period) if last else config.layers // period)

    return rule


def _every_but_first_of(count: int, key: str = "") -> Callable[[NormalConfig], int]:
    """Of each n blocks all slide except the first."""

    def rule(config: NormalConfig) -> int:
        return config.layers - ceil(config.layers / (config.optional_count(key) or count))

    return rule


def _mimo(config: NormalConfig) -> int:
    """All blocks slide except the first and every sixth."""
    return sum(index > 0 and (index + 1) % 6 > 0 for index in range(config.layers))


def _flint(config: NormalConfig) -> int:
    """All blocks slide except the first two, every fourth and the last."""
    return sum(index >= 2 and index % 4 != 1 and index != config.layers - 1 for index in range(config.layers))


def _cohere2_moe(config: NormalConfig) -> int:
    """All blocks slide except every n-th, counted anew behind the dense ones, which have a period of their own."""
    dense = min(config.optional_count("first_k_dense_replace") or 0, config.layers)
    first, period = config.optional_count("prefix_dense_sliding_window_pattern") or 1, config.optional_count("sliding_window_pattern") or 4
    return dense - dense // first + (config.layers - dense) - (config.layers - dense) // period


def _all(config: NormalConfig) -> int:
    """Every block slides where the file itself states the window, or transformers' default has one."""
    return config.layers if "sliding_window" not in config.text or config.text["sliding_window"] else 0


def _qwen(config: NormalConfig) -> int:
    if not config.flag("use_sliding_window"):
        return 0
    first = config.get("max_window_layers")
    return max(0, config.layers - first) if type(first) is int else 0


def _where_asked_for(config: NormalConfig) -> int:
    """All blocks slide where the flag says so: there is no first block of them."""
    return config.layers if config.flag("use_sliding_window") else 0


def _every_nth_is_attention(key: str, default: int) -> Callable[[NormalConfig], int]:
    """Recurrent blocks, of which every n-th is an attention instead: the last of each n, or the one at `attn_layer_offset`."""

    def rule(config: NormalConfig) -> int:
        period = config.optional_count(key) or default
        offset = config.get("attn_layer_offset", period - 1)
        return config.layers - len(range(offset if type(offset) is int and offset >= 0 else period - 1, config.layers, period))

    return rule


_SLIDING_RULES: dict[str, Callable[[NormalConfig], int]] = {
    **dict.fromkeys(("mistral", "mixtral", "phi3", "starcoder2", "phimoe", "ministral", "ministral3", "doge"), _all),
    **dict.fromkeys(("qwen2", "qwen3", "qwen2_moe", "qwen2_vl_text", "qwen2_5_vl_text"), _qwen),
    "qwen3_moe": _where_asked_for,
    **dict.fromkeys(("gemma2", "gpt_oss", "vaultgemma"), _every_but_nth(2)),
    **dict.fromkeys(("gemma3_text", "inkling_text", "inkling2_text"), _every_but_nth(6)),
    **dict.fromkeys(("gemma4_text", "gemma4_unified_text", "beam"), _every_but_nth(6, last=True)),
    **dict.fromkeys(("cohere2", "olmo3", "exaone4", "exaone_moe", "llama4_text"), _every_but_nth(4)),
    **dict.fromkeys(("gemma3n_text", "kolibri1"), _every_but_nth(5)),
    "afmoe": _every_but_nth(4, key="global_attn_every_n_layers"),
    **dict.fromkeys(("cwm", "granite_swa", "granitemoe_swa"), _every_but_first_of(4)),
    "modernbert-decoder": _every_but_first_of(3, "global_attn_every_n_layers"),
    "mimo_v2_flash": _mimo,
    "flint": _flint,
    "cohere2_moe": _cohere2_moe,
}

_RECURRENT_RULES: dict[str, Callable[[NormalConfig], int]] = {
    **dict.fromkeys(("qwen3_next", "qwen3_5_text", "qwen3_5_moe_text"), _every_nth_is_attention("full_attention_interval", 4)),
    "jamba": _every_nth_is_attention("attn_layer_period", 8),
    **dict.fromkeys(STATE_ONLY, lambda config: config.layers),
}
