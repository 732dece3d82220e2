from __future__ import annotations

from pathlib import Path

import pytest
import torch

from core.errors import Cancelled, RequestError
from core.kvcache.why.projections import counted
from core.kvcache.why.run import run
from core.kvcache.why.spec import KvCacheWhySpec
from core.models.load import load_model
from tests.core.conftest import RecordingContext


@pytest.fixture(scope="module")
def spec(tiny_llama_dir: Path) -> KvCacheWhySpec:
    return KvCacheWhySpec(model=str(tiny_llama_dir), lengths=(2, 6, 12, 24), repeats=2, device="cpu", threads=1)


def test_without_a_cache_every_key_is_computed_again(spec: KvCacheWhySpec, context: RecordingContext) -> None:
    found = run(spec, context)
    assert [row.tokens for row in found.rows] == [2, 6, 12, 24]
    for row in found.rows:
        assert row.with_projections == row.with_projections_formula == 2 * 2 * row.tokens
        assert row.without_projections == row.without_projections_formula == 2 * 2 * row.tokens * (row.tokens + 1) // 2
        assert row.cache_bytes == row.tokens * 2 * 2 * 2 * 16 * 4
        assert row.total_speedup == pytest.approx(row.without_total_seconds / row.with_total_seconds)
    assert {fit.name for fit in found.fits} == {"with total", "without total", "with token", "without token"}
    assert all(fit.low <= fit.exponent <= fit.high and fit.points == 8 for fit in found.fits)
    assert [part.cached for part in found.parts] == [True, False]
    assert all(part.step_ms >= 0 and part.token_us >= 0 for part in found.parts)
    assert found.metrics["tokens"] == 24
    assert set(found.metrics) >= {"speedup", "total_speedup", "exponent_with_token", "exponent_without_total", "cache_bytes"}
    assert found.model_dump(mode="json")["schema"] == "llmopt.kv-cache-why/1"
    assert {(name, label) for name, _, _, label in context.metrics} == {("token_ms", "with a cache"), ("token_ms", "without a cache")}


def test_progress_ends_where_it_said_it_would(spec: KvCacheWhySpec, context: RecordingContext) -> None:
    run(spec, context)
    done, totals = [step[0] for step in context.steps], {step[1] for step in context.steps[1:]}
    assert done == sorted(done)
    assert totals == {3 * (24 + 24 * 25 // 2)}


def test_cancel_is_honoured_between_steps(spec: KvCacheWhySpec, context: RecordingContext) -> None:
    context.cancel_when = lambda seen: len(seen.steps) > 3
    with pytest.raises(Cancelled):
        run(spec, context)


def test_a_length_beyond_the_context_is_refused(tiny_llama_dir: Path, context: RecordingContext) -> None:
    with pytest.raises(RequestError, match="129 tokens exceed the 128 positions"):
        run(KvCacheWhySpec(model=str(tiny_llama_dir), lengths=(2, 6, 129)), context)


def test_projections_of_other_families_are_counted(tiny_llama_dir: Path) -> None:
    from transformers import GPT2Config, GPT2LMHeadModel

    tokens = torch.randint(2, 60, (2, 7))
    gpt2 = GPT2LMHeadModel(GPT2Config(n_embd=32, n_layer=3, n_head=2, vocab_size=64, n_positions=32)).eval()
    with counted(gpt2) as count:
        gpt2(tokens)
    assert count.vectors == 2 * 3 * 2 * 7
    with counted(load_model(tiny_llama_dir)) as count:
        pass
    assert count.vectors == 0


def test_hooks_are_taken_off_again(tiny_llama_dir: Path) -> None:
    model = load_model(tiny_llama_dir, torch.float32)
    with counted(model) as count:
        model(torch.tensor([[3, 4]]))
    before = count.vectors
    model(torch.tensor([[3, 4]]))
    assert count.vectors == before == 2 * 2 * 2
