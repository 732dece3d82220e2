"""Cards computed from a configuration against what transformers builds from the same configuration."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from core.models.card import ModelCard
from core.models.load import load_model
from tests.core.models.families import FAMILIES, save

_EXPERTS = {"gpt_oss"}
_SEVERAL_STATES = {"gemma3", "gemma3n_text"}


@pytest.mark.parametrize("family", sorted(set(FAMILIES) - _EXPERTS - _SEVERAL_STATES))
def test_shape_parameters_and_cache_are_transformers_own(family: str, tmp_path: Path) -> None:
    folder = save(family, tmp_path / "model")
    counted = ModelCard.from_folder(folder)
    computed = ModelCard.from_config(json.loads((folder / "config.json").read_text()))
    model = load_model(folder, torch.float32)
    assert counted.parameters == computed.parameters == sum(parameter.numel() for parameter in model.parameters())
    assert (computed.layers, computed.hidden_size, computed.vocabulary) == (3, 64, 320)
    assert counted.model_dump(exclude={"name", "dtype", "file_bytes", "linears", "parameters_from"}) == computed.model_dump(
        exclude={"name", "dtype", "file_bytes", "linears", "parameters_from"}
    )
    tokens = 6
    cache = model(input_ids=torch.arange(2, 2 + tokens)[None], use_cache=True).past_key_values
    held = sum(layer.keys.numel() + layer.values.numel() for layer in cache.layers)
    assert computed.kv_bytes(tokens, bits=32) == 4 * held
    assert computed.kv_bytes_per_token(32) * tokens == 4 * held


@pytest.mark.parametrize("family", sorted(set(FAMILIES) - _EXPERTS - _SEVERAL_STATES))
def test_linears_computed_from_the_configuration_are_those_of_the_weights(family: str, tmp_path: Path) -> None:
    folder = save(family, tmp_path / "model")
    counted = ModelCard.from_folder(folder).linears
    computed = ModelCard.from_config(json.loads((folder / "config.json").read_text())).linears
    assert sum(linear.out_features * linear.in_features * linear.count for linear in counted) == sum(
        linear.out_features * linear.in_features * linear.count for linear in computed
    )
    if not {"num_experts", "num_local_experts"} & set(FAMILIES[family]):
        assert {linear.name_suffix: linear for linear in counted} == {linear.name_suffix: linear for linear in computed}


def test_sliding_layers_are_transformers_own(tmp_path: Path) -> None:
    for family in ("gemma2", "gemma3_text", "cohere2", "qwen2", "gpt_oss"):
        folder = save(family, tmp_path / family)
        types = load_model(folder).config.layer_types
        config = json.loads((folder / "config.json").read_text())
        assert ModelCard.from_config(config).sliding_layers == types.count("sliding_attention")
        del config["layer_types"]
        changed = {name: value for name, value in FAMILIES[family].items() if name == "sliding_window_pattern"}
        assert ModelCard.from_config(config | changed).sliding_layers == types.count("sliding_attention")
