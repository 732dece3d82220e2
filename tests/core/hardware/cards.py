"""Cards of well-known models, from the public facts of their config.json."""

from __future__ import annotations

from functools import cache
from typing import Any

from core.models.card import ModelCard


def _llama(hidden: int, wide: int, layers: int, heads: int, kv: int, vocabulary: int, context: int, **more: Any) -> dict[str, Any]:
    return {
        "architectures": ["LlamaForCausalLM"],
        "model_type": "llama",
        "hidden_size": hidden,
        "intermediate_size": wide,
        "num_hidden_layers": layers,
        "num_attention_heads": heads,
        "num_key_value_heads": kv,
        "vocab_size": vocabulary,
        "max_position_embeddings": context,
        "tie_word_embeddings": False,
    } | more


CONFIGS: dict[str, dict[str, Any]] = {
    "Llama-2-7B": _llama(4096, 11008, 32, 32, 32, 32000, 4096),
    "Llama-2-13B": _llama(5120, 13824, 40, 40, 40, 32000, 4096),
    "Llama-3-8B": _llama(4096, 14336, 32, 32, 8, 128256, 8192),
    "Mistral-7B": _llama(4096, 14336, 32, 32, 8, 32000, 32768, architectures=["MistralForCausalLM"], model_type="mistral"),
    "Llama-3-70B": _llama(8192, 28672, 80, 64, 8, 128256, 8192),
    "Llama-3.1-405B": _llama(16384, 53248, 126, 128, 8, 128256, 131072),
    "Llama-3.2-1B": _llama(2048, 8192, 16, 32, 8, 128256, 131072, tie_word_embeddings=True, head_dim=64),
    "Qwen2.5-0.5B": _llama(
        896,
        4864,
        24,
        14,
        2,
        151936,
        32768,
        architectures=["Qwen2ForCausalLM"],
        model_type="qwen2",
        tie_word_embeddings=True,
        use_sliding_window=False,
    ),
    "Qwen3-8B": _llama(4096, 12288, 36, 32, 8, 151936, 40960, architectures=["Qwen3ForCausalLM"], model_type="qwen3", head_dim=128),
    "Phi-3-mini": _llama(3072, 8192, 32, 32, 32, 32064, 4096, architectures=["Phi3ForCausalLM"], model_type="phi3", sliding_window=2047),
    "TinyLlama-1.1B": _llama(2048, 5632, 22, 32, 4, 32000, 2048),
}


@cache
def card(name: str) -> ModelCard:
    return ModelCard.from_config(CONFIGS[name], name=name)
