"""Rotary frequencies that change with the length of the text: every step is that of the whole text so far, in every cache."""

from __future__ import annotations

from typing import Any

import pytest
import torch
import transformers
from torch import Tensor
from transformers import PreTrainedModel

from core.errors import RequestError
from core.kvcache.catalog.settings import SchemeSettings
from core.kvcache.storage.build import build_cache
from core.runtime.decoder import Tree
from core.runtime.generate import generate
from core.runtime.opening import open_decoder
from core.runtime.prefill import prefill
from tests.core.runtime.tiny import _SHAPE

SWITCH, NEW = 24, 20
_ROPE: dict[str, Any] = {
    "rope_type": "longrope",
    "rope_theta": 1e4,
    "factor": 8.0,
    "original_max_position_embeddings": SWITCH,
    "short_factor": [1.0] * 8,
    "long_factor": [1.0 + place for place in range(8)],
}
_SCALES = {"short_mscale": 1.1, "long_mscale": 1.4}
MODELS: dict[str, tuple[str, dict[str, Any]]] = {
    "phi3": ("Phi3", _SHAPE | {"original_max_position_embeddings": SWITCH, "rope_parameters": _ROPE}),
    "phi3, window": ("Phi3", _SHAPE | {"original_max_position_embeddings": SWITCH, "rope_parameters": _ROPE, "sliding_window": 12}),
    "llama": ("Llama", _SHAPE | {"rope_parameters": _ROPE}),
    "phimoe": ("Phimoe", _SHAPE | {"num_local_experts": 4, "rope_parameters": _ROPE | _SCALES, "sliding_window": None}),
}


def model_of(name: str) -> PreTrainedModel:
    family, sizes = MODELS[name]
    torch.manual_seed(0)
    model: PreTrainedModel = getattr(transformers, f"{family}ForCausalLM")(getattr(transformers, f"{family}Config")(**sizes))
    return model.eval()


def prompt_of(length: int) -> Tensor:
    return torch.randint(1, 300, (length,), generator=torch.Generator().manual_seed(length))


@torch.no_grad()
def whole(model: Any, tokens: Tensor) -> Tensor:
    """Logits [V] of what follows a text, without any cache."""
    found: Tensor = model(tokens[None], use_cache=False).logits[0, -1]
    return found


def continued(model: Any, prompt: Tensor) -> list[int]:
    tokens = prompt
    for _ in range(NEW):
        tokens = torch.cat((tokens, whole(model, tokens).argmax()[None]))
    return tokens[len(prompt) :].tolist()


@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize("length", [3, SWITCH - 2, SWITCH, SWITCH + 1, SWITCH + 30])
def test_each_token_is_that_of_the_whole_text(name: str, length: int) -> None:
    model, prompt = model_of(name), prompt_of(length)
    assert generate(model, prompt, max_new_tokens=NEW).tokens[0] == continued(model, prompt)


@pytest.mark.parametrize("scheme", ["dynamic", "static", "paged", "h2o", "snapkv", "sliding"])
def test_each_scheme_that_rounds_nothing_gives_the_same(scheme: str) -> None:
    model, prompt = model_of("phi3"), prompt_of(SWITCH - 4)
    cache = build_cache(model, scheme, SchemeSettings(budget=128), SWITCH + NEW)
    assert generate(model, prompt, cache=cache, max_new_tokens=NEW).tokens[0] == continued(model, prompt)


@pytest.mark.parametrize("scheme", ["int8", "int4", "fp8-e4m3", "fp8-e5m2", "kivi-4", "kivi-2", "h2o", "snapkv", "sliding", "paged"])
def test_each_scheme_reads_the_text_again_where_the_frequencies_change(scheme: str) -> None:
    model, tokens = model_of("phi3"), prompt_of(SWITCH + 1)
    settings = SchemeSettings(group=8, residual=16, budget=16, observed=4)
    step, fresh = (open_decoder(model, 64, cache=build_cache(model, scheme, settings, 64)) for _ in range(2))
    prefill(step, tokens[None, : SWITCH - 2])
    for place in range(SWITCH - 2, SWITCH + 1):
        logits = step.forward(tokens[None, place : place + 1], last=True)[:, -1]
    torch.testing.assert_close(logits, prefill(fresh, tokens[None]))
    assert step.cache.held == fresh.cache.held


