"""The shapes of well-known models give the numbers of parameters that their makers publish."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from core.errors import RequestError
from core.models.well_known import CONFIGS, planned_card, well_known

PARAMETERS = {
    "tinyllama-1.1b": 1_100_048_384,
    "llama-2-7b": 6_738_415_616,
    "llama-2-13b": 13_015_864_320,
    "llama-3.2-1b": 1_235_814_400,
    "llama-3.2-3b": 3_212_749_824,
    "llama-3.1-8b": 8_030_261_248,
    "llama-3.1-70b": 70_553_706_496,
    "llama-3.1-405b": 405_853_388_800,
    "mistral-7b": 7_248_023_552,
    "qwen2.5-0.5b": 494_032_768,
    "qwen2.5-7b": 7_615_616_512,
    "qwen3-8b": 8_190_735_360,
    "qwen3-32b": 32_762_123_264,
}
"""As the model pages count them."""


@pytest.mark.parametrize("name", CONFIGS)
def test_parameters_are_the_published_ones(name: str) -> None:
    card = well_known(name)
    assert card.parameters == PARAMETERS[name]
    assert card.name == name
    assert card.sliding_layers == 0


def test_a_card_may_come_from_a_name_a_configuration_or_a_folder(tmp_path: Path, tiny_llama_dir: Path) -> None:
    assert planned_card("size:Llama-3.1-8B") == well_known("llama-3.1-8b")
    file = tmp_path / "some-model" / "config.json"
    file.parent.mkdir()
    file.write_text(json.dumps(CONFIGS["qwen3-8b"]))
    assert planned_card(str(file)).parameters == PARAMETERS["qwen3-8b"]
    assert planned_card(str(file)).name == "some-model"
    assert planned_card(str(file.parent)) == planned_card(str(file))
    assert planned_card(str(tiny_llama_dir)).file_bytes > 0


@pytest.mark.parametrize(
    ("size", "name"), [("7B", "llama-2-7b"), ("size:8b", "llama-3.1-8b"), ("70b", "llama-3.1-70b"), ("0.5B", "qwen2.5-0.5b"), ("32b", "qwen3-32b")]
)
def test_a_size_is_the_first_model_of_that_size(size: str, name: str) -> None:
    assert planned_card(size) == well_known(name)


def test_an_unknown_name_is_refused_with_those_that_are_known() -> None:
    with pytest.raises(RequestError, match="choose one of tinyllama"):
        planned_card("size:gpt-9")
    with pytest.raises(RequestError, match="unknown model 9B: choose one of"):
        planned_card("9B")
