"""Parameters and cache of many families, by configuration and by file headers, against transformers' own tensors on the meta device."""

from __future__ import annotations

import json
import subprocess
import sys
from functools import cache
from math import prod
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import CONFIG_MAPPING, AutoModelForCausalLM

from core.models.card import ModelCard
from core.models.config.cache_blocks import cache_blocks
from core.models.config.normal_config import normalize
from core.models.disk.headers import TensorInfo, TensorLocation
from core.models.logical import count, logical_shapes
from core.models.meta import built

_TOKENS = 3
_SIZES: dict[str, Any] = {
    "hidden_size": 64,
    "intermediate_size": 96,
    "num_hidden_layers": 4,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": 16,
    "vocab_size": 320,
    "max_position_embeddings": 128,
    "pad_token_id": None,
}
_EXPERTS: dict[str, Any] = {"num_local_experts": 4, "num_experts": 4, "n_routed_experts": 4, "num_experts_per_tok": 2, "moe_intermediate_size": 32}
_SHARED: dict[str, Any] = {"shared_expert_intermediate_size": 48, "n_shared_experts": 1, "n_group": 1, "topk_group": 1, "first_k_dense_replace": 1}
_LATENT = {"q_lora_rank": 16, "kv_lora_rank": 16, "qk_rope_head_dim": 8, "qk_nope_head_dim": 16, "v_head_dim": 24, "num_key_value_heads": 4}
_STATES = {"linear_num_key_heads": 2, "linear_num_value_heads": 4, "linear_key_head_dim": 8, "linear_value_head_dim": 8}
_MAMBA = {"mamba_d_state": 8, "mamba_d_conv": 4, "mamba_expand": 2, "mamba_n_heads": 4, "mamba_d_head": 32, "mamba_n_groups": 1, "mamba_dt_rank": 4}
_ALTERNATING = ["sliding_attention", "full_attention"] * 2

_PLAIN = (
    *(
        "llama",
        "mistral",
        "qwen2",
        "qwen3",
        "gemma",
        "gemma2",
        "gemma3_text",
        "phi",
        "phi3",
        "olmo",
        "olmo2",
        "olmo3",
        "cohere",
        "cohere2",
        "stablelm",
    ),
    *("starcoder2", "nemotron", "granite", "smollm3", "glm", "glm4", "exaone4", "arcee", "apertus", "seed_oss", "persimmon", "helium", "ernie4_5"),
    *("hunyuan_v1_dense", "diffllama", "bitnet", "mixtral", "qwen2_moe", "qwen3_moe", "olmoe", "phimoe", "granitemoe", "gpt_oss", "ernie4_5_moe"),
    *("dots1", "glm4_moe", "llama4_text", "minimax_m2", "hunyuan_v1_moe", "gpt_neox"),
)
FAMILIES: dict[str, dict[str, Any]] = {
    **{family: {} for family in _PLAIN},
    **dict.fromkeys(("deepseek_v2", "deepseek_v3", "minicpm3"), _LATENT),
    **dict.fromkeys(("qwen3_next", "qwen3_5_text"), _STATES),
    "gpt2": {"n_embd": 64, "n_layer": 3, "n_head": 4},
    "gptj": {"n_embd": 64, "n_layer": 3, "n_head": 4, "rotary_dim": 8},
    "opt": {"ffn_dim": 96, "word_embed_proj_dim": 64},
    "bloom": {"n_layer": 3, "n_head": 4},
    "mpt": {"d_model": 64, "n_layers": 3, "n_heads": 4, "max_seq_len": 128},
    "falcon": {"new_decoder_architecture": True, "num_kv_heads": 2},
    "falcon one head": {"multi_query": True},
    "cohere of norms": {"use_qk_norm": True},
    "qwen3_moe now and then": {"decoder_sparse_step": 2, "mlp_only_layers": [0]},
    "lfm2": {"layer_types": ["conv", "full_attention"] * 2},
    "jamba": {"attn_layer_period": 3, "attn_layer_offset": 1, "expert_layer_period": 2, "expert_layer_offset": 1, **_MAMBA},
    "bamba": {"attn_layer_indices": [1, 3], **_MAMBA},
    "granitemoehybrid": {"layer_types": ["mamba", "attention"] * 2, **_MAMBA},
    "gemma3n_text": {
        "num_kv_shared_layers": 2,
        "vocab_size_per_layer_input": 320,
        "hidden_size_per_layer_input": 16,
        "laurel_rank": 8,
        "activation_sparsity_pattern": [0.0] * 4,
        "layer_types": _ALTERNATING,
    },
    "gemma4_text": {"global_head_dim": 32, "vocab_size_per_layer_input": 320, "hidden_size_per_layer_input": 16, "layer_types": _ALTERNATING},
}


