"""Families that keep positions in other ways than Llama, with shapes of their own: what fits into a scheme's budget is what the full cache says."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from core.errors import RequestError
from core.kvcache.catalog.settings import SchemeSettings
from core.runtime.opening import open_decoder
from core.runtime.prefill import prefill
from tests.core.kvcache.schemes.making import CONFIG, MINE, cache_for

_GPT = {"vocab_size": 64, "n_embd": 64, "n_layer": 2, "n_head": 4, "n_positions": 128}
FAMILIES: dict[str, dict[str, Any]] = {
    "GPT2LMHeadModel": _GPT,
    "GPTJForCausalLM": {**_GPT, "rotary_dim": 8},
    "GPTBigCodeForCausalLM": _GPT,
    "BloomForCausalLM": {"vocab_size": 64, "hidden_size": 64, "n_layer": 2, "n_head": 4},
    "FalconForCausalLM": {key: value for key, value in CONFIG.items() if key not in ("head_dim", "num_key_value_heads")},
    "CohereForCausalLM": {**CONFIG, "pad_token_id": 0},
    "MixtralForCausalLM": {**CONFIG, "num_local_experts": 4},
    "Gemma3ForCausalLM": {**CONFIG, "sliding_window": 16},
}
SIZES = SchemeSettings(group=8, residual=64, budget=64)
LARGEST_SHARE = {"int8": 0.01, "int4": 0.2, "fp8-e4m3": 0.04, "fp8-e5m2": 0.08}


@pytest.mark.parametrize("family", FAMILIES)
def test_every_scheme_serves_the_family_or_says_why_not(family: str) -> None:
    model = _model(family)
    tokens = torch.randint(2, 64, (1, 44), generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        expected = model(tokens).logits[0, -1]
    said = {name: _last(model, name, tokens) for name in MINE}
    for name, found in said.items():
        if isinstance(found, Tensor):
            torch.testing.assert_close(found, expected, rtol=1e-3, atol=LARGEST_SHARE.get(name, 1e-4) * float(expected.abs().max()))
    assert all(isinstance(said[name], Tensor) for name in MINE[:6]), "what keeps every token serves every attention"
    assert all("scheme" in str(found) or str(found).startswith(name) for name, found in said.items() if not isinstance(found, Tensor))


def _last(model: Any, name: str, tokens: Tensor) -> Tensor | str:
    """The prediction after the last token, or why there is none."""
    try:
        decoder = open_decoder(model, 128, cache=cache_for(model, name, SIZES, 128))
        prefill(decoder, tokens[:, :30], chunk=16)
    except RequestError as error:
        return str(error)
    return [decoder.forward(tokens[:, at : at + 1])[0, -1] for at in range(30, tokens.shape[1])][-1]


def _model(name: str) -> Any:
    import transformers

    torch.manual_seed(0)
    kind: Any = getattr(transformers, name)
    model = kind(kind.config_class(**FAMILIES[name])).eval()
    model.requires_grad_(False)
    return model
