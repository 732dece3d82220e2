"""What weights and cache cost, against published sizes and files that other programs write."""

from __future__ import annotations

import numpy as np
import pytest

from core.errors import RequestError
from core.formats.gguf.blocks import BLOCK_BITS
from core.formats.gguf.mix import Shape, matrix_bits
from core.hardware.plan.estimate import estimate
from core.hardware.plan.formats import KV_FORMATS, STORED, WEIGHT_FORMATS, kv_format, quantized_format, usual_weights, weight_bytes, weight_format
from core.hardware.plan.machine import Machine
from core.models.card import LinearShape, ModelCard
from tests.core.hardware.cards import CONFIGS, card

GB = 1e9
PUBLISHED = [
    # Llama-2-7B: the sizes of the source document and of the files on the Hugging Face hub
    ("Llama-2-7B", "gguf-q3_k_m", 3.30),
    ("Llama-2-7B", "gguf-q4_0", 3.83),
    ("Llama-2-7B", "gguf-q4_k_m", 4.08),
    ("Llama-2-7B", "gguf-q5_k_m", 4.78),
    ("Llama-2-7B", "gguf-q6_k", 5.53),
    ("Llama-2-7B", "gguf-q8_0", 7.16),
    ("Llama-2-7B", "gguf-f16", 13.48),
    # Llama-3-8B and 70B: the sizes of the files on the Hugging Face hub
    ("Llama-3-8B", "gguf-q2_k", 3.18),
    ("Llama-3-8B", "gguf-q3_k_m", 4.02),
    ("Llama-3-8B", "gguf-q4_k_m", 4.92),
    ("Llama-3-8B", "gguf-q5_k_m", 5.73),
    ("Llama-3-8B", "gguf-q6_k", 6.60),
    ("Llama-3-8B", "gguf-q8_0", 8.54),
    ("Llama-3-70B", "gguf-q4_k_m", 42.52),
    ("TinyLlama-1.1B", "gguf-q4_k_m", 0.669),
    ("Phi-3-mini", "gguf-q4_k_m", 2.39),
]


@pytest.mark.parametrize(("name", "key", "gigabytes"), PUBLISHED)
def test_gguf_sizes_are_those_of_published_files(name: str, key: str, gigabytes: float) -> None:
    assert weight_bytes(card(name), key).total == pytest.approx(gigabytes * GB, rel=0.005)


@pytest.mark.parametrize("name", sorted(CONFIGS))
def test_16_bits_are_two_bytes_a_parameter(name: str) -> None:
    assert weight_bytes(card(name), "bf16").total == 2 * card(name).parameters
    assert weight_bytes(card(name), "fp32").total == 4 * card(name).parameters


@pytest.mark.parametrize(
    ("config", "key"),
    [
        ({"quant_method": "gptq", "bits": 4}, "gptq-int4"),
        ({"quant_method": "awq", "bits": 4}, "awq-int4"),
        ({"quant_method": "gptq", "bits": 8}, "int8"),
        ({"quant_method": "gptq", "bits": 3}, "w3a16"),
        ({"quant_method": "awq", "bits": 2}, "w2a16"),
        ({"quant_method": "fp8"}, "fp8"),
        ({"quant_method": "compressed-tensors", "format": "pack-quantized"}, "w4a16"),
        ({"quant_method": "compressed-tensors", "format": "pack-quantized", "config_groups": {"a": {"weights": {"num_bits": 8}}}}, "int8"),
        ({"quant_method": "compressed-tensors", "format": "pack-quantized", "config_groups": {"a": {"weights": {"num_bits": 3}}}}, "w3a16"),
        ({"quant_method": "compressed-tensors", "format": "int-quantized"}, "int8"),
        ({"quant_method": "bitsandbytes", "load_in_4bit": True}, "nf4"),
        ({"quant_method": "what nobody knows"}, "bf16"),
    ],
)
def test_a_quantized_checkpoint_without_files_costs_what_its_configuration_says(config: dict[str, object], key: str) -> None:
    done = card("Llama-3-8B").model_copy(update={"quantization": config})
    assert quantized_format(done) == key
    assert quantized_format(done.model_copy(update={"file_bytes": 1})) == STORED


def test_a_group_s_scale_is_counted() -> None:
    llama = card("Llama-2-7B")
    blocks = sum(linear.count * linear.out_features * linear.in_features for linear in llama.linears)
    matrices = sum(linear.count for linear in llama.linears)
    assert weight_bytes(llama, "w4a16").linears == blocks * (4 + 16 / 128) / 8 + matrices * 16
    assert weight_bytes(llama, "awq-int4").linears == blocks * (4 + 20 / 128) / 8
    columns = sum(linear.count * linear.in_features for linear in llama.linears)
    assert weight_bytes(llama, "gptq-int4").linears == blocks * (4 + 20 / 128) / 8 + 4 * columns
    rows = sum(linear.count * linear.out_features for linear in llama.linears)
    assert weight_bytes(llama, "int8").linears == blocks + 2 * rows


def test_a_begun_group_has_a_scale_of_its_own() -> None:
    ragged = LinearShape(name_suffix="q", out_features=10, in_features=130, count=1)
    assert WEIGHT_FORMATS["awq-int4"].matrix(ragged) == 10 * (130 * 4 + 2 * 20) / 8


def test_what_stays_in_16_bits_is_counted() -> None:
    tiny = card("Qwen2.5-0.5B")
    cost = weight_bytes(tiny, "w4a16")
    blocks = sum(linear.count * linear.out_features * linear.in_features for linear in tiny.linears)
    assert cost.rest == 2 * (tiny.parameters - blocks)
    assert cost.bits_per_weight == pytest.approx(8 * cost.total / tiny.parameters)
    assert cost.bits_per_weight > 7, "a quarter of this model is its embedding"