def test_a_prompt_read_in_chunks_is_one_text() -> None:
    model, tokens = model_of("phi3"), prompt_of(SWITCH + 30)
    decoder = open_decoder(model, len(tokens))
    torch.testing.assert_close(prefill(decoder, tokens[None], chunk=7)[0], whole(model, tokens), rtol=1e-4, atol=1e-4)


def test_rows_that_are_padded_are_rotated_alike() -> None:
    """By the longest row, as transformers does."""
    model, (short, long) = model_of("phi3"), (prompt_of(8), prompt_of(SWITCH - 3))
    tokens = torch.stack((torch.cat((torch.zeros(len(long) - len(short), dtype=torch.int64), short)), long))
    real = torch.arange(len(long)) >= torch.tensor([[len(long) - len(short)], [0]])
    answer = generate(model, tokens, real=real, max_new_tokens=NEW)
    expected = model.generate(tokens, attention_mask=real.long(), max_new_tokens=NEW, do_sample=False)  # type: ignore[operator]
    assert answer.tokens == expected[:, len(long) :].tolist()


def test_tokens_taken_back_across_the_switch() -> None:
    model, tokens = model_of("llama"), prompt_of(SWITCH + 6)
    decoder = open_decoder(model, len(tokens) + 4)
    prefill(decoder, tokens[None, : SWITCH - 2])
    decoder.forward(tokens[None, SWITCH - 2 : SWITCH + 3])
    decoder.keep([1], 5)
    kept = tokens[: SWITCH - 1]
    torch.testing.assert_close(
        decoder.forward(tokens[None, -1:], last=True)[0, -1], whole(model, torch.cat((kept, tokens[-1:]))), rtol=1e-4, atol=1e-4
    )
    decoder.forward(tokens[None, :4])
    expected = whole(model, torch.cat((kept, tokens[-1:], tokens[:4], tokens[:1])))
    torch.testing.assert_close(decoder.forward(tokens[None, :1], last=True)[0, -1], expected, rtol=1e-4, atol=1e-4)


def test_a_tree_is_refused_only_where_the_frequencies_change() -> None:
    model, tokens = model_of("phi3"), prompt_of(SWITCH + 12)
    decoder = open_decoder(model, len(tokens) + 16)
    prefill(decoder, tokens[None, : SWITCH - 6])
    tree = Tree.of([-1, 0, 0])
    decoder.forward(torch.tensor([[5, 6, 7]]), tree=tree)
    decoder.select(torch.tensor([0, 2]))
    text = torch.cat((tokens[: SWITCH - 6], torch.tensor([5, 7]), tokens[:6]))
    decoder.forward(tokens[None, :5])
    torch.testing.assert_close(decoder.forward(tokens[None, 5:6], last=True)[0, -1], whole(model, text), rtol=1e-4, atol=1e-4)
    decoder.reset()
    prefill(decoder, tokens[None, : SWITCH - 1])
    with pytest.raises(RequestError, match="rotary frequencies of this model change"):
        decoder.forward(torch.tensor([[5, 6, 7]]), tree=tree)


def test_dynamic_frequencies_end_with_the_models_context() -> None:
    """They grow with every token after it, which no cached key follows."""
    torch.manual_seed(0)
    rope = {"rope_type": "dynamic", "rope_theta": 1e4, "factor": 4.0}
    model = transformers.LlamaForCausalLM(transformers.LlamaConfig(**_SHAPE | {"max_position_embeddings": SWITCH, "rope_parameters": rope})).eval()
    assert generate(model, prompt_of(4), max_new_tokens=NEW).tokens[0] == continued(model, prompt_of(4))
    with pytest.raises(RequestError, match=f"exceed the model's context of {SWITCH}"):
        generate(model, prompt_of(SWITCH), max_new_tokens=NEW)
    with pytest.raises(RequestError, match="rotary frequencies"):
        build_cache(model, "streaming", SchemeSettings(budget=16, sinks=2), SWITCH)
