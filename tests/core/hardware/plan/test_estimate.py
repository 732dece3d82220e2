"""The budget: what fits really fits, one more does not, and more of anything never fits better."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from core.errors import RequestError
from core.hardware.plan.estimate import Estimate, estimate
from core.hardware.plan.formats import KV_FORMATS, WEIGHT_FORMATS
from core.hardware.plan.machine import NAMED, Gpu, Machine
from core.hardware.snapshot import GIBIBYTE
from core.models.card import LatentCache, ModelCard
from tests.core.hardware.cards import CONFIGS, card

HOST = Machine("host", (), 64 * GIBIBYTE, 8, "Some CPU")

cards = st.sampled_from(sorted(CONFIGS)).map(card)
machines = st.one_of(
    st.integers(1, 512).map(lambda size: Machine("host", (), size * GIBIBYTE, 4)),
    st.tuples(st.sampled_from(sorted(NAMED)), st.sampled_from([1, 2])).map(lambda pair: HOST.with_gpus(*pair)),
)
contexts = st.integers(1, 200_000)
sequences = st.integers(1, 512)
weights = st.sampled_from(sorted(WEIGHT_FORMATS))
caches = st.sampled_from(sorted(KV_FORMATS))


def of(model: ModelCard, machine: Machine, context: int, concurrency: int, weight: str, cache: str) -> Estimate:
    return estimate(model, machine, context=context, concurrency=concurrency, weights=weight, kv=cache)


@given(cards, machines, contexts, sequences, weights, caches)
@settings(max_examples=150, deadline=None)
def test_the_largest_context_fits_and_one_more_token_does_not(
    model: ModelCard, machine: Machine, context: int, concurrency: int, weight: str, cache: str
) -> None:
    found = of(model, machine, context, concurrency, weight, cache).largest_context
    assert 0 <= found <= model.context
    if found:
        assert of(model, machine, found, concurrency, weight, cache).fits
    if found < model.context:
        assert not of(model, machine, found + 1, concurrency, weight, cache).fits


@given(cards, machines, contexts, sequences, weights, caches)
@settings(max_examples=150, deadline=None)
def test_the_largest_concurrency_fits_and_one_more_sequence_does_not(
    model: ModelCard, machine: Machine, context: int, concurrency: int, weight: str, cache: str
) -> None:
    found = of(model, machine, context, concurrency, weight, cache).largest_concurrency
    if found:
        assert of(model, machine, context, found, weight, cache).fits
    if found < 65_536:
        assert not of(model, machine, context, found + 1, weight, cache).fits


@given(cards, machines, contexts, contexts, sequences, sequences, weights, caches)
@settings(max_examples=150, deadline=None)
def test_more_context_or_more_sequences_never_fit_better(
    model: ModelCard, machine: Machine, context: int, more_context: int, concurrency: int, more: int, weight: str, cache: str
) -> None:
    less = of(model, machine, context, concurrency, weight, cache)
    longer = of(model, machine, context + more_context, concurrency, weight, cache)
    wider = of(model, machine, context, concurrency + more, weight, cache)
    assert longer.left <= less.left
    assert wider.left <= less.left
    assert wider.largest_context <= less.largest_context
    assert longer.largest_concurrency <= less.largest_concurrency


@given(cards, machines, contexts, sequences, weights, caches)
@settings(max_examples=100, deadline=None)
def test_the_budget_adds_up_and_each_line_says_how(
    model: ModelCard, machine: Machine, context: int, concurrency: int, weight: str, cache: str
) -> None:
    found = of(model, machine, context, concurrency, weight, cache)
    assert [line.name for line in found.lines] == ["weights", "kv cache", "activations", "runtime"]
    assert found.total == sum(line.bytes for line in found.lines)
    assert found.left == found.capacity - found.kept_free.bytes - found.total
    assert found.fits == (found.left >= 0)
    assert all(line.how and line.bytes > 0 for line in (*found.lines, found.kept_free))
    assert found.label == "estimate"
    json.dumps(found.to_json(), allow_nan=False)


def test_the_cache_is_the_card_s() -> None:
    found = estimate(card("Llama-3-8B"), HOST.with_gpus("h100"), context=8192, concurrency=16)
    assert found.line("kv cache").bytes == 16 * 8192 * 128 * 1024
    assert found.line("weights").bytes == 2 * card("Llama-3-8B").parameters


def test_every_format_is_shown_with_whether_it_fits() -> None:
    found = estimate(card("Llama-3-70B"), HOST.with_gpus("h100"), context=4096)
    fits = {row.format: row.fits for row in found.weight_formats}
    assert fits.keys() == WEIGHT_FORMATS.keys()
    assert (fits["bf16"], fits["w4a16"]) == (False, True)
    assert {row.format for row in found.kv_formats} == KV_FORMATS.keys()
    here = estimate(card("Llama-3-70B"), HOST.with_gpus("h100"), context=4096, weights="w4a16")
    assert here.fits
    assert next(row for row in here.weight_formats if row.format == "w4a16").bytes == here.line("weights").bytes
    assert next(row for row in here.kv_formats if row.format == "fp16").bytes == here.line("kv cache").bytes


def test_sliding_windows_bound_the_cache() -> None:
    model = card("Mistral-7B").model_copy(update={"sliding_window": 4096, "sliding_layers": 32})
    machine = HOST.with_gpus("4090")
    assert estimate(model, machine, context=32768).line("kv cache").bytes == 4096 * 128 * 1024
    assert "4,096" in estimate(model, machine, context=32768).line("kv cache").how


def test_tensor_parallelism_shares_weights_and_kv_heads() -> None:
    one = estimate(card("Llama-3-70B"), HOST.with_gpus("h100", 8), context=4096, concurrency=4)
    four = estimate(card("Llama-3-70B"), HOST.with_gpus("h100", 8), context=4096, concurrency=4, tensor_parallel=4)
    assert four.line("weights").bytes == -(-one.line("weights").bytes // 4)
    assert four.line("kv cache").bytes == one.line("kv cache").bytes // 4
    assert four.fits
    assert not one.fits
    few_heads = estimate(card("TinyLlama-1.1B"), HOST.with_gpus("h100", 8), tensor_parallel=8)
    assert few_heads.line("kv cache").bytes == card("TinyLlama-1.1B").kv_bytes(4096) // 4, "4 KV heads cannot be divided among 8 GPUs"


def test_a_latent_cache_is_on_every_gpu() -> None:
    model = card("Llama-3-8B").model_copy(update={"latent_cache": LatentCache(latent_dim=512, rope_dim=64)})
    machine = HOST.with_gpus("h100", 2)
    assert (
        estimate(model, machine, tensor_parallel=2).line("kv cache").bytes
        == estimate(model, machine).line("kv cache").bytes
        == model.kv_bytes(4096)
        == 4096 * 576 * 32 * 2
    )


def test_unified_memory_is_budgeted_as_main_memory() -> None:
    machine = Machine("spark", (Gpu("NVIDIA GB10", 120 * GIBIBYTE, 273e9, (12, 1), unified=True),), 120 * GIBIBYTE, 20)
    found = estimate(card("Llama-3-8B"), machine)
    assert found.place == "gpu"
    assert found.capacity == 120 * GIBIBYTE
    assert "main memory" in found.kept_free.how
    assert any("host's memory" in note for note in found.notes)


def test_the_smallest_of_unequal_gpus_decides() -> None:
    machine = Machine("two", (NAMED["h100"], NAMED["t4"]), 64 * GIBIBYTE, 8)
    assert estimate(card("Llama-3-8B"), machine).capacity == NAMED["t4"].memory


def test_notes_say_what_is_unusual() -> None:
    long = estimate(card("Llama-3-8B"), HOST, context=100_000)
    assert any("exceed the 8,192" in note for note in long.notes)
    widened = estimate(card("Llama-3-8B"), HOST.with_gpus("a100-80"), weights="fp8")
    assert any("no FP8 units" in note for note in widened.notes)


def test_what_others_hold_now_is_said_only_where_it_is_in_the_way() -> None:
    used = replace(NAMED["4090"], used=10 * GIBIBYTE)
    busy = Machine("busy", (used,), 64 * GIBIBYTE, 8, ram_used=60 * GIBIBYTE)
    assert any("10.0 GiB of GeForce RTX 4090 24GB are in use by other programs" in note for note in estimate(card("Llama-3-8B"), busy).notes)
    assert estimate(card("TinyLlama-1.1B"), busy, context=2048).notes == ()
    assert any("60.0 GiB of main memory" in note for note in estimate(card("Llama-3-8B"), busy, place="memory").notes)
    assert not estimate(card("Llama-3-70B"), busy).fits
    assert estimate(card("Llama-3-70B"), busy).notes == ()


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"context": 0}, "context of 0"),
        ({"concurrency": 0}, "concurrency of 0"),
        ({"concurrency": 10**9}, "concurrency of 1000000000"),
        ({"tensor_parallel": 0}, "at least 1"),
        ({"tensor_parallel": 2}, "2 GPUs are requested"),
        ({"place": "gpu"}, "no GPU to plan for"),
        ({"weights": "q9"}, "unknown"),
        ({"kv": "q9"}, "unknown"),
    ],
)
def test_a_wrong_request_is_one_sentence(arguments: dict[str, object], words: str) -> None:
    with pytest.raises(RequestError, match=words) as error:
        estimate(card("Llama-3-8B"), HOST, **arguments)  # type: ignore[arg-type]
    assert error.value.exit_code == 2
    assert "\n" not in str(error.value)


def test_heads_that_cannot_be_shared_out() -> None:
    with pytest.raises(RequestError, match="14 attention heads"):
        estimate(card("Qwen2.5-0.5B"), HOST.with_gpus("t4", 4), tensor_parallel=4)
