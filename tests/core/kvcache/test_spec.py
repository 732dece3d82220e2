from __future__ import annotations

import pytest

from core.errors import RequestError
from core.kvcache.catalog.catalog import SCHEMES
from core.kvcache.spec import DEFAULT_SCHEMES, KvCacheSpec
from core.kvcache.why.spec import KvCacheWhySpec


def refused(**values: object) -> str:
    with pytest.raises(RequestError) as caught:
        KvCacheSpec.parse({"model": "m"} | values)
    return str(caught.value)


def test_schemes_are_names_with_commas_lists_or_all() -> None:
    assert KvCacheSpec.model_validate({"model": "m", "schemes": "kivi-4, h2o"}).schemes == ("kivi-4", "h2o")
    assert KvCacheSpec.model_validate({"model": "m", "schemes": ["h2o", "h2o", "static"]}).schemes == ("h2o", "static")
    assert KvCacheSpec.model_validate({"model": "m", "schemes": "all"}).schemes == tuple(SCHEMES)
    assert KvCacheSpec.model_validate({"model": "m", "needle_depths": "10 90"}).needle_depths == (10, 90)


def test_the_full_cache_is_measured_first_whatever_was_asked_for() -> None:
    assert KvCacheSpec(model="m", schemes=("h2o", "dynamic", "static")).measured == ("dynamic", "h2o", "static")
    assert KvCacheSpec(model="m", schemes=("int8",)).measured == ("dynamic", "int8")


def test_what_is_measured_by_default_needs_no_gpu() -> None:
    assert "offload" not in DEFAULT_SCHEMES
    assert len(DEFAULT_SCHEMES) == len(SCHEMES) - 1


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"schemes": ("kivi-9",)}, "unknown cache scheme 'kivi-9'"),
        ({"schemes": ("\x1b[31mred",)}, "choose dynamic"),
        ({"schemes": ()}, "schemes"),
        ({"heads": ("gqa-0",)}, "unknown head variant"),
        ({"heads": ("mla",)}, "choose mha, mqa, gqa-N"),
        ({"needle_depths": (10, 101)}, "from 0 to 100"),
        ({"needle_depths": (10, 10)}, "distinct"),
        ({"context": 64, "prompt": 64}, "leaves nothing to score"),
        ({"sinks": 256}, "leave nothing of a budget"),
        ({"batch": 0}, "batch"),
        ({"steps": "many"}, "steps"),
    ],
)
def test_what_does_not_fit_together_is_refused_in_one_sentence(values: dict[str, object], words: str) -> None:
    said = refused(**values)
    assert words in said
    assert "\n" not in said
    assert "\x1b" not in said


def test_head_variants_are_called_by_their_usual_names_and_leave_out_the_models_own() -> None:
    assert KvCacheSpec(model="m", heads=("all",)).variants(8, 2) == ("mha", "gqa-4", "mqa")
    assert KvCacheSpec(model="m", heads=("gqa-8", "gqa-1", "mha")).variants(8, 2) == ("mha", "mqa")
    assert KvCacheSpec(model="m", heads=("gqa-2",)).variants(8, 2) == ()
    with pytest.raises(RequestError, match="does not divide the model's 8 query heads"):
        KvCacheSpec(model="m", heads=("gqa-3",)).variants(8, 2)


def test_a_window_is_the_models_context_up_to_1024_and_half_of_it_the_prompt() -> None:
    assert (KvCacheSpec(model="m").context_of(128), KvCacheSpec(model="m").prompt_of(128)) == (128, 64)
    assert (KvCacheSpec(model="m").context_of(131072), KvCacheSpec(model="m").prompt_of(131072)) == (1024, 512)
    assert KvCacheSpec(model="m", context=2048, prompt=7).context_of(4096) == 2048


@pytest.mark.parametrize("lengths", [(10, 5, 20), (1, 5, 9), (5, 5, 9), (5, 9)])
def test_lengths_ascend(lengths: tuple[int, ...]) -> None:
    with pytest.raises(RequestError, match="lengths"):
        KvCacheWhySpec.parse({"model": "m", "lengths": lengths})
