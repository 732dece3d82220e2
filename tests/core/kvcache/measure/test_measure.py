"""Oracles: the evaluation of the same targets without a cache, transformers' own generation, and one text at a time."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from core.errors import RunFailed
from core.evaluate.logits.sources import ModelLogits
from core.evaluate.logits.walk import walk
from core.evaluate.windows import Windows
from core.kvcache.catalog.catalog import SCHEMES
from core.kvcache.catalog.settings import SchemeSettings
from core.kvcache.measure.quality import Live, Track, keep, measure, teacher_forced_logits
from core.kvcache.storage.build import build_cache
from core.models.load import load_model
from core.runtime.decoder import Decoder
from core.runtime.opening import open_decoder

T, PROMPT, ROWS = 60, 20, 3
SETTINGS = SchemeSettings(budget=16, group=8, residual=8, observed=8)


@pytest.fixture(scope="module")
def model(tiny_llama_dir: Path) -> Any:
    return load_model(tiny_llama_dir, torch.float32)


@pytest.fixture(scope="module")
def windows() -> Tensor:
    return torch.randint(2, 300, (ROWS, T), generator=torch.Generator().manual_seed(3))


def decoder(model: Any, scheme: str, rows: int = ROWS) -> Decoder:
    return open_decoder(model, T, cache=build_cache(model, scheme, SETTINGS, T, rows), batch=rows)


def tracked(model: Any, scheme: str, windows: Tensor) -> Track:
    kept = keep(decoder(model, "dynamic", len(windows)), windows, PROMPT, lambda: None)
    return measure(decoder(model, scheme, len(windows)), windows, PROMPT, kept, lambda done, nll: None)


@pytest.mark.parametrize("scheme", ["dynamic", "static", "paged"])
def test_through_a_full_cache_the_perplexity_is_that_of_the_evaluation(model: Any, windows: Tensor, scheme: str) -> None:
    track = tracked(model, scheme, windows)
    begin = torch.arange(ROWS) * T
    (plain,) = walk([ModelLogits(model)], Windows(windows, begin, torch.full((ROWS,), PROMPT)))
    torch.testing.assert_close(track.nll.flatten(), plain.nll, atol=2e-6, rtol=0)
    assert float(track.kl.abs().max()) < 1e-8
    assert bool(track.same_top.all())


@pytest.mark.parametrize("scheme", ["int8", "kivi-2", "sliding", "streaming", "h2o", "snapkv"])
def test_a_batch_is_its_texts_one_by_one(model: Any, windows: Tensor, scheme: str) -> None:
    together = tracked(model, scheme, windows)
    alone = Track.joined([tracked(model, scheme, row[None]) for row in windows])
    torch.testing.assert_close(together.nll, alone.nll, atol=1e-4, rtol=1e-4)
    assert float(together.kl.max()) > 1e-7, "a lossy cache changes something"


@pytest.mark.parametrize("name", sorted(set(SCHEMES) - {"offload"}))
def test_what_looks_and_what_forgets_is_stated_as_the_caches_do_it(model: Any, windows: Tensor, name: str) -> None:
    cache = build_cache(model, name, SETTINGS, T, ROWS)
    assert cache.observes == SCHEMES[name].observes
    list(teacher_forced_logits(open_decoder(model, T, cache=cache, batch=ROWS), windows, PROMPT))
    assert (cache.held < cache.seen) == SCHEMES[name].evicts


def test_what_is_fed_is_what_transformers_generates(model: Any, windows: Tensor) -> None:
    prompt = windows[:1, :PROMPT]
    whole = model.generate(prompt, max_new_tokens=T - PROMPT, do_sample=False, eos_token_id=None, pad_token_id=0)
    predicted = torch.stack([logits.argmax(-1) for logits in teacher_forced_logits(decoder(model, "dynamic", 1), whole, PROMPT)], dim=1)
    assert torch.equal(predicted, whole[:, PROMPT:])


def test_the_divergence_is_that_of_the_definition(model: Any, windows: Tensor) -> None:
    track = tracked(model, "kivi-2", windows)
    exact, rounded = (torch.stack(list(teacher_forced_logits(decoder(model, name), windows, PROMPT)), 1).double() for name in ("dynamic", "kivi-2"))
    p, q = exact.softmax(-1), rounded.log_softmax(-1)
    torch.testing.assert_close(track.kl, (p * (p.log() - q)).sum(-1), atol=5e-7, rtol=1e-4)
    targets = windows[:, PROMPT:, None]
    torch.testing.assert_close(track.nll, -q.gather(2, targets)[..., 0], atol=1e-5, rtol=0)


@pytest.mark.parametrize("scheme", sorted(set(SCHEMES) - {"offload"}))
def test_a_cache_that_is_used_again_has_forgotten_what_was_in_it(model: Any, windows: Tensor, scheme: str) -> None:
    kept = keep(decoder(model, "dynamic"), windows, PROMPT, lambda: None)
    used = decoder(model, scheme)
    measure(used, windows.flip(1), PROMPT, kept, lambda done, nll: None)
    again = measure(used, windows, PROMPT, kept, lambda done, nll: None)
    fresh = measure(decoder(model, scheme), windows, PROMPT, kept, lambda done, nll: None)
    assert torch.equal(again.nll, fresh.nll)


def test_predictions_computed_again_are_those_that_were_kept(model: Any, windows: Tensor) -> None:
    again = Live(lambda: decoder(model, "dynamic"), windows, PROMPT)
    live = measure(decoder(model, "kivi-2"), windows, PROMPT, again, lambda done, nll: None)
    torch.testing.assert_close(live.kl, tracked(model, "kivi-2", windows).kl, atol=0, rtol=0)


def test_the_curve_is_the_mean_so_far(model: Any, windows: Tensor) -> None:
    told: list[tuple[int, float]] = []
    kept = keep(decoder(model, "dynamic"), windows, PROMPT, lambda: None)
    track = measure(decoder(model, "dynamic"), windows, PROMPT, kept, lambda done, nll: told.append((done, nll)))
    assert [done for done, _ in told] == list(range(1, T - PROMPT + 1))
    assert told[-1][1] == pytest.approx(float(track.nll.mean()))
    assert told[4][1] == pytest.approx(float(track.nll[:, :5].mean()))


def test_predictions_that_are_not_numbers_name_the_token(model: Any, windows: Tensor) -> None:
    broken = decoder(model, "dynamic")
    forward, calls = broken.forward, []

    def spoilt(tokens: Tensor, **options: Any) -> Tensor:
        calls.append(tokens.shape[1])
        return forward(tokens, **options) * (float("nan") if len(calls) == 8 else 1.0)

    broken.forward = spoilt  # type: ignore[method-assign]
    kept = keep(decoder(model, "dynamic"), windows, PROMPT, lambda: None)
    with pytest.raises(RunFailed, match=f"logits contain NaN or Inf at token {PROMPT + 8} of a window"):
        measure(broken, windows, PROMPT, kept, lambda done, nll: None)
