"""The fit check refuses with a sentence, and its estimates are what a run then finds."""

from __future__ import annotations

from pathlib import Path

import pytest
from pydantic import ValidationError

from core.errors import RequestError
from core.models.card import ModelCard
from core.quantize.check import check
from core.quantize.run import run
from core.quantize.spec import QuantizeSpec
from tests.core.quantize.conftest import RecordingContext


def small(**values: object) -> QuantizeSpec:
    return QuantizeSpec(**({"model": "m", "group_size": 32, "calibration_length": 64, "context": 64, "eval_tokens": 0} | values))


@pytest.mark.parametrize(
    "values",
    [
        {"method": "rtn"},
        {"method": "rtn", "bits": 3, "symmetric": False},
        {"method": "rtn", "granularity": "channel", "bits": 8},
        {"method": "rtn", "granularity": "tensor", "bits": 5},
    ],
    ids=str,
)
def test_predicted_size_is_the_size_on_disk(values: dict[str, object], tiny_llama_dir: Path, context: RecordingContext) -> None:
    card = ModelCard.from_folder(tiny_llama_dir)
    fit = check(small(**values), card)
    result = run(small(model=str(tiny_llama_dir), **values), context)
    linears = 14
    shapes_and_header = 16 * linears + 300 * (4 * linears + 10)
    assert fit.linears == linears
    assert 0 <= result.metrics.bytes_after - fit.bytes_after <= shapes_and_header
    assert fit.weights_quantized + fit.weights_kept == card.parameters
    assert fit.peak_memory_bytes == sum(line.bytes for line in fit.memory)


def test_the_sentence_offers_a_group_size_that_fits(tiny_llama_dir: Path) -> None:
    with pytest.raises(RequestError, match=r"group-size 48 does not divide the rows of mlp.down_proj \(128 weights\): choose 32, which"):
        check(small(group_size=48), ModelCard.from_folder(tiny_llama_dir))


def test_warnings_say_what_is_short(tiny_llama_dir: Path) -> None:
    card = ModelCard.from_folder(tiny_llama_dir)
    assert check(small(method="rtn"), card, memory_available=2**50, disk_free=2**50).warnings == ()
    tight = check(small(method="rtn", bits=3), card, memory_available=1000, disk_free=1000).warnings
    assert [sum(word in warning for warning in tight) for word in ("memory", "disk", "vLLM")] == [1, 1, 1]


@pytest.mark.parametrize(
    ("values", "sentence"),
    [
        ({"bits": 9}, "less than or equal to 8"),
        ({"bits": 1}, "greater than or equal to 2"),
        ({"activation_bits": 8}, "no other W8A8 kernel"),
        ({"method": "rtn", "act_order": True}, "applies to gptq"),
        ({"act_order": True, "static_groups": False}, "keep static-groups"),
        ({"eval_tokens": 10, "context": 64}, "do not fill one window"),
        ({"surprise": 1}, "not permitted"),
    ],
)
def test_fields_that_do_not_fit_together_are_refused(values: dict[str, object], sentence: str) -> None:
    with pytest.raises(ValidationError, match=sentence):
        QuantizeSpec(**({"model": "m"} | values))


def test_a_budget_below_the_smallest_width_is_refused_before_anything_is_measured(tiny_llama_dir: Path) -> None:
    card = ModelCard.from_folder(tiny_llama_dir)
    with pytest.raises(RequestError, match=r"a budget of 2 bits per weight is below the 2\.500 of width 2"):
        check(small(method="mixed", budget=2.0), card)
    with pytest.raises(RequestError, match=r"a budget of 4\.25 bits .* width 6"):
        check(small(method="mixed", widths=(6, 8)), card)
    assert check(small(method="mixed", widths=(6, 8), max_kl=0.1), card).linears == 14


def test_a_training_that_memory_cannot_hold_is_refused(tiny_llama_dir: Path) -> None:
    card = ModelCard.from_folder(tiny_llama_dir)
    fit = check(small(method="qat"), card, memory_available=64 * 2**30)
    assert any(line.label == "training" and line.bytes > 22 * fit.weights_quantized for line in fit.memory)
    with pytest.raises(RequestError, match=r"training takes about .* choose gptq or awq"):
        check(small(method="qat"), card, memory_available=fit.peak_memory_bytes - 1)


def test_many_measurements_are_announced(tiny_llama_dir: Path) -> None:
    card = ModelCard.from_folder(tiny_llama_dir)
    many = card.model_copy(update={"linears": tuple(linear.model_copy(update={"count": 200}) for linear in card.linears)})
    assert not [warning for warning in check(small(method="mixed"), card).warnings if "mixed measures" in warning]
    assert [warning for warning in check(small(method="mixed"), many).warnings if "mixed measures 7,000 models" in warning]