def configured(family: str) -> Any:
    """A tiny configuration: of the sizes above those that the family's class has."""
    kind, *_ = family.split()
    made = CONFIG_MAPPING[kind]
    known = {name for part in made.__mro__ for name in getattr(part, "__annotations__", {})}
    names = getattr(made, "attribute_map", {})
    sizes = {name: value for name, value in {**_SIZES, **_EXPERTS, **_SHARED}.items() if name in known or names.get(name) in known}
    return made(**{**sizes, **FAMILIES[family]})


def plain(config: Any) -> dict[str, Any]:
    """The contents of its config.json."""
    contents: dict[str, Any] = json.loads(config.to_json_string(use_diff=False))
    return contents


def on_meta(config: Any) -> Any:
    with torch.device("meta"):
        return AutoModelForCausalLM.from_config(config, dtype=torch.bfloat16).eval()


@cache
def shapes_of(family: str) -> dict[str, tuple[int, ...]]:
    return {name: tuple(parameter.shape) for name, parameter in on_meta(configured(family)).named_parameters()}


@pytest.mark.parametrize("family", FAMILIES)
def test_parameters_and_cache_are_those_of_transformers_tensors(family: str) -> None:
    config = configured(family)
    model, card = on_meta(config), ModelCard.from_config(plain(config))
    assert card.parameters == sum(parameter.numel() for parameter in model.parameters())
    with torch.no_grad():
        cache = model(input_ids=torch.zeros(1, _TOKENS, dtype=torch.long, device="meta"), use_cache=True).past_key_values
    kept = [layer for layer in cache.layers if getattr(layer, "keys", None) is not None]
    held = sum(layer.keys.nbytes + layer.values.nbytes for layer in kept)
    assert card.kv_bytes_per_token() * _TOKENS == card.kv_bytes(_TOKENS) == held
    assert sum(cache_blocks(normalize(plain(config))).values()) == len(kept)
    assert sum(count * (block.keys + block.values) for block, count in cache_blocks(normalize(plain(config))).items()) * 2 * _TOKENS == held


@pytest.mark.parametrize("family", FAMILIES)
def test_files_are_counted_as_transformers_counts_what_it_wrote(family: str, tmp_path: Path) -> None:
    """The headers of a saved model, in transformers' names for files, and a cache that was filled."""
    torch.manual_seed(0)
    model = AutoModelForCausalLM.from_config(configured(family)).eval()
    model.save_pretrained(tmp_path)
    card = ModelCard.from_folder(tmp_path)
    assert card.parameters_from == "weights"
    assert card.parameters == sum(parameter.numel() for parameter in model.parameters())
    with torch.no_grad():
        cache = model(input_ids=torch.arange(2, 2 + _TOKENS)[None], use_cache=True).past_key_values
    kept = [layer for layer in cache.layers if getattr(layer, "keys", None) is not None]
    assert card.kv_bytes(_TOKENS, bits=32) == sum(layer.keys.nbytes + layer.values.nbytes for layer in kept)


@pytest.mark.parametrize("family", ["mamba", "falcon_mamba", "rwkv"])
def test_models_without_attention_have_parameters_and_no_cache(family: str) -> None:
    made: Any = CONFIG_MAPPING[family]
    config = made(hidden_size=64, num_hidden_layers=2, vocab_size=320)
    card = ModelCard.from_config(plain(config))
    assert card.parameters == sum(parameter.numel() for parameter in on_meta(config).parameters())
    assert (card.kv_bytes_per_token(), card.recurrent_layers) == (0, 2)


