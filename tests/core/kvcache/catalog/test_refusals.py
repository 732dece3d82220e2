"""Models and sizes that a scheme cannot have are refused with the reason; what is accepted works."""

from __future__ import annotations

import importlib
import inspect
from typing import Any

import pytest
import torch
from transformers import DynamicCache

from core.errors import RequestError
from core.kvcache.catalog.catalog import SCHEMES, refusal_on
from core.kvcache.catalog.refusals import TURNED_BY_HALVES
from core.kvcache.catalog.settings import SchemeSettings
from core.models.card import ModelCard
from core.runtime.module import ModuleDecoder
from tests.core.kvcache.schemes.making import CONFIG, MINE, cache_for, tiny_llama

LLAMA = {**CONFIG, "model_type": "llama"}
MLA = {**CONFIG, "model_type": "deepseek_v3", "kv_lora_rank": 32, "qk_rope_head_dim": 16, "qk_nope_head_dim": 16}
LINEAR = {**CONFIG, "model_type": "qwen3_next", "layer_types": ["linear_attention", "full_attention"]}
HYBRID = {**CONFIG, "model_type": "gemma2", "sliding_window": 32, "layer_types": ["sliding_attention", "full_attention"]}
GPT2 = {"model_type": "gpt2", "n_embd": 64, "n_layer": 2, "n_head": 4, "vocab_size": 64, "n_positions": 128}
LONGROPE = {**CONFIG, "model_type": "phi3", "rope_scaling": {"type": "longrope", "short_factor": [1.0], "long_factor": [1.0]}}
EVICTING = ("sliding", "streaming", "h2o", "snapkv")


@pytest.mark.parametrize("name", MINE)
@pytest.mark.parametrize(("config", "reason"), [(MLA, "compressed vector"), (LINEAR, "1 of this model's 2 blocks keep a recurrent state")])
def test_models_without_keys_and_values_are_refused_by_every_scheme(name: str, config: dict[str, Any], reason: str) -> None:
    said = refusal_on(name, ModelCard.from_config(config), SchemeSettings(), "cpu")
    assert said is not None
    assert said.startswith(f"{name} ")
    assert reason in said


@pytest.mark.parametrize("name", MINE)
def test_sliding_blocks_are_refused_by_what_evicts(name: str) -> None:
    said = refusal_on(name, ModelCard.from_config(HYBRID), SchemeSettings(), "cpu")
    if name in EVICTING:
        assert said is not None
        assert "1 of this model's 2 blocks use a sliding window of 32 tokens" in said
    else:
        assert said is None


