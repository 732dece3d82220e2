"""Tiny random models of many families, saved as transformers saves them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

_MODERN: dict[str, Any] = {
    "hidden_size": 64,
    "intermediate_size": 96,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": 16,
    "vocab_size": 320,
    "max_position_embeddings": 128,
    "bos_token_id": 0,
    "eos_token_id": 1,
    "pad_token_id": None,
}
_CLASSIC: dict[str, Any] = {
    "hidden_size": 64,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
    "vocab_size": 320,
    "bos_token_id": 0,
    "eos_token_id": 1,
}
_SLIDING = {**_MODERN, "sliding_window": 8}
_EXPERTS = {**_MODERN, "num_local_experts": 4, "num_experts": 4, "moe_intermediate_size": 32, "num_experts_per_tok": 2}

FAMILIES: dict[str, dict[str, Any]] = {
    "llama": _MODERN,
    "llama tied": {**_MODERN, "tie_word_embeddings": True},
    "mistral": _SLIDING,
    "qwen2": {**_MODERN, "use_sliding_window": True, "sliding_window": 8, "max_window_layers": 1},
    "qwen3": _MODERN,
    "gemma": _MODERN,
    "gemma2": _SLIDING,
    "gemma3_text": {**_SLIDING, "sliding_window_pattern": 2},
    "phi3": _MODERN,
    "opt": {**_CLASSIC, "ffn_dim": 96, "word_embed_proj_dim": 32, "max_position_embeddings": 128},
    "gpt2": {"n_embd": 64, "n_layer": 3, "n_head": 4, "vocab_size": 320, "n_positions": 128, "bos_token_id": 0, "eos_token_id": 1},
    "gpt_neox": {**_CLASSIC, "intermediate_size": 96, "max_position_embeddings": 128},
    "falcon": _CLASSIC,
    "falcon alibi": {**_CLASSIC, "alibi": True, "new_decoder_architecture": True},
    "bloom": {"hidden_size": 64, "n_layer": 3, "n_head": 4, "vocab_size": 320},
    "phi": {**_CLASSIC, "intermediate_size": 96, "max_position_embeddings": 128},
    "starcoder2": _SLIDING,
    "cohere2": _SLIDING,
    "olmo2": _MODERN,
    "mixtral": {**_MODERN, "num_local_experts": 4, "num_experts_per_tok": 2},
    "qwen3_moe": _EXPERTS,
    "gemma3": {},
    "gemma3n_text": {
        **_SLIDING,
        "num_hidden_layers": 5,
        "vocab_size_per_layer_input": 320,
        "hidden_size_per_layer_input": 16,
        "num_kv_shared_layers": 0,
        "laurel_rank": 8,
        "activation_sparsity_pattern": [0.0] * 5,
        "layer_types": ["sliding_attention"] * 4 + ["full_attention"],
    },
    "gpt_oss": {**_SLIDING, "num_local_experts": 4, "num_experts_per_tok": 2},
}


def save(family: str, folder: Path, dtype: str = "float32", **changes: Any) -> Path:
    """A model of the family with random weights, norms included."""
    import torch
    from transformers import CONFIG_MAPPING, AutoModelForCausalLM

    torch.manual_seed(0)
    config = CONFIG_MAPPING[family.partition(" ")[0]](**{**FAMILIES[family], **changes})
    model = AutoModelForCausalLM.from_config(config)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.copy_(torch.randn_like(parameter) * 0.05 + (1.0 if parameter.ndim == 1 else 0.0))
    model.to(getattr(torch, dtype)).save_pretrained(folder)
    return folder
