"""How the blocks of decoder families are built, one row a family: enough to count parameters and linears from a configuration alone.

A family without a row is taken to be built like Llama, where transformers cannot say more (`core.models.meta`). Where weights are present
their headers are counted instead, and no row is needed.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

Bias = bool | str
"""True or False, or the name of the configuration's flag that says so."""


@dataclass(frozen=True)
class Family:
    """Names and options of a block's parts."""

    qkv: tuple[str, ...] = ("self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj")
    """Names of the query, key and value linears; one name: they are one fused linear."""
    output: str = "self_attn.o_proj"
    gate_up: tuple[str, ...] = ("mlp.gate_proj", "mlp.up_proj")
    """Two names: gate and up; one name: what `gated` says."""
    down: str = "mlp.down_proj"
    gated: bool = True
    qkv_bias: Bias = "attention_bias"
    output_bias: Bias = "attention_bias"
    mlp_bias: Bias = "mlp_bias"
    norms: int = 2
    """Norms as wide as the hidden state in a block."""
    norm_bias: bool = False
    norms_of: Literal["flag"] | None = None
    """`flag`: the number of norms follows Falcon's flags."""
    qk_norm: Literal["head", "width"] | None = None
    """Norms of queries and keys: one head wide, or all heads wide."""
    final_norm: bool = True
    head_bias: bool = False
    positions_offset: int | None = None
    """None: no learned positions; otherwise rows more than the context that their table has."""
    router: str = "mlp.gate"
    expert_prefix: str = "mlp.experts"


LLAMA = Family()

_LAYER_NORMED = Family(norm_bias=True, qkv_bias=True, output_bias=True, mlp_bias=True, gated=False)

FAMILIES: dict[str, Family] = {
    "qwen2": replace(LLAMA, qkv_bias=True, output_bias=False),
    "qwen2_moe": replace(LLAMA, qkv_bias=True, output_bias=False),
    "qwen3": replace(LLAMA, qk_norm="head"),
    "qwen3_moe": replace(LLAMA, qk_norm="head"),
    "gemma2": replace(LLAMA, norms=4),
    "gemma3_text": replace(LLAMA, norms=4, qk_norm="head"),
    "olmo2": replace(LLAMA, qk_norm="width"),
    "olmo3": replace(LLAMA, qk_norm="width"),
    "phi3": replace(LLAMA, qkv=("self_attn.qkv_proj",), gate_up=("mlp.gate_up_proj",), qkv_bias=False, output_bias=False, mlp_bias=False),
    "cohere": replace(LLAMA, norms=1),
    "cohere2": replace(LLAMA, norms=1),
    "starcoder2": replace(
        LLAMA, gate_up=("mlp.c_fc",), down="mlp.c_proj", gated=False, norm_bias=True, qkv_bias="use_bias", output_bias="use_bias", mlp_bias="use_bias"
    ),
    "phi": replace(_LAYER_NORMED, output="self_attn.dense", gate_up=("mlp.fc1",), down="mlp.fc2", norms=1, head_bias=True),
    "opt": replace(_LAYER_NORMED, output="self_attn.out_proj", gate_up=("fc1",), down="fc2", positions_offset=2),
    "gpt2": replace(_LAYER_NORMED, qkv=("attn.c_attn",), output="attn.c_proj", gate_up=("mlp.c_fc",), down="mlp.c_proj", positions_offset=0),
    "gpt_bigcode": replace(_LAYER_NORMED, qkv=("attn.c_attn",), output="attn.c_proj", gate_up=("mlp.c_fc",), down="mlp.c_proj", positions_offset=0),
    "gpt_neox": replace(
        _LAYER_NORMED, qkv=("attention.query_key_value",), output="attention.dense", gate_up=("mlp.dense_h_to_4h",), down="mlp.dense_4h_to_h"
    ),
    "gptj": replace(
        _LAYER_NORMED,
        qkv=("attn.q_proj", "attn.k_proj", "attn.v_proj"),
        output="attn.out_proj",
        gate_up=("mlp.fc_in",),
        down="mlp.fc_out",
        qkv_bias=False,
        output_bias=False,
        norms=1,
        head_bias=True,
    ),
    "bloom": replace(
        _LAYER_NORMED,
        qkv=("self_attention.query_key_value",),
        output="self_attention.dense",
        gate_up=("mlp.dense_h_to_4h",),
        down="mlp.dense_4h_to_h",
    ),
    "falcon": replace(
        _LAYER_NORMED,
        qkv=("self_attention.query_key_value",),
        output="self_attention.dense",
        gate_up=("mlp.dense_h_to_4h",),
        down="mlp.dense_4h_to_h",
        qkv_bias="bias",
        output_bias="bias",
        mlp_bias="bias",
        norms_of="flag",
    ),
}


EXACT = frozenset(
    (
        *("llama", "mistral", "ministral3", "mixtral", "qwen2", "qwen2_moe", "qwen3", "qwen3_moe", "gemma", "gemma2", "gemma3_text", "phi", "phi3"),
        *("gpt2", "gpt_bigcode", "gpt_neox", "gptj", "opt", "bloom", "falcon", "starcoder2", "olmo2", "olmo3", "cohere2", "granite", "smollm3"),
        *("deepseek_v2", "deepseek_v3", "ernie4_5"),
    )
)
"""Families whose parameters and linears are computed exactly; transformers is asked about others."""


def family(model_type: str) -> Family:
    """The row of a `model_type`, Llama's when it has none."""
    return FAMILIES.get(model_type, LLAMA)
