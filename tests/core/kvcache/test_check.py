from __future__ import annotations

from typing import Any

import pytest

from core.errors import RequestError
from core.kvcache.catalog.sizes import value_bytes
from core.kvcache.check import check
from core.kvcache.spec import KvCacheSpec
from core.kvcache.why.check import check as check_why
from core.kvcache.why.spec import KvCacheWhySpec
from core.models.card import ModelCard
from tests.conftest import TINY_LLAMA

LLAMA: dict[str, Any] = TINY_LLAMA | {"architectures": ["LlamaForCausalLM"], "model_type": "llama"}
SLIDING = LLAMA | {"architectures": ["MistralForCausalLM"], "model_type": "mistral", "sliding_window": 32}
LATENT = LLAMA | {"architectures": ["DeepseekV3ForCausalLM"], "model_type": "deepseek_v3", "kv_lora_rank": 32, "qk_rope_head_dim": 8}


def card(**changes: Any) -> ModelCard:
    return ModelCard.from_config(LLAMA | changes, name="tiny")


def spec(**values: Any) -> KvCacheSpec:
    return KvCacheSpec.model_validate({"model": "tiny", "budget": 40, "device": "cpu", "steps": 8} | values)


def test_the_bytes_of_every_cache_are_foretold_by_the_formula() -> None:
    found = check(spec(windows=3, batch=8, schemes=("static", "int8")), card())
    assert found.rows[0] == ("dynamic", 3 * 128 * 2 * 2 * 2 * 16 * 4, None)
    assert [name for name, _, _ in found.rows] == ["dynamic", "static", "int8"]
    assert found.peak_memory_bytes == sum(line.bytes for line in found.memory)
    assert found.warnings == ()
    assert {line.label: line.bytes for line in found.memory}["program"] > 400 * 2**20


def test_a_batch_that_does_not_fit_is_refused_before_anything_is_allocated() -> None:
    needed = check(spec(windows=500, batch=500), card()).peak_memory_bytes
    check(spec(windows=500, batch=500), card(), memory_available=needed)
    with pytest.raises(RequestError, match=r"500 windows of 128 tokens take about .* of memory are free: lower batch or context"):
        check(spec(windows=500, batch=500), card(), memory_available=needed - 1)
    with pytest.raises(RequestError, match="smaller model"):
        check(spec(), card(), memory_available=1000)


def test_schemes_that_look_at_the_attention_need_memory_for_it() -> None:
    def attention(*schemes: str) -> int:
        return {line.label: line.bytes for line in check(spec(schemes=schemes, windows=2), card()).memory}["attention"]

    assert attention("static", "sliding") == 0
    assert attention("static", "h2o") == 3 * 2 * 4 * 64 * 64 * 4


def test_the_chunk_is_that_of_the_prefill() -> None:
    from core.kvcache import check as module
    from core.runtime.prefill import CHUNK

    assert module._CHUNK == CHUNK


def test_predictions_that_are_not_kept_are_not_counted() -> None:
    big = card(vocab_size=250_000)
    lines = {line.label: line.bytes for line in check(spec(windows=64), big).memory}
    assert lines["predictions"] == 0
    assert {line.label: line.bytes for line in check(spec(windows=2), big).memory}["predictions"] == 2 * 64 * 250_000 * 4


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"context": 129}, "129 tokens exceed the 128 positions of tiny"),
        ({"prompt": 128}, "leaves nothing to score"),
        ({"prompt": 100, "steps": 64}, "more than the 128 positions"),
        ({"schemes": ("offload",)}, "no GPU is in use"),
        ({"heads": ("gqa-3",)}, "does not divide"),
    ],
)
def test_what_the_model_cannot_do_is_refused(values: dict[str, Any], words: str) -> None:
    with pytest.raises(RequestError, match=words):
        check(spec(**values), card())


def test_a_scheme_that_the_attention_does_not_allow_becomes_a_row_with_its_reason() -> None:
    sliding = ModelCard.from_config(SLIDING, name="tiny")
    found = {name: (held, refused) for name, held, refused in check(spec(schemes=("static", "h2o")), sliding).rows}
    assert found["static"][1] is None
    assert found["h2o"][0] == 0
    assert "use a sliding window of 32 tokens" in str(found["h2o"][1])
    with pytest.raises(RequestError, match="h2o needs attention over the whole text"):
        check(spec(schemes=("h2o", "snapkv")), sliding)


def test_a_model_that_keeps_no_keys_and_values_is_refused_as_a_whole() -> None:
    latent = ModelCard.from_config(LATENT, name="tiny")
    with pytest.raises(RequestError, match="multi-head latent attention"):
        check(spec(), latent)
    with pytest.raises(RequestError, match="multi-head latent attention"):
        check_why(KvCacheWhySpec(model="tiny", lengths=(4, 8, 16)), latent)


def test_lengths_beyond_the_context_are_refused() -> None:
    check_why(KvCacheWhySpec(model="tiny", lengths=(4, 8, 128)), card())
    with pytest.raises(RequestError, match="129 tokens exceed"):
        check_why(KvCacheWhySpec(model="tiny", lengths=(4, 8, 129)), card())


def test_head_variants_need_separate_projections() -> None:
    shapes = card().linears
    fused = card().model_copy(update={"linears": tuple(shape for shape in shapes if not shape.name_suffix.endswith("k_proj"))})
    with pytest.raises(RequestError, match="separate key and value projections"):
        check(spec(heads=("mqa",)), fused)


def test_auto_is_float32_on_a_cpu_and_the_checkpoints_own_on_a_gpu() -> None:
    stored = card(torch_dtype="bfloat16")
    assert [value_bytes("auto", stored, device) for device in ("cpu", "cuda:0")] == [4, 2]
    assert value_bytes("float16", stored, "cpu") == 2