@pytest.mark.parametrize("name", MINE)
@pytest.mark.parametrize(
    "config",
    [
        {"model_type": "bloom", "hidden_size": 64, "n_layer": 2, "n_head": 4, "vocab_size": 64},
        {"model_type": "mpt", "d_model": 64, "n_layers": 2, "n_heads": 4, "vocab_size": 64},
        {"model_type": "falcon", "hidden_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4, "vocab_size": 64, "alibi": True},
    ],
    ids=lambda config: str(config["model_type"]),
)
def test_what_evicts_is_refused_where_distances_are_weighed(name: str, config: dict[str, Any]) -> None:
    said = refusal_on(name, ModelCard.from_config(config), SchemeSettings(), "cpu")
    assert (said is not None) == (name in EVICTING)
    assert said is None or "ALiBi" in said
    rotary = ModelCard.from_config(
        {**config, "model_type": "falcon", "alibi": False, "num_attention_heads": 4, "num_hidden_layers": 2, "hidden_size": 64}
    )
    assert refusal_on("sliding", rotary, SchemeSettings(), "cpu") is None


def test_blocks_of_several_widths_are_refused_by_every_scheme() -> None:
    config = {**LLAMA, "num_hidden_layers": 2, "per_layer_config": {"1": {"head_dim": 64}}}
    assert all("other widths" in str(refusal_on(name, ModelCard.from_config(config), SchemeSettings(), "cpu")) for name in MINE)


@pytest.mark.parametrize("name", MINE)
def test_llama_is_refused_by_none(name: str) -> None:
    assert refusal_on(name, ModelCard.from_config(LLAMA), SchemeSettings(), "cpu") is None


@pytest.mark.parametrize(("config", "reason"), [(GPT2, "gpt2 is not known"), (LONGROPE, "longrope")])
def test_streaming_needs_plain_rotary_positions(config: dict[str, Any], reason: str) -> None:
    card = ModelCard.from_config(config)
    assert reason in str(refusal_on("streaming", card, SchemeSettings(), "cpu"))
    assert all(refusal_on(name, card, SchemeSettings(), "cpu") is None for name in MINE if name != "streaming")


@pytest.mark.parametrize(
    ("name", "sizes", "reason"),
    [
        ("kivi-2", SchemeSettings(group=32, residual=48), "not a multiple"),
        ("kivi-4", SchemeSettings(group=32, residual=0), "not a multiple"),
        ("h2o", SchemeSettings(budget=1, sinks=0), "halved"),
        ("snapkv", SchemeSettings(budget=32, observed=32), "has no room for"),
    ],
)
def test_sizes_that_do_not_fit_together_are_refused(name: str, sizes: SchemeSettings, reason: str) -> None:
    said = refusal_on(name, ModelCard.from_config(LLAMA), sizes, "cpu")
    assert reason in str(said)
    with pytest.raises(RequestError, match=reason):
        cache_for(tiny_llama(), name, sizes)


@pytest.mark.parametrize("family", sorted(TURNED_BY_HALVES))
def test_families_for_streaming_turn_keys_by_halves_in_transformers(family: str) -> None:
    """Its source: halves against each other, no interleaved pairs, no blocks without positions, one set of frequencies."""
    source = inspect.getsource(importlib.import_module(f"transformers.models.{family}.modeling_{family}"))
    assert "def rotate_half" in source
    assert "x1 = x[..., : x.shape[-1] // 2]" in source
    for odd in ("0::2", "no_rope", "repeat_interleave(2", "view_as_complex", "use_rope", "rope_layer"):
        assert odd not in source, f"{family} has {odd}"
    after = source.split("= apply_rotary_pos_emb(")[-1].split(".update(")[0]
    assert "norm" not in after, f"{family} norms keys after turning them"


@pytest.mark.parametrize("name", [name for name in MINE if name not in EVICTING])
def test_quantized_caches_serve_blocks_that_slide(name: str) -> None:
    """Slots stay where they were put, so transformers' own mask goes on being true."""
    from transformers import Gemma2Config, Gemma2ForCausalLM

    torch.manual_seed(0)
    sliding = {"sliding_window": 8, "layer_types": ["sliding_attention", "full_attention"], "query_pre_attn_scalar": 16}
    model: Any = Gemma2ForCausalLM(Gemma2Config(**CONFIG, **sliding)).eval()  # type: ignore[arg-type]
    model.requires_grad_(False)
    tokens = torch.randint(2, 64, (1, 40), generator=torch.Generator().manual_seed(1))
    sizes = SchemeSettings(group=8, residual=32)
    decoder = ModuleDecoder(model, 64, cache_for(model, name, sizes))
    full = DynamicCache(config=model.config)
    worst, largest = 0.0, 0.0
    with torch.inference_mode():
        for first, last in [(0, 20), *((at, at + 1) for at in range(20, 40))]:
            expected = model(tokens[:, first:last], past_key_values=full).logits
            found = decoder.forward(tokens[:, first:last])
            worst, largest = max(worst, float((found - expected).abs().max())), max(largest, float(expected.abs().max()))
    assert worst < {"int8": 0.01, "kivi-2": 0.6}.get(name, 0.15) * largest


def test_every_scheme_tested_here_is_in_the_catalog() -> None:
    assert set(MINE) <= set(SCHEMES)


@pytest.mark.parametrize("name", EVICTING)
def test_distances_to_every_token_leave_no_room_for_forgetting(name: str) -> None:
    bloom = ModelCard.from_config({"model_type": "bloom", "hidden_size": 64, "n_layer": 2, "n_head": 4, "vocab_size": 64})
    assert "ALiBi" in str(refusal_on(name, bloom, SchemeSettings(), "cpu"))
    assert refusal_on("int8", bloom, SchemeSettings(), "cpu") is None
