"""Every scheme through the fused forward and through the model's own modules: the same predictions, the same bytes."""

from __future__ import annotations

import pytest
import torch

from core.kvcache.settings import SchemeSettings
from core.runtime.generate import generate
from core.runtime.opening import open_decoder
from core.runtime.prefill import prefill
from tests.core.kvcache.schemes.making import MINE, cache_for, tiny_llama

SIZES = SchemeSettings(group=8, residual=16, budget=20, sinks=3, observed=6)


@pytest.mark.parametrize("name", MINE)
@pytest.mark.parametrize("batch", [1, 2])
def test_both_decoders_say_the_same(name: str, batch: int) -> None:
    model = tiny_llama()
    tokens = torch.randint(2, 64, (batch, 70), generator=torch.Generator().manual_seed(0))
    decoders = [open_decoder(model, 128, cache=cache_for(model, name, SIZES), batch=batch, fused=fused) for fused in (True, False)]
    found = [prefill(decoder, tokens[:, :40], chunk=24) for decoder in decoders]
    torch.testing.assert_close(*found, rtol=1e-4, atol=1e-4)
    for at in range(40, 70):
        torch.testing.assert_close(*(decoder.forward(tokens[:, at : at + 1]) for decoder in decoders), rtol=2e-3, atol=2e-3)
    assert decoders[0].cache.nbytes == decoders[1].cache.nbytes
    assert decoders[0].cache.held == decoders[1].cache.held


@pytest.mark.parametrize("name", MINE)
def test_a_second_text_is_read_as_the_first_was(name: str) -> None:
    model = tiny_llama()
    tokens = torch.randint(2, 64, (1, 50), generator=torch.Generator().manual_seed(1))
    cache = cache_for(model, name, SIZES)
    first = generate(model, tokens[:, :30], cache=cache, max_new_tokens=20)
    generate(model, tokens[:, 30:], cache=cache, max_new_tokens=12)
    again = generate(model, tokens[:, :30], cache=cache, max_new_tokens=20)
    assert first.tokens == again.tokens


@pytest.mark.gpu
@pytest.mark.parametrize("name", MINE)
def test_a_gpu_says_what_the_processor_says(name: str) -> None:
    tokens = torch.randint(2, 64, (2, 60), generator=torch.Generator().manual_seed(2))
    answers = []
    for device in ("cpu", "cuda"):
        model = tiny_llama().to(device)
        decoder = open_decoder(model, 128, cache=cache_for(model, name, SIZES), batch=2)
        prefill(decoder, tokens[:, :40].to(device), chunk=24)
        answers.append(torch.cat([decoder.forward(tokens[:, at : at + 1].to(device)) for at in range(40, 60)], dim=1).cpu())
    torch.testing.assert_close(*answers, rtol=5e-3, atol=5e-3)
