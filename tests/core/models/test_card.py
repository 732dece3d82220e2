"""Cards state the published shapes and the exact cost of the KV cache, without torch."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from core.errors import RequestError
from core.models.card import ModelCard

CONFIGS = Path(__file__).parents[2] / "data" / "configs"


def config(name: str) -> dict[str, Any]:
    loaded: dict[str, Any] = json.loads((CONFIGS / f"{name}.json").read_text())
    return loaded


def card(name: str) -> ModelCard:
    return ModelCard.from_config(config(name), name=name)


@pytest.mark.parametrize(
    ("name", "kib"),
    [
        ("Llama-2-7b-hf", 512),
        ("Llama-2-13b-hf", 800),
        ("Meta-Llama-3-8B", 128),
        ("Mistral-7B-v0.1", 128),
        ("Mistral-7B-v0.3", 128),
        ("Meta-Llama-3-70B", 320),
        ("Llama-3.1-405B", 504),
        ("Llama-3.2-1B", 32),
        ("Qwen2.5-0.5B", 12),
        ("Qwen3-8B", 144),
        ("TinyLlama-1.1B", 22),
    ],
)
def test_kv_cache_per_token_equals_the_published_figure(name: str, kib: int) -> None:
    assert card(name).kv_bytes_per_token() == kib * 1024
    assert card(name).kv_bytes(1) == kib * 1024


@pytest.mark.parametrize(
    ("name", "parameters"),
    [
        ("Llama-2-7b-hf", 6_738_415_616),
        ("Llama-2-13b-hf", 13_015_864_320),
        ("Meta-Llama-3-8B", 8_030_261_248),
        ("Meta-Llama-3-70B", 70_553_706_496),
        ("Llama-3.1-405B", 405_853_388_800),
        ("Llama-3.2-1B", 1_235_814_400),
        ("Mistral-7B-v0.1", 7_241_732_096),
        ("Mixtral-8x7B-v0.1", 46_702_792_704),
        ("Qwen2.5-0.5B", 494_032_768),
        ("Qwen3-0.6B", 596_049_920),
        ("Qwen3-8B", 8_190_735_360),
        ("TinyLlama-1.1B", 1_100_048_384),
        ("gemma-2-2b", 2_614_341_888),
        ("Phi-3-mini-4k-instruct", 3_821_079_552),
        ("DeepSeek-V3", 671_026_404_352),
        ("opt-125m", 125_239_296),
        ("gpt2", 124_439_808),
        ("pythia-160m", 162_322_944),
        ("falcon-7b", 6_921_720_704),
        ("bloom-560m", 559_214_592),
    ],
)
def test_parameters_computed_from_the_configuration_equal_the_published_count(name: str, parameters: int) -> None:
    assert card(name).parameters == parameters
    assert card(name).parameters_from == "config"


def test_head_dim_comes_from_the_configuration_when_it_says_so() -> None:
    qwen = card("Qwen3-0.6B")
    assert (qwen.head_dim, qwen.hidden_size // qwen.heads) == (128, 64)
    assert card("Llama-2-7b-hf").head_dim == 128


def test_sliding_blocks_are_charged_their_window_at_most() -> None:
    gemma = card("gemma-3-4b-it")
    assert (gemma.layers, gemma.sliding_layers, gemma.sliding_window) == (34, 29, 1024)
    per_layer = 2 * gemma.kv_heads * gemma.head_dim * 2
    assert gemma.kv_bytes(512) == 34 * 512 * per_layer
    assert gemma.kv_bytes(8192) == (5 * 8192 + 29 * 1024) * per_layer
    assert card("Mistral-7B-v0.1").kv_bytes(100_000) == card("Mistral-7B-v0.1").kv_bytes(4096)
    assert card("Mistral-7B-v0.3").sliding_window is None
    assert card("gemma-2-2b").sliding_layers == 13
    assert card("Qwen2.5-0.5B").sliding_layers == 0


def test_nested_text_configuration_is_read_with_transformers_defaults() -> None:
    gemma = card("gemma-3-4b-it")
    assert (gemma.model_type, gemma.heads, gemma.kv_heads, gemma.head_dim, gemma.vocabulary) == ("gemma3_text", 8, 4, 256, 262_208)
    assert gemma.tied_embeddings


def test_latent_attention_caches_one_vector_a_token() -> None:
    deepseek = card("DeepSeek-V3")
    assert deepseek.kv_bytes_per_token() == 61 * (512 + 64) * 2
    assert deepseek.quantization == config("DeepSeek-V3")["quantization_config"]


def test_one_key_value_head_is_read_from_falcons_flags() -> None:
    assert card("falcon-7b").kv_heads == 1


@settings(max_examples=30, deadline=None)
@given(tokens=st.integers(0, 10**6), sequences=st.integers(1, 512), bits=st.sampled_from([16, 8, 8.5, 4.5, 3.0]))
def test_the_cache_grows_by_the_token_and_by_the_sequence(tokens: int, sequences: int, bits: float) -> None:
    llama = card("Meta-Llama-3-8B")
    assert llama.kv_bytes(tokens, sequences, bits) == sequences * tokens * llama.kv_bytes_per_token(bits)


def test_weights_are_counted_where_they_are_present(tiny_llama_dir: Path) -> None:
    from transformers import AutoModelForCausalLM

    tiny = ModelCard.from_folder(tiny_llama_dir)
    model = AutoModelForCausalLM.from_pretrained(tiny_llama_dir)
    assert tiny.parameters == sum(parameter.numel() for parameter in model.parameters())
    assert tiny.parameters_from == "weights"
    assert tiny.dtype == "bfloat16"
    assert tiny.file_bytes == (tiny_llama_dir / "model.safetensors").stat().st_size
    by_config = ModelCard.from_config(json.loads((tiny_llama_dir / "config.json").read_text()))
    assert by_config.parameters == tiny.parameters
    assert {(linear.name_suffix, linear.out_features, linear.in_features, linear.count) for linear in by_config.linears} == {
        (linear.name_suffix, linear.out_features, linear.in_features, linear.count) for linear in tiny.linears
    }


@pytest.mark.parametrize(
    "broken",
    [
        {},
        {"model_type": 5},
        {"model_type": "llama", "hidden_size": 0},
        {"model_type": "llama", "hidden_size": "big"},
        {"model_type": "llama", "hidden_size": 64, "num_hidden_layers": 2**39},
        {"model_type": "llama", "hidden_size": 64, "num_hidden_layers": 2, "num_attention_heads": 128, "vocab_size": 10},
        {"model_type": "llama", "hidden_size": True, "num_hidden_layers": 2, "num_attention_heads": 2, "vocab_size": 10},
    ],
)
def test_a_configuration_without_sound_sizes_is_refused(broken: dict[str, Any]) -> None:
    with pytest.raises(RequestError) as caught:
        ModelCard.from_config(broken)
    assert "\n" not in str(caught.value)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**70), 2**70) | st.floats() | st.text(max_size=6),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=6), inner, max_size=3),
    max_leaves=6,
)


FIELDS = [
    "model_type",
    "architectures",
    "hidden_size",
    "num_hidden_layers",
    "num_attention_heads",
    "num_key_value_heads",
    "head_dim",
    "vocab_size",
    "sliding_window",
    "layer_types",
    "max_position_embeddings",
    "text_config",
    "quantization_config",
    "torch_dtype",
    "num_local_experts",
    "kv_lora_rank",
    "intermediate_size",
    "tie_word_embeddings",
    "first_k_dense_replace",
    "n_shared_experts",
    "sliding_window_pattern",
]


@settings(max_examples=100, deadline=None)
@given(
    name=st.sampled_from(sorted(path.stem for path in CONFIGS.glob("*.json"))),
    changes=st.dictionaries(
        st.sampled_from(FIELDS),
        json_values,
        min_size=1,
        max_size=3,
    ),
)
def test_any_configuration_gives_a_card_or_a_sentence(name: str, changes: dict[str, Any]) -> None:
    try:
        made = ModelCard.from_config({**config(name), **changes})
    except RequestError:
        return
    assert made.parameters > 0
    assert made.kv_bytes(128) >= 0


def test_no_text_of_a_hostile_configuration_disturbs_a_terminal() -> None:
    hostile = "\x1b]0;owned\x07\x9b2J\u202e"
    made = ModelCard.from_config(
        {
            **config("Meta-Llama-3-8B"),
            "architectures": [hostile],
            "torch_dtype": hostile,
            "quantization_config": {hostile: [hostile, {"a": hostile}]},
        },
        name=hostile,
    )
    assert not any(ord(character) < 32 or 127 <= ord(character) < 160 or character == "\u202e" for character in str(made) + repr(made))
