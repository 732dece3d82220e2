"""Every scheme through the fused forward and through the model's own modules: the same predictions, the same bytes."""

from __future__ import annotations

import pytest
import torch

from core.kvcache.catalog.settings import SchemeSettings
from core.runtime.decoder import Tree
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


@pytest.mark.parametrize("name", MINE[:4])
@pytest.mark.parametrize("fused", [True, False])
def test_rows_that_keep_different_counts_go_on_as_if_alone(name: str, fused: bool) -> None:
    """What speculative decoding does to a batch: one row keeps three of four tokens, the other one."""
    model = tiny_llama()
    tokens = torch.randint(2, 64, (2, 30), generator=torch.Generator().manual_seed(3))
    both = open_decoder(model, 64, cache=cache_for(model, name, SIZES), batch=2, fused=fused)
    both.forward(tokens[:, :20])
    both.forward(tokens[:, 20:24])
    both.keep([3, 1], 4)
    found = both.forward(tokens[:, 24:25])
    for row, kept in enumerate((3, 1)):
        alone = open_decoder(model, 64, cache=cache_for(model, name, SIZES), fused=fused)
        alone.forward(tokens[row : row + 1, :20])
        alone.forward(tokens[row : row + 1, 20 : 20 + kept])
        expected = alone.forward(tokens[row : row + 1, 24:25])
        torch.testing.assert_close(found[row], expected[0], rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("name", MINE[:4])
@pytest.mark.parametrize("fused", [True, False])
def test_a_branch_of_a_tree_stays(name: str, fused: bool) -> None:
    model = tiny_llama()
    tokens = torch.randint(2, 64, (1, 30), generator=torch.Generator().manual_seed(4))
    branched, straight = (open_decoder(model, 64, cache=cache_for(model, name, SIZES), fused=fused) for _ in range(2))
    for decoder in (branched, straight):
        decoder.forward(tokens[:, :20])
    branched.forward(tokens[:, 20:25], tree=Tree.of([-1, 0, 0, 2, 1]))
    branched.select(torch.tensor([0, 2, 3]))
    straight.forward(tokens[:, [20, 22, 23]])
    found, expected = (decoder.forward(tokens[:, 26:27]) for decoder in (branched, straight))
    torch.testing.assert_close(found, expected, rtol=1e-3, atol=1e-3)
    assert branched.cache.nbytes == straight.cache.nbytes


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
