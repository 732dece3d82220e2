"""What fits: the published bytes a token, and limits that are really limits."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from core.errors import RequestError
from core.hardware.plan.estimate import estimate
from core.hardware.plan.machine import NAMED, Machine
from core.hardware.snapshot import GIBIBYTE
from core.kvcache.catalog.catalog import SCHEMES
from core.kvcache.catalog.fit import fit, machine_of_memory
from core.models.card import LatentCache, ModelCard
from tests.core.hardware.cards import CONFIGS, card

HOST = Machine("host", (), 64 * GIBIBYTE, 8, "Some CPU")

PUBLISHED = {
    "Llama-2-7B": 512,
    "Llama-2-13B": 800,
    "Llama-3-8B": 128,
    "Mistral-7B": 128,
    "Llama-3-70B": 320,
    "Llama-3.1-405B": 504,
    "Llama-3.2-1B": 32,
    "Qwen2.5-0.5B": 12,
    "Qwen3-8B": 144,
    "TinyLlama-1.1B": 22,
}
"""KiB/token in 16 bits."""


@pytest.mark.parametrize("name", PUBLISHED)
def test_full_caches_take_the_published_bytes_a_token(name: str) -> None:
    rows = {row.scheme: row for row in fit(card(name), HOST, context=1024).rows}
    assert rows["dynamic"].bytes_per_token == rows["static"].bytes_per_token == PUBLISHED[name] * 1024


def test_scales_count_kivi_2_takes_three_bits_a_value_on_long_texts() -> None:
    row = next(row for row in fit(card("Llama-3.2-1B"), HOST, context=131072).rows if row.scheme == "kivi-2")
    values = 2 * 16 * 8 * 64
    assert row.bytes_per_token is not None
    assert row.bytes_per_token * 8 / values == pytest.approx(3.0, rel=0.01)


@given(
    name=st.sampled_from(sorted(CONFIGS)),
    gpu=st.sampled_from(sorted(NAMED)),
    parallel=st.sampled_from([1, 2]),
    context=st.integers(1, 2048),
    concurrency=st.integers(1, 300),
    weights=st.sampled_from(["bf16", "w4a16"]),
)
@settings(max_examples=40, deadline=None)
def test_the_largest_fits_and_one_more_does_not(name: str, gpu: str, parallel: int, context: int, concurrency: int, weights: str) -> None:
    model, machine = card(name), HOST.with_gpus(gpu, parallel)

    def row_of(scheme: str, tokens: int, sequences: int) -> bool:
        answer = fit(model, machine, context=tokens, concurrency=sequences, weights=weights, tensor_parallel=parallel)
        return next(row.fits for row in answer.rows if row.scheme == scheme)

    answer = fit(model, machine, context=context, concurrency=concurrency, weights=weights, tensor_parallel=parallel)
    for row in answer.rows[::4]:
        if row.refused is not None:
            continue
        assert row.fits == (row.largest_concurrency >= concurrency) == (row.largest_context >= context)
        if row.largest_context:
            assert row_of(row.scheme, row.largest_context, concurrency)
        if row.largest_context < model.context:
            assert not row_of(row.scheme, row.largest_context + 1, concurrency)
        if row.largest_concurrency:
            assert row_of(row.scheme, context, row.largest_concurrency)


def test_the_budget_is_that_of_the_estimate() -> None:
    machine = HOST.with_gpus("h100", 2)
    answer = fit(card("Llama-3-70B"), machine, context=4096, concurrency=7, weights="w4a16", tensor_parallel=2)
    other = estimate(card("Llama-3-70B"), machine, context=4096, concurrency=7, weights="w4a16", tensor_parallel=2)
    dynamic = answer.rows[0]
    assert answer.room == other.left + other.line("kv cache").bytes
    assert dynamic.bytes == other.line("kv cache").bytes
    assert (dynamic.largest_context, dynamic.largest_concurrency) == (other.largest_context, other.largest_concurrency)


@pytest.mark.parametrize(("parallel", "heads"), [(1, 8), (2, 4), (4, 2), (8, 1), (16, 1), (32, 1)])
def test_kv_heads_are_shared_out_and_repeated_beyond(parallel: int, heads: int) -> None:
    answer = fit(card("Llama-3-8B"), HOST.with_gpus("h100", parallel), tensor_parallel=parallel)
    assert answer.kv_heads_per_gpu == heads
    assert answer.rows[0].bytes_per_token == 128 * 1024 * heads / 8
    assert any("more than the 8 KV heads" in note for note in answer.notes) == (parallel > 8)


def test_windows_and_latents_are_charged_as_models_keep_them() -> None:
    sliding = fit(card("Phi-3-mini"), HOST, context=4096)
    assert sliding.rows[0].bytes == card("Phi-3-mini").kv_bytes(4096)
    assert {row.scheme for row in sliding.rows if row.refused is None} >= {"dynamic", "static", "paged"}
    assert next(row for row in sliding.rows if row.scheme == "h2o").refused
    latent = card("Llama-3-8B").model_copy(update={"latent_cache": LatentCache(latent_dim=512, rope_dim=64)})
    answer = fit(latent, HOST.with_gpus("h100", 4), context=4096, tensor_parallel=4)
    assert answer.rows[0].bytes_per_token == (512 + 64) * 2 * 32, "the compressed vector is not shared out"


def test_falcon_is_charged_the_heads_that_transformers_repeats_and_engines_are_mentioned() -> None:
    sizes = {"hidden_size": 128, "num_hidden_layers": 2, "num_attention_heads": 8, "num_kv_heads": 2, "vocab_size": 64}
    falcon = ModelCard.from_config({"model_type": "falcon", "new_decoder_architecture": True, **sizes}, name="falcon")
    answer = fit(falcon, HOST, context=100)
    assert answer.rows[0].bytes == 100 * 2 * 2 * 8 * 16 * 2
    assert any("repeats keys and values to 8 heads, 2 of them different" in note for note in answer.notes)


def test_every_scheme_has_a_row_and_offload_needs_a_gpu() -> None:
    rows = {row.scheme: row for row in fit(card("Llama-3-8B"), HOST).rows}
    assert list(rows) == list(SCHEMES)
    assert "no GPU" in (rows["offload"].refused or "")
    with_gpu = {row.scheme: row for row in fit(card("Llama-3-8B"), HOST.with_gpus("4090"), context=8192, weights="w4a16").rows}
    assert with_gpu["offload"].largest_concurrency > with_gpu["dynamic"].largest_concurrency
    little = replace(HOST, ram=GIBIBYTE)
    assert not next(
        row for row in fit(card("Llama-3-8B"), little.with_gpus("4090"), context=8192, weights="w4a16").rows if row.scheme == "offload"
    ).fits


def test_the_grid_says_the_same_as_the_rows() -> None:
    answer = fit(card("Llama-3-8B"), HOST.with_gpus("4090"), context=4096, concurrency=16, weights="w4a16")
    for grid in answer.grids:
        row = next(row for row in answer.rows if row.scheme == grid.scheme)
        at = grid.contexts.index(4096), grid.concurrencies.index(16)
        assert grid.bytes[at[0]][at[1]] == row.bytes
        assert grid.fits[at[0]][at[1]] == row.fits
        for cells in grid.fits:
            assert list(cells) == sorted(cells, reverse=True), "more sequences never fit better"


@pytest.mark.parametrize(
    ("more", "sentence"),
    [
        ({"context": 8193}, "8,193 tokens is more than the 8,192"),
        ({"context": 0}, "give at least 1"),
        ({"concurrency": 0}, "give 1 to"),
        ({"tensor_parallel": 3}, "request fewer"),
        ({"weights": "int1"}, "unknown weight format"),
    ],
)
def test_what_cannot_be_is_refused(more: dict[str, object], sentence: str) -> None:
    with pytest.raises(RequestError, match=sentence):
        fit(card("Llama-3-8B"), HOST.with_gpus("h100"), **more)  # type: ignore[arg-type]


def test_a_gpu_may_be_given_by_its_memory_alone() -> None:
    machine = machine_of_memory(80, 2, HOST)
    assert fit(card("Llama-3-8B"), machine, tensor_parallel=2).capacity == 80 * GIBIBYTE
    with pytest.raises(RequestError, match="at least one GPU with memory"):
        machine_of_memory(0, 1, HOST)