def test_the_size_of_a_pack_quantized_file_agrees_with_compressed_tensors() -> None:
    import torch
    from compressed_tensors.compressors import PackedQuantizationCompressor
    from compressed_tensors.quantization import QuantizationArgs, QuantizationScheme

    rows, columns = 96, 512
    weight, scale = torch.randn(rows, columns), torch.rand(rows, columns // 128) + 0.1
    arguments = QuantizationArgs(num_bits=4, strategy="group", group_size=128)
    scheme = QuantizationScheme(targets=["Linear"], weights=arguments)
    packed = PackedQuantizationCompressor.compress({"weight": weight.bfloat16(), "weight_scale": scale.bfloat16()}, scheme)
    stored = sum(tensor.numel() * tensor.element_size() for tensor in packed.values())
    assert WEIGHT_FORMATS["w4a16"].matrix(LinearShape(name_suffix="q", out_features=rows, in_features=columns, count=1)) == stored


@pytest.mark.parametrize("kind", ["Q8_0", "Q4_0", "Q5_0", "Q5_1"])
def test_block_bits_agree_with_the_gguf_package(kind: str) -> None:
    import gguf

    quantized = gguf.quants.quantize(np.ones((4, 256), dtype=np.float32), gguf.GGMLQuantizationType[kind])
    assert BLOCK_BITS[kind] == 8 * quantized.nbytes / (4 * 256)


@pytest.mark.parametrize("kind", sorted(BLOCK_BITS))
def test_block_bits_are_ggml_s(kind: str) -> None:
    import gguf

    values, size = gguf.GGML_QUANT_SIZES[gguf.GGMLQuantizationType[kind]]
    assert BLOCK_BITS[kind] == 8 * size / values


def test_rows_that_are_no_multiple_of_256_grow() -> None:
    assert matrix_bits("Q4_K_M", "self_attn.q_proj", 896, Shape(24, 7, True)) == BLOCK_BITS["Q5_0"]
    assert matrix_bits("Q6_K", "self_attn.q_proj", 896, Shape(24, 7, True)) == BLOCK_BITS["Q8_0"]
    assert matrix_bits("Q4_K_M", "self_attn.q_proj", 1024, Shape(24, 7, True)) == BLOCK_BITS["Q4_K"]


def test_fewer_bits_are_fewer_bytes() -> None:
    order = ["fp32", "bf16", "gguf-q8_0", "gguf-q6_k", "gguf-q5_k_m", "gguf-q4_k_m", "gguf-q3_k_m", "gguf-q2_k"]
    sizes = [weight_bytes(card("Llama-3-8B"), key).total for key in order]
    assert sizes == sorted(sizes, reverse=True)
    order = ["int8", "w4a16", "w3a16", "w2a16"]
    sizes = [weight_bytes(card("Llama-3-8B"), key).total for key in order]
    assert sizes == sorted(sizes, reverse=True)


KIBIBYTES_PER_TOKEN = {
    "Llama-2-7B": 512,
    "Llama-2-13B": 800,
    "Llama-3-8B": 128,
    "Mistral-7B": 128,
    "Llama-3-70B": 320,
    "Llama-3.1-405B": 504,
    "Llama-3.2-1B": 32,
    "Qwen2.5-0.5B": 12,
    "Qwen3-8B": 144,
    "TinyLlama-1.1B": 22,
}


@pytest.mark.parametrize("name", sorted(KIBIBYTES_PER_TOKEN))
def test_kv_cache_of_known_models(name: str) -> None:
    assert card(name).kv_bytes(1, 1, kv_format("fp16").bits) == KIBIBYTES_PER_TOKEN[name] * 1024
    assert card(name).kv_bytes(1000, 3, KV_FORMATS["fp16"].bits) == 3000 * KIBIBYTES_PER_TOKEN[name] * 1024


def test_a_quantized_cache_costs_its_scales() -> None:
    assert (KV_FORMATS["int2"].bits, KV_FORMATS["q8_0"].bits, KV_FORMATS["q4_0"].bits) == (3.0, 8.5, 4.5)


def test_names_of_other_programs_are_understood() -> None:
    assert weight_format("FP16").key == "bf16"
    assert weight_format("Q4_K_M").key == "gguf-q4_k_m"
    assert weight_format("int4").key == "w4a16"
    assert kv_format("bfloat16").key == "fp16"


def test_an_unknown_format_is_a_wrong_request() -> None:
    with pytest.raises(RequestError, match="choose one of fp32"):
        weight_bytes(card("Llama-3-8B"), "int5")
    with pytest.raises(RequestError, match="choose one of"):
        kv_format("q7")
    with pytest.raises(RequestError, match="no weight files"):
        weight_bytes(card("Llama-3-8B"), STORED)


def test_stored_is_what_the_files_hold() -> None:
    here: ModelCard = card("Llama-3-8B").model_copy(update={"file_bytes": 5_000_000_000})
    assert weight_bytes(here, STORED).total == 5_000_000_000


def test_a_quantized_checkpoint_is_planned_as_it_is() -> None:
    plain = card("Llama-3-8B")
    quantized = plain.model_copy(update={"quantization": {"quant_method": "awq", "bits": 4}})
    assert usual_weights(plain) == "bf16"
    assert usual_weights(quantized) == "awq-int4"
    assert usual_weights(quantized.model_copy(update={"file_bytes": 5_000_000_000})) == STORED
    assert usual_weights(plain.model_copy(update={"file_bytes": 16_000_000_000})) == "bf16"
    stored = estimate(quantized.model_copy(update={"file_bytes": 5_000_000_000}), Machine.here().with_gpus("a100-80", 1))
    assert stored.line("weights").bytes == 5_000_000_000
