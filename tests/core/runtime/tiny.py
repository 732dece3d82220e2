"""Tiny random models of many families, whose texts do not repeat themselves."""

from __future__ import annotations

from typing import Any

import torch
import transformers
from torch import Tensor
from transformers import AutoModelForCausalLM, PreTrainedModel

VOCABULARY = 320
WINDOW = 8

_SIZES: dict[str, Any] = {"vocab_size": VOCABULARY, "eos_token_id": None, "bos_token_id": None, "pad_token_id": 0, "initializer_range": 0.3}
_SHAPE: dict[str, Any] = _SIZES | {
    "hidden_size": 64,
    "intermediate_size": 96,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 256,
}
_HEADED: dict[str, Any] = _SHAPE | {"head_dim": 32}
_UNTIED: dict[str, Any] = _HEADED | {"tie_word_embeddings": False}
_GPT2: dict[str, Any] = _SIZES | {"n_embd": 64, "n_layer": 2, "n_head": 4, "n_positions": 256}
_LLAMA3_ROPE: dict[str, Any] = {
    "rope_type": "llama3",
    "rope_theta": 10000.0,
    "factor": 4.0,
    "low_freq_factor": 1.0,
    "high_freq_factor": 4.0,
    "original_max_position_embeddings": 64,
}
_KINDS = ["sliding_attention", "full_attention", "sliding_attention"]

FUSED: dict[str, tuple[str, dict[str, Any]]] = {
    "llama": ("Llama", _HEADED),
    "llama, biases, scaled positions": ("Llama", _HEADED | {"attention_bias": True, "mlp_bias": True, "rope_parameters": _LLAMA3_ROPE}),
    "mistral, all heads": ("Mistral", _SHAPE | {"num_key_value_heads": 4, "sliding_window": None}),
    "mistral, window": ("Mistral", _SHAPE | {"sliding_window": WINDOW}),
    "qwen2, tied": ("Qwen2", _SHAPE | {"tie_word_embeddings": True}),
    "qwen2, window": ("Qwen2", _SHAPE | {"use_sliding_window": True, "sliding_window": WINDOW, "max_window_layers": 1}),
    "qwen3": ("Qwen3", _HEADED),
    "smollm3": ("SmolLM3", _SHAPE | {"no_rope_layers": [1, 0, 1]}),
    "granite": ("Granite", _SHAPE | {"embedding_multiplier": 3.0, "residual_multiplier": 0.5, "logits_scaling": 2.0, "attention_multiplier": 0.2}),
    "phi3, partly rotated": ("Phi3", _SHAPE | {"rope_parameters": {"rope_type": "default", "rope_theta": 1e4, "partial_rotary_factor": 0.5}}),
    "phi3, window": ("Phi3", _SHAPE | {"sliding_window": WINDOW}),
    "olmo2": ("Olmo2", _SHAPE),
    "gemma": ("Gemma", _HEADED | {"num_key_value_heads": 1}),
    "gemma2": ("Gemma2", _UNTIED | {"sliding_window": WINDOW, "layer_types": _KINDS, "query_pre_attn_scalar": 20, "final_logit_softcapping": 8.0}),
    "gemma3": ("Gemma3Text", _UNTIED | {"sliding_window": WINDOW, "layer_types": _KINDS, "query_pre_attn_scalar": 20}),
}
OTHERS: dict[str, tuple[str, dict[str, Any]]] = {
    "gpt2": ("GPT2", _GPT2),
    "gpt_neox": ("GPTNeoX", _SHAPE),
    "opt": ("OPT", _SHAPE | {"ffn_dim": 96, "word_embed_proj_dim": 64}),
    "falcon": ("Falcon", _SHAPE | {"new_decoder_architecture": False, "multi_query": True}),
    "starcoder2": ("Starcoder2", _SHAPE | {"sliding_window": WINDOW}),
    "mixtral": ("Mixtral", _SHAPE | {"num_local_experts": 4, "num_experts_per_tok": 2, "sliding_window": None}),
    "cohere": ("Cohere", _SHAPE),
    "stablelm": ("StableLm", _SHAPE),
    "phi": ("Phi", _SHAPE),
    "gemma2": FUSED["gemma2"],
    "gemma3": FUSED["gemma3"],
    "mistral, window": FUSED["mistral, window"],
    "phi3, window": FUSED["phi3, window"],
    "qwen2, window": FUSED["qwen2, window"],
    "olmo2": FUSED["olmo2"],
}


