"""Perplexity and divergence against brute force in float64 and against transformers' own loss."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from torch import Tensor
from torch.nn import functional

from core.errors import Cancelled, RequestError, RunFailed
from core.evaluate.logits.sources import ModelLogits
from core.evaluate.windows import windows_of
from tests.core.evaluate.measure import block_error, divergence, divergences, perplexity
from tests.core.evaluate.toys import Bigram, Fixed

VOCABULARY, CONTEXT = 13, 8


@pytest.fixture
def tokens() -> Tensor:
    return torch.randint(0, VOCABULARY, (101,), generator=torch.Generator().manual_seed(3))


@pytest.fixture(params=[1, 3])
def threads(request: pytest.FixtureRequest) -> Iterator[int]:
    before = torch.get_num_threads()
    torch.set_num_threads(request.param)
    yield request.param
    torch.set_num_threads(before)


def brute_force(model: Bigram, tokens: Tensor, context: int, stride: int) -> Tensor:
    """Negative log-likelihoods of the strided evaluation, written as the plain loop over the text."""
    found: list[Tensor] = []
    scored_until = 1
    begins = list(range(0, len(tokens) - context + 1, stride))
    if stride < context and begins[-1] + context < len(tokens):
        begins.append(len(tokens) - context)
    for begin in begins:
        window = tokens[begin : begin + context]
        logits = model(window[None])[0].double()
        positions = [position for position in range(1, context) if begin + position >= scored_until]
        found += [-logits[position - 1].log_softmax(-1)[window[position]] for position in positions]
        scored_until = begin + context
    return torch.stack(found).detach()


@pytest.mark.parametrize("stride", [8, 5, 1])
def test_perplexity_is_that_of_the_plain_loop(tokens: Tensor, stride: int) -> None:
    model = Bigram(VOCABULARY, CONTEXT, seed=0)
    expected = brute_force(model, tokens, CONTEXT, stride)
    found = perplexity(model, tokens, CONTEXT, stride)
    assert found.tokens == len(expected)
    assert found.nll_mean == pytest.approx(expected.mean().item(), rel=1e-6)
    assert found.ppl == pytest.approx(math.exp(expected.mean().item()), rel=1e-6)
    assert found.nll_se == pytest.approx(block_error(expected.tolist()), rel=1e-6)
    assert found.ppl_se == pytest.approx(found.ppl * found.nll_se)


def test_perplexity_is_that_of_transformers_own_loss(tiny_llama_dir: Path) -> None:
    from transformers import AutoModelForCausalLM

    model = AutoModelForCausalLM.from_pretrained(tiny_llama_dir, dtype=torch.float32)
    row = torch.randint(0, 320, (300,), generator=torch.Generator().manual_seed(1))
    batch = row[:256].view(4, 64)
    with torch.no_grad():
        loss = model(input_ids=batch, labels=batch).loss.item()
    assert perplexity(model, row, 64).nll_mean == pytest.approx(loss, abs=1e-6)


def test_bits_per_byte_count_the_bytes_of_the_scored_tokens_only(tokens: Tensor) -> None:
    model = Bigram(VOCABULARY, CONTEXT, seed=0)
    token_bytes = torch.arange(len(tokens)) % 5
    found = perplexity(model, tokens, CONTEXT, token_bytes=token_bytes)
    scored = [position for position in range(96) if position % CONTEXT]
    assert found.bits_per_byte == pytest.approx(found.nll_mean * len(scored) / math.log(2) / sum(token_bytes[scored].tolist()))


def test_divergence_is_that_of_the_textbook(tokens: Tensor) -> None:
    reference, model = Bigram(VOCABULARY, CONTEXT, seed=0), Bigram(VOCABULARY, CONTEXT, seed=1)
    windows = tokens[:96].view(12, CONTEXT)
    p, q = (of_model(windows)[:, :-1].double().log_softmax(-1).detach().flatten(0, 1) for of_model in (reference, model))
    targets = windows[:, 1:].flatten()
    kl = (p.exp() * (p - q)).sum(-1)
    nll_p, nll_q = (functional.nll_loss(of_model, targets, reduction="none") for of_model in (p, q))
    n, same = len(targets), (p.argmax(-1) == q.argmax(-1)).double().mean().item()

    found = divergence(reference, model, tokens, CONTEXT)
    assert found.tokens == n
    assert found.kl_mean == pytest.approx(kl.mean().item(), rel=1e-6)
    assert found.kl_se == pytest.approx(block_error(kl.tolist()), rel=1e-6)
    assert found.kl_max == pytest.approx(kl.max().item(), rel=1e-6)
    for percent in (1, 50, 99.9):
        assert found.kl_percentiles[f"{percent:g}"] == pytest.approx(torch.quantile(kl, percent / 100).item(), rel=1e-6)
    assert found.top1_agreement == pytest.approx(same)
    assert found.top1_se == pytest.approx(block_error((p.argmax(-1) == q.argmax(-1)).double().tolist()), rel=1e-6)
    assert found.ln_ppl_ratio == pytest.approx((nll_q - nll_p).mean().item(), rel=1e-6)
    assert found.ln_ppl_ratio_se == pytest.approx(block_error((nll_q - nll_p).tolist()), rel=1e-6)
    assert found.ppl_ratio == pytest.approx(found.ppl / found.ppl_ref)
    assert found.ppl_ref == pytest.approx(perplexity(reference, tokens, CONTEXT).ppl)
    assert found.ppl == pytest.approx(perplexity(model, tokens, CONTEXT).ppl)


def test_a_model_agrees_with_itself(tokens: Tensor) -> None:
    model = Bigram(VOCABULARY, CONTEXT, seed=0)
    found = divergence(model, model, tokens, CONTEXT, 5)
    assert (found.kl_mean, found.kl_max, found.top1_agreement, found.top1_se, found.ppl_ratio, found.ln_ppl_ratio_se) == (0, 0, 1, 0, 1, 0)


def test_several_models_are_compared_in_one_pass_as_each_alone(tokens: Tensor) -> None:
    reference = Bigram(VOCABULARY, CONTEXT, seed=0)
    models = {name: Bigram(VOCABULARY, CONTEXT, seed=seed) for name, seed in (("a", 1), ("b", 2))}
    together = divergences(reference, models, tokens, CONTEXT, 3)
    assert together == {name: divergence(reference, model, tokens, CONTEXT, 3) for name, model in models.items()}


def test_chunks_of_any_size_give_the_same_figures(tokens: Tensor, threads: int) -> None:
    reference, model = Bigram(VOCABULARY, CONTEXT, seed=0), Bigram(VOCABULARY, CONTEXT, seed=1)
    windows = windows_of(tokens, CONTEXT).tokens
    a, b = reference(windows).detach(), model(windows).detach()
    whole = divergence(Fixed(a), Fixed(b), tokens, CONTEXT)
    assert divergence(Fixed(a, [5, 7]), Fixed(b, [1, 2, 9]), tokens, CONTEXT) == whole
    assert divergence(ModelLogits(reference, chunk_bytes=1), ModelLogits(model, chunk_bytes=3000), tokens, CONTEXT) == whole


def test_slices_of_a_window_give_the_same_figures(tokens: Tensor, monkeypatch: pytest.MonkeyPatch) -> None:
    reference, model = Bigram(VOCABULARY, CONTEXT, seed=0), Bigram(VOCABULARY, CONTEXT, seed=1)
    whole = divergence(reference, model, tokens, CONTEXT, 5)
    monkeypatch.setattr("core.evaluate.logits.walk._SLICE_ELEMENTS", 2 * VOCABULARY)
    assert divergence(reference, model, tokens, CONTEXT, 5) == whole


def test_a_model_is_evaluated_without_dropout_and_gets_its_mode_back(tokens: Tensor) -> None:
    bigram = Bigram(VOCABULARY, CONTEXT, seed=0)
    model = torch.nn.Sequential(bigram, torch.nn.Dropout(0.9)).train()
    assert perplexity(model, tokens, CONTEXT) == perplexity(bigram, tokens, CONTEXT)
    assert model.training


def test_a_model_that_finishes_loading_in_its_first_forward_does_so_once(tokens: Tensor, threads: int) -> None:
    """compressed-tensors unpacks the whole model in a hook before its first forward."""
    model = Bigram(VOCABULARY, CONTEXT, seed=0)
    expected = perplexity(model, tokens, CONTEXT)
    calls: list[int] = []

    def unpack(module: torch.nn.Module, arguments: object) -> None:
        calls.append(1)
        time.sleep(0.01)
        handle.remove()

    handle = model.register_forward_pre_hook(unpack)
    assert perplexity(ModelLogits(model, chunk_bytes=1), tokens, CONTEXT) == expected
    assert len(calls) == 1


def test_progress_is_told_after_each_window_and_may_cancel(tokens: Tensor) -> None:
    seen: list[tuple[int, int, float]] = []

    def cancel_at_third(done: int, total: int, nll: float) -> None:
        seen.append((done, total, nll))
        if done == 3:
            raise Cancelled("stopped")

    model = Bigram(VOCABULARY, CONTEXT, seed=0)
    with pytest.raises(Cancelled):
        perplexity(model, tokens, CONTEXT, on_window=cancel_at_third)
    assert [(done, total) for done, total, _ in seen] == [(1, 12), (2, 12), (3, 12)]
    assert seen[-1][2] == pytest.approx(perplexity(model, tokens[:24], CONTEXT).nll_mean)


def test_vocabularies_that_differ_are_refused(tokens: Tensor) -> None:
    with pytest.raises(RequestError, match="13 tokens and 17"):
        divergence(Bigram(VOCABULARY, CONTEXT, seed=0), Bigram(17, CONTEXT, seed=0), tokens, CONTEXT)


def test_a_token_outside_the_vocabulary_is_refused(tiny_llama_dir: Path) -> None:
    from transformers import AutoModelForCausalLM

    with pytest.raises(RequestError, match="token 320 is outside the model's vocabulary of 320"):
        perplexity(AutoModelForCausalLM.from_pretrained(tiny_llama_dir), torch.full((64,), 320), 32)


def test_predictions_that_are_no_numbers_end_the_run_with_a_sentence(tokens: Tensor) -> None:
    model = Bigram(VOCABULARY, CONTEXT, seed=0)
    model.table.data[3] = torch.nan
    with pytest.raises(RunFailed, match="window 1 of 12"):
        perplexity(model, tokens, CONTEXT)


def test_a_destroyed_model_has_an_infinite_perplexity_and_no_crash() -> None:
    logits = torch.zeros(1, 4, 3)
    logits[..., 0] = 1e4
    assert perplexity(Fixed(logits), torch.tensor([1, 1, 1, 1]), 4).ppl == math.inf
