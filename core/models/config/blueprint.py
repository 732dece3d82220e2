"""Linears and parameters of a decoder from its configuration alone, for models whose weights are elsewhere."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass

from core.models.config.attention_kinds import attention_kinds
from core.models.config.families import Bias, Family, family
from core.models.config.normal_config import NormalConfig


@dataclass(frozen=True)
class Matrix:
    """Equal linears of the decoder blocks: `count` of them over all blocks, each [out_features, in_features]."""

    name: str
    out_features: int
    in_features: int
    count: int
    bias: bool = False

    @property
    def parameters(self) -> int:
        """Values of all of them, biases counted."""
        return self.count * self.out_features * (self.in_features + self.bias)


def block_linears(config: NormalConfig) -> tuple[Matrix, ...]:
    """The linears of all decoder blocks, equal ones summed."""
    row = family(config.model_type)
    kinds = attention_kinds(config)
    attention_blocks = config.layers - kinds.recurrent
    found = Counter[Matrix]()
    for matrix in (*_attention(config, row, attention_blocks), *_feed_forward(config, row)):
        if matrix.count:
            found[Matrix(matrix.name, matrix.out_features, matrix.in_features, 1, matrix.bias)] += matrix.count
    return tuple(Matrix(m.name, m.out_features, m.in_features, count, m.bias) for m, count in found.items())


def parameters(config: NormalConfig) -> int:
    """Parameters of the decoder with its embeddings, tied ones counted once."""
    row = family(config.model_type)
    hidden = config.count("hidden_size")
    embedding_width = config.optional_count("word_embed_proj_dim") or hidden
    embedding = config.count("vocab_size") * embedding_width
    head = 0 if tied_embeddings(config) else embedding
    projections = 2 * embedding_width * hidden if embedding_width != hidden else 0
    positions = 0 if row.positions_offset is None else (config.count("max_position_embeddings") + row.positions_offset) * hidden
    norm = hidden * (2 if row.norm_bias else 1)
    final_norm = norm if config.flag("do_layer_norm_before", default=True) else 0
    embedding_norm = norm if config.model_type == "bloom" else 0
    head_bias = config.count("vocab_size") if row.head_bias else 0
    linears = sum(matrix.parameters for matrix in block_linears(config))
    norms = config.layers * (_norms(config, row) * norm + _query_key_norms(config, row))
    return embedding + head + projections + positions + final_norm + embedding_norm + head_bias + linears + norms + _latent_norms(config)


def tied_embeddings(config: NormalConfig) -> bool:
    """Whether the head is the embedding."""
    outer = config.raw.get("tie_word_embeddings")
    return config.flag("tie_word_embeddings", default=outer if isinstance(outer, bool) else True)


def _attention(config: NormalConfig, row: Family, blocks: int) -> Iterator[Matrix]:
    hidden, heads, width = config.count("hidden_size"), config.heads, config.head_dim
    if (latent := config.optional_count("kv_lora_rank")) is not None:
        yield from _latent_attention(config, latent, blocks)
        return
    query, key_value = heads * width, config.projected_kv_heads * width
    bias, output_bias = _bias(config, row.qkv_bias), _bias(config, row.output_bias)
    if len(row.qkv) == 1:
        yield Matrix(row.qkv[0], query + 2 * key_value, hidden, blocks, bias)
    else:
        for name, out in zip(row.qkv, (query, key_value, key_value), strict=True):
            yield Matrix(name, out, hidden, blocks, bias)
    yield Matrix(row.output, hidden, query, blocks, output_bias)


def _latent_attention(config: NormalConfig, latent: int, blocks: int) -> Iterator[Matrix]:
    """DeepSeek's multi-head latent attention (arXiv 2405.04434)."""
    hidden, heads = config.count("hidden_size"), config.heads
    rope, nope, value = config.count("qk_rope_head_dim"), config.count("qk_nope_head_dim"), config.count("v_head_dim")
    if (query_rank := config.optional_count("q_lora_rank")) is not None:
        yield Matrix("self_attn.q_a_proj", query_rank, hidden, blocks)
        yield Matrix("self_attn.q_b_proj", heads * (rope + nope), query_rank, blocks)
    else:
        yield Matrix("self_attn.q_proj", heads * (rope + nope), hidden, blocks)
    yield Matrix("self_attn.kv_a_proj_with_mqa", latent + rope, hidden, blocks)
    yield Matrix("self_attn.kv_b_proj", heads * (nope + value), latent, blocks)
    yield Matrix("self_attn.o_proj", hidden, heads * value, blocks)


def _feed_forward(config: NormalConfig, row: Family) -> Iterator[Matrix]:
    hidden, layers = config.count("hidden_size"), config.layers
    experts = config.optional_count("num_experts") or 0
    sparse = sum(_is_sparse(config, index) for index in range(layers)) if experts else 0
    intermediate = config.optional_count("intermediate_size") or 4 * hidden
    bias = _bias(config, row.mlp_bias)
    yield from _mlp(row, intermediate, hidden, layers - sparse, bias)
    if not sparse:
        return
    width = config.optional_count("moe_intermediate_size") or intermediate
    yield Matrix(row.router, experts, hidden, sparse)
    for name in ("gate_proj", "up_proj"):
        yield Matrix(f"{row.expert_prefix}.{name}", width, hidden, sparse * experts)
    yield Matrix(f"{row.expert_prefix}.down_proj", hidden, width, sparse * experts)
    shared = config.optional_count("shared_expert_intermediate_size") or width * (config.optional_count("n_shared_experts") or 0)
    if shared:
        for name in ("gate_proj", "up_proj"):
            yield Matrix(f"mlp.shared_expert.{name}", shared, hidden, sparse)
        yield Matrix("mlp.shared_expert.down_proj", hidden, shared, sparse)
    if config.model_type == "qwen2_moe":
        yield Matrix("mlp.shared_expert_gate", 1, hidden, sparse)


def _is_sparse(config: NormalConfig, index: int) -> bool:
    """Whether a block of a mixture of experts has experts."""
    dense_first, period, dense = config.get("first_k_dense_replace", 0), config.get("decoder_sparse_step", 1), config.get("mlp_only_layers")
    if isinstance(dense, list) and index in dense:
        return False
    if type(period) is int and period > 0 and (index + 1) % period:
        return False
    return not (type(dense_first) is int and index < dense_first)


def _mlp(row: Family, intermediate: int, hidden: int, blocks: int, bias: bool) -> Iterator[Matrix]:
    if row.gated and len(row.gate_up) == 1:
        yield Matrix(row.gate_up[0], 2 * intermediate, hidden, blocks, bias)
    else:
        for name in row.gate_up:
            yield Matrix(name, intermediate, hidden, blocks, bias)
    yield Matrix(row.down, hidden, intermediate, blocks, bias)


def _bias(config: NormalConfig, bias: Bias) -> bool:
    return config.flag(bias) if isinstance(bias, str) else bias


def _norms(config: NormalConfig, row: Family) -> int:
    if row.norms_of is None:
        return row.norms
    if config.flag("new_decoder_architecture"):
        return config.optional_count("num_ln_in_parallel_attn") or 2
    return 1 if config.flag("parallel_attn", default=True) else 2


def _query_key_norms(config: NormalConfig, row: Family) -> int:
    if row.qk_norm is None:
        return 0
    return (2 if row.qk_norm == "head" else config.heads + config.projected_kv_heads) * config.head_dim


def _latent_norms(config: NormalConfig) -> int:
    latent = config.optional_count("kv_lora_rank")
    return config.layers * (latent + (config.optional_count("q_lora_rank") or 0)) if latent else 0