_MIXED: dict[str, Any] = _SHAPE | {"num_experts": 4, "num_local_experts": 4, "num_experts_per_tok": 2, "moe_intermediate_size": 48}
_LATENT: dict[str, Any] = _MIXED | {
    "q_lora_rank": 16,
    "kv_lora_rank": 16,
    "qk_rope_head_dim": 8,
    "qk_nope_head_dim": 16,
    "v_head_dim": 16,
    "n_routed_experts": 4,
    "n_group": 1,
    "topk_group": 1,
    "num_key_value_heads": 4,
    "first_k_dense_replace": 1,
}
_MPT: dict[str, Any] = _SIZES | {"d_model": 64, "n_heads": 4, "n_layers": 2, "max_seq_len": 256}
MANY: dict[str, tuple[str, dict[str, Any]]] = {
    "gptj": ("GPTJ", _GPT2 | {"rotary_dim": 8}),
    "gpt_bigcode": ("GPTBigCode", _GPT2),
    "gpt_neo, local": (
        "GPTNeo",
        _SIZES | {"hidden_size": 64, "num_layers": 2, "num_heads": 4, "attention_types": [[["global", "local"], 1]], "window_size": WINDOW},
    ),
    "mpt, alibi": ("Mpt", _MPT),
    "falcon, alibi": ("Falcon", _SHAPE | {"alibi": True}),
    "olmo": ("Olmo", _SHAPE),
    "olmo3": ("Olmo3", _SHAPE | {"sliding_window": WINDOW}),
    "olmoe": ("Olmoe", _MIXED),
    "qwen2_moe": ("Qwen2Moe", _MIXED | {"shared_expert_intermediate_size": 48}),
    "qwen3_moe": ("Qwen3Moe", _MIXED | {"head_dim": 32}),
    "deepseek_v3": ("DeepseekV3", _LATENT),
    "gpt_oss": ("GptOss", _MIXED | {"head_dim": 32, "sliding_window": WINDOW}),
    "granitemoe": ("GraniteMoe", _MIXED),
    "phimoe": ("Phimoe", _MIXED),
    "persimmon": ("Persimmon", _SHAPE),
    "glm4": ("Glm4", _SHAPE | {"head_dim": 16}),
    "nemotron": ("Nemotron", _SHAPE),
    "cohere2": ("Cohere2", _SHAPE | {"sliding_window": WINDOW}),
    "exaone4": ("Exaone4", _SHAPE | {"sliding_window": WINDOW}),
    "arcee": ("Arcee", _SHAPE),
    "ernie4_5": ("Ernie4_5", _SHAPE),
    "seed_oss": ("SeedOss", _SHAPE | {"head_dim": 16}),
}


def config_of(name: str) -> Any:
    family, values = (FUSED | OTHERS | MANY)[name]
    return getattr(transformers, f"{family}Config")(**values)


def model_of(config: Any) -> PreTrainedModel:
    torch.manual_seed(1)
    model = AutoModelForCausalLM.from_config(config, dtype=torch.float32).eval().requires_grad_(False)
    for name, parameter in model.named_parameters():
        if parameter.ndim == 1:
            parameter.data += 0.1 * torch.randn(parameter.shape, generator=torch.Generator().manual_seed(len(name)))
    return model


def prompts(count: int, batch: int = 1, seed: int = 5) -> Tensor:
    return torch.randint(1, VOCABULARY, (batch, count), generator=torch.Generator().manual_seed(seed))


def padded(lengths: list[int], seed: int = 5) -> tuple[Tensor, Tensor]:
    """Prompts of these lengths, padded on the left, and which tokens are real."""
    width = max(lengths)
    real = torch.arange(width)[None] >= width - torch.tensor(lengths)[:, None]
    return prompts(width, len(lengths), seed) * real, real


def by_transformers(model: PreTrainedModel, prompt: Tensor, count: int, real: Tensor | None = None) -> list[list[int]]:
    mask = torch.ones_like(prompt) if real is None else real.long()
    output: Tensor = model.generate(prompt, attention_mask=mask, max_new_tokens=count, do_sample=False, pad_token_id=0)  # type: ignore[operator]
    return output[:, prompt.shape[1] :].tolist()
