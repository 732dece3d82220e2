"""Hidden states and head together are the model's own logits, whatever the family does to them."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from core.models.predictor import Predictor

SMALL: dict[str, Any] = {
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": 8,
    "vocab_size": 97,
    "max_position_embeddings": 64,
    "pad_token_id": None,
}
IN_PARTS: dict[str, dict[str, Any]] = {
    "llama": {},
    "mistral": {},
    "qwen3": {"tie_word_embeddings": True},
    "gemma2": {"final_logit_softcapping": 3.0, "sliding_window": 8},
    "gemma3_text": {"sliding_window": 8},
    "cohere": {"logit_scale": 0.25},
    "granite": {"logits_scaling": 6.0, "embedding_multiplier": 3.0},
    "phi3": {},
    "olmo2": {},
}


def build(family: str, **changes: Any) -> Any:
    from transformers import AutoConfig, AutoModelForCausalLM

    torch.manual_seed(0)
    model = AutoModelForCausalLM.from_config(AutoConfig.for_model(family, **{**SMALL, **changes})).eval()
    with torch.no_grad():
        model.get_output_embeddings().weight.mul_(20)
    return model


@pytest.mark.parametrize("family", IN_PARTS)
def test_the_two_parts_are_the_whole(family: str) -> None:
    model = build(family, **IN_PARTS[family])
    parts, tokens = Predictor.of(model), torch.randint(0, 97, (2, 9), generator=torch.Generator().manual_seed(1))
    assert parts.decoder is not None
    assert parts.words == 97
    with torch.no_grad():
        torch.testing.assert_close(parts.logits(parts.hidden(tokens)), model(tokens, use_cache=False).logits, rtol=1e-4, atol=1e-4)


def test_a_model_that_does_more_between_them_is_taken_as_a_whole() -> None:
    model = build("llama")
    own = model.forward

    def doubled(*given: Any, **named: Any) -> Any:
        found = own(*given, **named)
        found.logits = 2 * found.logits
        return found

    model.forward = doubled
    whole, tokens = Predictor.of(model), torch.arange(8)[None]
    assert whole.decoder is None
    assert whole.weight is None
    assert whole.words == 97
    with torch.no_grad():
        torch.testing.assert_close(whole.logits(whole.hidden(tokens)), model(tokens, use_cache=False).logits)
