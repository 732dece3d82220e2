"""The schemes as `past_key_values` of transformers' own `generate`."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from core.kvcache.catalog.settings import SchemeSettings
from core.runtime.generate import generate
from tests.core.kvcache.schemes.making import MINE, cache_for, tiny_llama

ASKED = {"max_new_tokens": 24, "eos_token_id": None, "do_sample": False, "pad_token_id": 0}
QUANTIZED = MINE[:6]
SHARP: dict[str, Any] = {"initializer_range": 0.2}


@pytest.mark.parametrize("name", [*QUANTIZED, "sliding"])
def test_generate_says_what_our_loop_says(name: str) -> None:
    model, sizes = tiny_llama(**SHARP), SchemeSettings(group=8, residual=16, budget=16)
    tokens = torch.randint(2, 64, (2, 30), generator=torch.Generator().manual_seed(0))
    theirs = model.generate(tokens, attention_mask=torch.ones_like(tokens), past_key_values=cache_for(model, name, sizes), **ASKED)
    if name != "sliding":
        ours = generate(model, tokens, cache=cache_for(model, name, sizes), max_new_tokens=24)
        assert theirs[:, 30:].tolist() == ours.tokens
    assert theirs.shape == (2, 54)


@pytest.mark.parametrize("name", [*MINE[4:], "static"])
def test_generate_with_room_for_all_says_what_the_full_cache_says(name: str) -> None:
    model, sizes = tiny_llama(**SHARP), SchemeSettings(group=8, residual=64, budget=64)
    tokens = torch.randint(2, 64, (2, 30), generator=torch.Generator().manual_seed(0))
    expected = model.generate(tokens, attention_mask=torch.ones_like(tokens), **ASKED)
    found = model.generate(tokens, attention_mask=torch.ones_like(tokens), past_key_values=cache_for(model, name, sizes), **ASKED)
    assert found.tolist() == expected.tolist()


@pytest.mark.parametrize("name", ["kivi-4", "kivi-2"])
def test_beams_move_the_rows(name: str) -> None:
    """With the residual as long as the text nothing is rounded, and beams over our cache are those over transformers'."""
    model, sizes = tiny_llama(**SHARP), SchemeSettings(group=8, residual=64)
    tokens = torch.randint(2, 64, (1, 12), generator=torch.Generator().manual_seed(0))
    asked = {**ASKED, "num_beams": 3, "attention_mask": torch.ones_like(tokens)}
    found = model.generate(tokens, past_key_values=cache_for(model, name, sizes), **asked)
    assert found.tolist() == model.generate(tokens, **asked).tolist()
