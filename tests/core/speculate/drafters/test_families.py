"""Speculation over many families, through the fused path and the models' own modules: the text is that of plain decoding."""

from __future__ import annotations

import pytest

from core.runtime.generate import generate
from core.runtime.opening import open_decoder
from core.runtime.sampling import Sampling
from core.speculate.drafters.layers import with_blocks
from core.speculate.drafters.lookup import LookupDrafter
from core.speculate.drafters.model import ModelDrafter
from tests.core.runtime.tiny import FUSED, MANY, OTHERS, config_of, model_of, prompts
from tests.core.speculate.whole import speculate

NEW, SLOTS = 16, 60
FEW = ["llama", "gemma2", "qwen2, window"]
EVERY = [(name, None) for name in FUSED] + [(name, False) for name in sorted({*FUSED, *OTHERS, *MANY})]


def agree(name: str, fused: bool | None) -> None:
    model = model_of(config_of(name))
    if not hasattr(model.config, "num_experts_per_tok"):  # experts are multiplied in float32 only
        model = model.double()
    decoder = open_decoder(model, SLOTS, fused=fused)
    prompt = prompts(12)
    expected = generate(decoder, prompt, max_new_tokens=NEW).tokens
    blocks = 2 if name in {"gpt2", "gptj", "gpt_bigcode", "mpt, alibi", "gpt_neo, local"} else 3
    shorter = open_decoder(with_blocks(model, range(blocks - 1)), SLOTS, fused=False)
    itself = open_decoder(with_blocks(model, range(blocks)), SLOTS, fused=False)
    for drafter in (LookupDrafter(1, 3), ModelDrafter(shorter, Sampling()), ModelDrafter(itself, Sampling())):
        found = speculate(decoder, drafter, prompt, gamma=3, max_new_tokens=NEW)
        assert found.tokens == expected
    assert len(found.rounds) <= 1 + -(-(NEW - 1) // 4) + 1, "a model that drafts for itself is always right"


@pytest.mark.parametrize("name", FEW)
def test_some_families(name: str) -> None:
    agree(name, None)


@pytest.mark.slow
@pytest.mark.parametrize(("name", "fused"), EVERY)
def test_every_family(name: str, fused: bool | None) -> None:
    agree(name, fused)


@pytest.mark.parametrize("name", FEW)
def test_rows_of_a_batch_apart(name: str) -> None:
    model = model_of(config_of(name)).double()
    decoder, prompt = open_decoder(model, 120, batch=3), prompts(9, 3)
    expected = generate(decoder, prompt, max_new_tokens=NEW).tokens
    drafter = ModelDrafter(open_decoder(with_blocks(model, (0, 2)), 120, batch=3, fused=False), Sampling())
    assert speculate(decoder, drafter, prompt, gamma=3, max_new_tokens=NEW).tokens == expected
