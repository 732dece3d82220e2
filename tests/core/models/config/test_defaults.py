"""What is read from transformers' source text equals what transformers says when it is imported."""

from __future__ import annotations

import pytest

from core.models.config.defaults import causal_model_types, config_defaults, model_types
from tests.core.models.families import FAMILIES


def test_every_model_type_is_known() -> None:
    from transformers import CONFIG_MAPPING
    from transformers.models.auto.modeling_auto import MODEL_FOR_CAUSAL_LM_MAPPING_NAMES

    assert set(CONFIG_MAPPING.keys()) <= model_types()
    assert set(MODEL_FOR_CAUSAL_LM_MAPPING_NAMES) == causal_model_types()
    assert "llama-next" not in model_types()


@pytest.mark.parametrize(
    "model_type", sorted({family.partition(" ")[0] for family in FAMILIES} - {"gemma3", "gemma3n_text"} | {"deepseek_v3", "gemma3_text"})
)
def test_defaults_equal_the_configuration_classes(model_type: str) -> None:
    from transformers import CONFIG_MAPPING

    made = CONFIG_MAPPING[model_type]()
    found = config_defaults(model_type)
    assert found.values["vocab_size"] == made.vocab_size
    names = ["hidden_size", "num_hidden_layers", "num_attention_heads", "num_key_value_heads", "head_dim", "intermediate_size", "tie_word_embeddings"]
    for name in names:
        own = found.attribute_map.get(name, name)
        if found.values.get(own) is not None:
            assert found.values[own] == getattr(made, name), name


@pytest.mark.parametrize("model_type", ["", "no_such", "../../../etc", "a/b", "\x1b[2J", "os"])
def test_unknown_types_have_no_defaults(model_type: str) -> None:
    assert config_defaults(model_type).values == {}