def locations(shapes: dict[str, tuple[str, tuple[int, ...]]]) -> dict[str, TensorLocation]:
    return {name: TensorLocation(Path("none"), TensorInfo(name, dtype, shape, 0, 0)) for name, (dtype, shape) in shapes.items()}


Stored = dict[str, tuple[str, tuple[int, ...]]]
_CODED: dict[str, tuple[dict[str, object], Any]] = {
    "gptq": (
        {"quant_method": "gptq", "bits": 4, "group_size": 32},
        lambda o, i: {
            ".qweight": ("I32", (i // 8, o)),
            ".qzeros": ("I32", (i // 32, o // 8)),
            ".scales": ("F16", (i // 32, o)),
            ".g_idx": ("I32", (i,)),
        },
    ),
    "gptq of 3 bits, without g_idx": (
        {"quant_method": "gptq", "bits": 3, "group_size": 32},
        lambda o, i: {".qweight": ("I32", (i * 3 // 32, o)), ".scales": ("F16", (i // 32, o)), ".qzeros": ("I32", (i // 32, o * 3 // 32))},
    ),
    "awq": (
        {"quant_method": "awq", "w_bit": 4},
        lambda o, i: {".qweight": ("I32", (i, o // 8)), ".scales": ("F16", (i // 32, o)), ".qzeros": ("I32", (i // 32, o // 8))},
    ),
    "compressed-tensors": (
        {"quant_method": "compressed-tensors", "config_groups": {"group_0": {"weights": {"num_bits": 4}}}},
        lambda o, i: {".weight_packed": ("I32", (o, i // 8)), ".weight_scale": ("BF16", (o, i // 32)), ".weight_shape": ("I64", (2,))},
    ),
    "nvfp4": (
        {"quant_method": "compressed-tensors", "format": "nvfp4-pack-quantized"},
        lambda o, i: {".weight_packed": ("U8", (o, i // 2)), ".weight_scale": ("F8_E4M3", (o, i // 16)), ".weight_global_scale": ("F32", (1,))},
    ),
    "modelopt": (
        {"quant_method": "modelopt"},
        lambda o, i: {
            ".weight": ("U8", (o, i // 2)),
            ".weight_scale": ("F8_E4M3", (o, i // 16)),
            ".weight_scale_2": ("F32", ()),
            ".input_scale": ("F32", ()),
        },
    ),
    "fp8 by blocks": (
        {"quant_method": "fp8"},
        lambda o, i: {".weight": ("F8_E4M3", (o, i)), ".weight_scale_inv": ("F32", (-(-o // 128), -(-i // 128)))},
    ),
    "bitsandbytes, 4 bits": (
        {"quant_method": "bitsandbytes"},
        lambda o, i: {
            ".weight": ("U8", (o * i // 2, 1)),
            ".weight.absmax": ("U8", (o * i // 64,)),
            ".weight.quant_map": ("F32", (16,)),
            ".weight.quant_state.bitsandbytes__nf4": ("U8", (90,)),
        },
    ),
    "bitsandbytes, 8 bits": ({"quant_method": "bitsandbytes"}, lambda o, i: {".weight": ("I8", (o, i)), ".SCB": ("F32", (o,))}),
    "aqlm": (
        {"quant_method": "aqlm"},
        lambda o, i: {".codes": ("I16", (o, i // 8, 1)), ".codebooks": ("F16", (1, 65536, 1, 8)), ".scales": ("F16", (o, 1, 1, 1))},
    ),
    "bitnet": ({"quant_method": "bitnet"}, lambda o, i: {".weight": ("U8", (o // 4, i)), ".weight_scale": ("BF16", (1,))}),
}


@pytest.mark.parametrize("family", ["llama", "nemotron", "lfm2", "qwen3_moe now and then", "stablelm", "cohere of norms"])
@pytest.mark.parametrize("scheme", _CODED)
def test_parameters_of_quantized_files_are_those_of_the_plain_ones(scheme: str, family: str) -> None:
    quantization, coded = _CODED[scheme]
    stored: Stored = {}
    plain_shapes = shapes_of(family)
    for name, shape in plain_shapes.items():
        if name.endswith("_proj.weight") and len(shape) == 2:
            stored |= {name.removesuffix(".weight") + part: held for part, held in coded(*shape).items()}
        else:
            stored[name] = "BF16", shape
    shapes = logical_shapes(locations(stored), quantization, 4)
    assert shapes is not None
    assert count(shapes, tied=False) == sum(map(prod, plain_shapes.values()))


def test_a_quantized_head_is_not_tied(tmp_path: Path) -> None:
    config = plain(configured("llama")) | {
        "tie_word_embeddings": True,
        "num_hidden_layers": 1,
        "quantization_config": {"quant_method": "awq", "bits": 4},
    }
    (tmp_path / "config.json").write_text(json.dumps(config))
    head = {"qweight": torch.zeros(64, 40, dtype=torch.int32), "scales": torch.zeros(2, 320), "qzeros": torch.zeros(2, 40, dtype=torch.int32)}
    tensors = {"model.embed_tokens.weight": torch.zeros(320, 64), **{f"lm_head.{name}": tensor for name, tensor in head.items()}}
    save_file(tensors, tmp_path / "model.safetensors")
    assert ModelCard.from_folder(tmp_path).parameters == 2 * 320 * 64


def test_experts_in_one_tensor_of_codes() -> None:
    files = locations(
        {
            "model.layers.0.mlp.experts.gate_up_proj_blocks": ("U8", (4, 64, 2, 16)),
            "model.layers.0.mlp.experts.gate_up_proj_scales": ("U8", (4, 64, 2)),
            "model.layers.0.mlp.experts.down_proj": ("F8_E4M3", (4, 64, 32)),
            "model.layers.0.mlp.experts.down_proj_scale_inv": ("F32", (4, 1, 1)),
        }
    )
    shapes = {"model.layers.0.mlp.experts.gate_up_proj": (4, 64, 64), "model.layers.0.mlp.experts.down_proj": (4, 64, 32)}
    assert logical_shapes(files, {"quant_method": "mxfp4"}, 1) == shapes


def test_codes_of_an_unknown_kind_are_not_counted() -> None:
    files = locations({"model.layers.0.mlp.up_proj.W_q": ("U8", (96, 32)), "model.norm.weight": ("BF16", (64,))})
    assert logical_shapes(files, {"quant_method": "hqq"}, 1) is None


def test_buffers_and_blocks_that_only_draft_are_no_parameters() -> None:
    names = ("h.0.attn.bias", "model.layers.0.mlp.gate.e_score_correction_bias", "model.layers.2.eh_proj.weight", "mtp.fc.weight")
    files = locations(dict.fromkeys((*names, "model.layers.1.mlp.up_proj.weight"), ("F32", (4, 4))))
    assert logical_shapes(files, None, 2) == {"model.layers.1.mlp.up_proj.weight": (4, 4)}


_SAVED_BUFFERS = ("apertus", "gemma4_text", "hy_v3", "kolibri1", "laguna", "afmoe", "minimax", "biogpt", "gpt2")


@pytest.mark.parametrize("family", _SAVED_BUFFERS)
def test_what_a_file_holds_besides_parameters_is_not_counted(family: str, tmp_path: Path) -> None:
    """Biases of routers that no gradient reaches, decays, the constants of an activation; afmoe and laguna learn theirs."""
    made: Any = CONFIG_MAPPING[family]
    known = {name for part in made.__mro__ for name in getattr(part, "__annotations__", {})}
    names = getattr(made, "attribute_map", {})
    config = made(**{name: value for name, value in {**_SIZES, **_EXPERTS, **_SHARED}.items() if name in known or names.get(name) in known})
    model = AutoModelForCausalLM.from_config(config)
    model.save_pretrained(tmp_path)
    assert ModelCard.from_folder(tmp_path).parameters == sum(parameter.numel() for parameter in model.parameters())


@pytest.mark.parametrize("head", ["the embedding", "another"])
@pytest.mark.parametrize(
    ("family", "name", "embedding"), [("biogpt", "output_projection", "biogpt.embed_tokens"), ("ctrl", "lm_head", "transformer.w")]
)
def test_a_head_of_another_name_is_tied_as_transformers_ties_it(family: str, name: str, embedding: str, head: str, tmp_path: Path) -> None:
    made: Any = CONFIG_MAPPING[family]
    sizes = {"n_embd": 64, "n_layer": 1, "n_head": 4, "dff": 96, "n_positions": 64} if family == "ctrl" else {"num_hidden_layers": 1, **_NARROW}
    AutoModelForCausalLM.from_config(made(vocab_size=320, **sizes)).save_pretrained(tmp_path)
    tensors = load_file(tmp_path / "model.safetensors")
    tensors[f"{name}.weight"] = tensors[f"{embedding}.weight"] + (1 if head == "another" else 0)
    save_file(tensors, tmp_path / "model.safetensors", {"format": "pt"})
    model = AutoModelForCausalLM.from_pretrained(tmp_path)
    card = ModelCard.from_folder(tmp_path)
    assert card.parameters == sum(parameter.numel() for parameter in model.parameters())
    assert card.tied_embeddings == (model.get_output_embeddings().weight is model.get_input_embeddings().weight)


_NARROW = {"hidden_size": 64, "intermediate_size": 96, "num_attention_heads": 4}


@pytest.mark.slow
def test_a_process_that_has_not_imported_torch_counts_alike_and_stays_without_it() -> None:
    config = plain(configured("nemotron"))
    script = (
        "import json, sys; from core.models.card import ModelCard; card = ModelCard.from_config(json.load(sys.stdin)); "
        "print(card.parameters, card.kv_bytes_per_token(), 'torch' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", script], input=json.dumps(config), capture_output=True, text=True, timeout=300, check=True)
    card = ModelCard.from_config(config)
    assert done.stdout.split() == [str(card.parameters), str(card.kv_bytes_per_token()), "False"]


def test_what_transformers_cannot_build_is_said_to_be_assumed() -> None:
    config = {**plain(configured("llama")), "model_type": "not_yet_known"}
    assert built(config) is None
    assert ModelCard.from_config(config).parameters_from == "assumed"


def test_heads_by_block_and_blocks_by_pattern() -> None:
    shape = {**{key: value for key, value in _SIZES.items() if value is not None}, "model_type": "llama"}
    listed = ModelCard.from_config({**shape, "num_key_value_heads": [2, 0, 4, 0]})
    assert listed.kv_bytes_per_token() == (2 + 4) * 16 * 2 * 2
    single = ModelCard.from_config({**shape, "per_layer_config": {"1": {"head_dim": 32}, "3": {"num_key_value_heads": 1}}})
    assert single.kv_bytes_per_token() == (2 * 16 + 2 * 32 + 2 * 16 + 1 * 16) * 2 * 2
    pattern = ModelCard.from_config({**shape, "model_type": "nemotron_h", "num_hidden_layers": 5, "hybrid_override_pattern": "M-*E*"})
    assert pattern.kv_bytes_per_token() == 2 * 2 * 16 * 2 * 2


def test_a_head_of_its_own_counts_whatever_the_configuration_says(tmp_path: Path) -> None:
    config = configured("llama")
    config.tie_word_embeddings = True
    model = AutoModelForCausalLM.from_config(config)
    model.save_pretrained(tmp_path)
    tensors = load_file(tmp_path / "model.safetensors")
    embedding = tensors["model.embed_tokens.weight"]
    tied = sum(tensor.numel() for tensor in tensors.values())

    def card(head: torch.Tensor | None, without: str = "") -> ModelCard:
        held = {name: tensor for name, tensor in tensors.items() if name != without} | ({} if head is None else {"lm_head.weight": head})
        save_file(held, tmp_path / "model.safetensors")
        return ModelCard.from_folder(tmp_path)

    last_row = embedding.clone()
    last_row[-1, -1] += 1
    assert (card(None).parameters, card(None).tied_embeddings) == (tied, True)
    assert card(embedding.clone()).parameters == tied
    assert (card(last_row).parameters, card(last_row).tied_embeddings) == (tied + embedding.numel(), False)
    assert card(torch.cat([embedding, embedding[:1]])).parameters == tied + embedding.numel() + embedding.shape[1]
    assert card(embedding.clone(), without="model.embed_tokens.weight").parameters == tied
