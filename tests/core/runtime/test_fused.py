"""The fused decode path writes what transformers' own generate writes."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn
from transformers import AutoModelForCausalLM, GemmaConfig, LlamaConfig, MistralConfig, PreTrainedModel, Qwen2Config, Qwen3Config

from core.errors import RequestError
from core.numerics.grid import Grid
from core.numerics.packed import use_packed
from core.quantize.rtn import quantize
from core.runtime import fused
from core.runtime.fused import FusedDecoder
from core.runtime.greedy import greedy

SHAPE: dict[str, Any] = {
    "hidden_size": 64,
    "intermediate_size": 128,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": 32,
    "vocab_size": 320,
    "max_position_embeddings": 256,
    "eos_token_id": None,
    "bos_token_id": None,
    "pad_token_id": 0,
    "initializer_range": 0.3,
}
FAMILIES: dict[str, Any] = {
    "llama": LlamaConfig(**SHAPE),
    "llama with biases and scaled positions": LlamaConfig(
        **SHAPE,
        attention_bias=True,
        mlp_bias=True,
        rope_parameters={
            "rope_type": "llama3",
            "rope_theta": 10000.0,
            "factor": 4.0,
            "low_freq_factor": 1.0,
            "high_freq_factor": 4.0,
            "original_max_position_embeddings": 64,
        },
    ),
    "mistral": MistralConfig(**SHAPE | {"num_key_value_heads": 4}, sliding_window=None),
    "qwen2, tied": Qwen2Config(**SHAPE | {"head_dim": 16}, tie_word_embeddings=True),
    "qwen3": Qwen3Config(**SHAPE),
}
PROMPT = torch.randint(0, 320, (19,), generator=torch.Generator().manual_seed(5))


def model_of(config: Any) -> PreTrainedModel:
    torch.manual_seed(1)
    model = AutoModelForCausalLM.from_config(config, dtype=torch.float32).eval()
    for name, parameter in model.named_parameters():
        if parameter.ndim == 1:
            parameter.data += 0.1 * torch.randn(parameter.shape, generator=torch.Generator().manual_seed(len(name)))
    return model


def by_transformers(model: PreTrainedModel, prompt: Tensor, tokens: int) -> list[int]:
    output = model.generate(prompt[None], attention_mask=torch.ones_like(prompt)[None], max_new_tokens=tokens, do_sample=False)
    return output[0, len(prompt) :].tolist()


@pytest.mark.parametrize("family", FAMILIES)
def test_greedy_text_is_that_of_transformers(family: str) -> None:
    model = model_of(FAMILIES[family])
    expected = by_transformers(model, PROMPT, 40)
    assert len(set(expected)) > 5
    decoder = FusedDecoder(model, len(PROMPT) + 40)
    assert list(greedy(decoder, PROMPT, 40)) == expected
    assert list(greedy(decoder, PROMPT, 40)) == expected
    assert by_transformers(model, PROMPT, 40) == expected


@pytest.mark.parametrize("family", FAMILIES)
def test_logits_are_those_of_transformers(family: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fused, "_CHUNK", 8)
    model = model_of(FAMILIES[family])
    with torch.no_grad():
        expected = model(PROMPT[None]).logits[0]
    decoder = FusedDecoder(model, 32)
    torch.testing.assert_close(decoder.forward(PROMPT[:11]), expected[10], rtol=1e-4, atol=1e-4)
    for position in range(11, len(PROMPT)):
        torch.testing.assert_close(decoder.forward(PROMPT[position : position + 1]), expected[position], rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("bits", [4, 8])
def test_packed_weights_decode_like_dequantized_ones(bits: int) -> None:
    model = model_of(FAMILIES["llama with biases and scaled positions"])
    grid = Grid(4, False, "group", 32) if bits == 4 else Grid(8, True, "channel")
    linears = {name: module for name, module in model.named_modules() if isinstance(module, nn.Linear)}
    weights = {name: quantize(linear.weight.detach(), None, grid) for name, linear in linears.items()}
    decoder = FusedDecoder(model, 60, weights)
    assert set(decoder.kernels.values()) == {f"int{bits} (torch, CPU)"}
    assert len(decoder.kernels) == 2 * 4 + 1
    for name, linear in linears.items():
        linear.weight.data.copy_(weights[name].dequantize())
    assert list(greedy(decoder, PROMPT, 40)) == by_transformers(model, PROMPT, 40)


def test_a_model_with_packed_linears_is_taken_as_it_is() -> None:
    model = model_of(FAMILIES["llama"])
    linears = {name: module for name, module in model.named_modules() if isinstance(module, nn.Linear)}
    use_packed(model, {name: quantize(linear.weight.detach(), None, Grid(4, True, "group", 32)) for name, linear in linears.items()})
    assert list(greedy(FusedDecoder(model, 60), PROMPT, 20)) == by_transformers(model, PROMPT, 20)


def test_mixed_widths_are_multiplied_apart() -> None:
    model = model_of(FAMILIES["llama"])
    linears = {name: module for name, module in model.named_modules() if isinstance(module, nn.Linear) and name.endswith(("q_proj", "v_proj"))}
    weights = {name: quantize(linear.weight.detach(), None, Grid(4, "q_" in name, "group", 32)) for name, linear in linears.items()}
    decoder = FusedDecoder(model, 60, weights)
    for name, linear in linears.items():
        linear.weight.data.copy_(weights[name].dequantize())
    assert list(greedy(decoder, PROMPT, 20)) == by_transformers(model, PROMPT, 20)


def test_a_stop_token_ends_the_text() -> None:
    model = model_of(FAMILIES["llama"])
    decoder = FusedDecoder(model, 60)
    text = list(greedy(decoder, PROMPT, 40))
    stop = next(token for token in text[5:] if token not in text[:5])
    assert list(greedy(decoder, PROMPT, 40, {stop})) == text[: text.index(stop) + 1]


def test_what_does_not_fit_is_refused() -> None:
    model = model_of(FAMILIES["llama"])
    decoder = FusedDecoder(model, 24)
    with pytest.raises(RequestError, match="prompt is empty"):
        next(greedy(decoder, PROMPT[:0], 4))
    with pytest.raises(RequestError, match="do not fit the cache of 24"):
        next(greedy(decoder, PROMPT, 7))
    assert len(list(greedy(decoder, PROMPT, 6))) == 6
    with pytest.raises(RequestError, match="the cache holds 24 tokens and 25 are needed"):
        decoder.forward(PROMPT[:1])
    with pytest.raises(RequestError, match="context of 256"):
        FusedDecoder(model, 257)
    gemma = AutoModelForCausalLM.from_config(GemmaConfig(**SHAPE | {"hidden_activation": "gelu"}))
    with pytest.raises(RequestError, match="gemma has no fused decode path"):
        FusedDecoder(gemma, 24)
    windowed = AutoModelForCausalLM.from_config(MistralConfig(**SHAPE, sliding_window=16))
    with pytest.raises(RequestError, match="sliding window of 16"):
        FusedDecoder(windowed, 24)
