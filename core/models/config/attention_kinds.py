"""Which blocks of a decoder hold a growing cache, which only a window, which a state of fixed size."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

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


def _every_but_nth(default: int) -> Callable[[NormalConfig], int]:
    """All blocks slide except every n-th."""

    def rule(config: NormalConfig) -> int:
        period = config.optional_count("sliding_window_pattern") or default
        return config.layers - config.layers // period

    return rule


def _all(config: NormalConfig) -> int:
    """Every block slides where the file itself states the window, or transformers' default has one."""
    return config.layers if "sliding_window" not in config.text or config.text["sliding_window"] else 0


def _qwen(config: NormalConfig) -> int:
    if not config.flag("use_sliding_window"):
        return 0
    first = config.get("max_window_layers")
    return max(0, config.layers - first) if type(first) is int else 0


def _every_nth_is_attention(key: str, default: int) -> Callable[[NormalConfig], int]:
    """Recurrent blocks, of which every n-th is an attention instead: the last of each n, or the one at `attn_layer_offset`."""

    def rule(config: NormalConfig) -> int:
        period = config.optional_count(key) or default
        offset = config.get("attn_layer_offset", period - 1)
        return config.layers - len(range(offset if type(offset) is int and offset >= 0 else period - 1, config.layers, period))

    return rule


_SLIDING_RULES: dict[str, Callable[[NormalConfig], int]] = {
    **dict.fromkeys(("mistral", "mixtral", "phi3", "starcoder2", "phimoe", "ministral"), _all),
    **dict.fromkeys(("qwen2", "qwen3", "qwen2_moe", "qwen3_moe", "qwen2_vl_text", "qwen2_5_vl_text"), _qwen),
    **dict.fromkeys(("gemma2", "gpt_oss"), _every_but_nth(2)),
    "gemma3_text": _every_but_nth(6),
    **dict.fromkeys(("cohere2", "olmo3"), _every_but_nth(4)),
    "gemma3n_text": _every_but_nth(5),
    "llama4_text": _every_but_nth(4),
}

_RECURRENT_RULES: dict[str, Callable[[NormalConfig], int]] = {
    **dict.fromkeys(("qwen3_next", "qwen3_5_text", "qwen3_5_moe_text"), _every_nth_is_attention("full_attention_interval", 4)),
    "jamba": _every_nth_is_attention("attn_layer_period", 8),
    **dict.fromkeys(STATE_ONLY, lambda config: config.layers),
}
