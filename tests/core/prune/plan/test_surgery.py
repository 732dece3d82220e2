"""Models that a cut would silently break are refused by name; sizes of real models are computed from their configuration alone."""

from __future__ import annotations

from typing import Any

import pytest

from core.errors import RequestError
from core.models.card import ModelCard
from core.prune.methods import METHODS
from core.prune.spec import PruneSpec

TEXT: dict[str, Any] = {
    "hidden_size": 64,
    "intermediate_size": 128,
    "num_hidden_layers": 4,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "vocab_size": 320,
    "head_dim": 16,
}
LLAMA_8B: dict[str, Any] = {
    "model_type": "llama",
    "architectures": ["LlamaForCausalLM"],
    "hidden_size": 4096,
    "intermediate_size": 14336,
    "num_hidden_layers": 32,
    "num_attention_heads": 32,
    "num_key_value_heads": 8,
    "vocab_size": 128256,
    "max_position_embeddings": 131072,
    "tie_word_embeddings": False,
}
CUTS = ("channels", "heads", "width", "layers")


def refusal(config: dict[str, Any], method: str, **options: Any) -> str:
    spec = PruneSpec(model="m", method=method, **options)
    with pytest.raises(RequestError) as caught:
        METHODS[method].require(spec.request, ModelCard.from_config(config, parameters=10**6, name="m"))
    return str(caught.value)


@pytest.mark.parametrize("method", CUTS)
@pytest.mark.parametrize(
    ("config", "words"),
    [
        ({"model_type": "gpt_neox", **TEXT}, "gpt_neox models cannot be cut yet"),
        ({"model_type": "stablelm", **TEXT}, "stablelm models cannot be cut yet"),
        ({"model_type": "mixtral", **TEXT, "num_local_experts": 8}, "a mixture of 8 experts"),
        ({"model_type": "qwen2", **TEXT, "num_nextn_predict_layers": 1}, "num_nextn_predict_layers in config.json"),
        ({"model_type": "llama", **TEXT, "num_kv_shared_layers": 2}, "num_kv_shared_layers in config.json"),
        ({"model_type": "gemma2", **TEXT, "hidden_size_per_layer_input": 8}, "hidden_size_per_layer_input in config.json"),
        (
            {
                "model_type": "gemma3",
                "architectures": ["Gemma3ForConditionalGeneration"],
                "text_config": {"model_type": "gemma3_text", **TEXT},
                "vision_config": {"hidden_size": 32},
            },
            "keeps its decoder under text_config",
        ),
    ],
)
def test_models_that_a_cut_would_break_are_refused(method: str, config: dict[str, Any], words: str) -> None:
    assert words in refusal(config, method, sparsity=0.5)


def test_llama_3_8b_may_keep_16_or_8_heads_and_not_24() -> None:
    assert "set remove to 4, 6 or 7, which leaves 16, 8 or 4 query heads" in refusal(LLAMA_8B, "heads", remove=2)
    spec = PruneSpec(model="m", method="heads", remove=4)
    card = ModelCard.from_config(LLAMA_8B)
    METHODS["heads"].require(spec.request, card)
    assert card.parameters - METHODS["heads"].parameters_after(spec.request, card) == 32 * (2 * 16 * 128 * 4096 + 2 * 4 * 128 * 4096)


def test_parameters_of_llama_3_8b_without_a_quarter() -> None:
    card = ModelCard.from_config(LLAMA_8B)
    assert card.parameters == 8_030_261_248
    after = {method: METHODS[method].parameters_after(PruneSpec(model="m", method=method, sparsity=0.25).request, card) for method in CUTS}
    assert after["channels"] == card.parameters - 32 * 3584 * 3 * 4096
    assert after["layers"] == card.parameters - 8 * (4096 * 2 + 3 * 14336 * 4096 + 2 * 4096 * 4096 + 2 * 4096 * 1024)
    assert after["width"] == card.parameters - 1024 * (2 * 128256 + 65 + 32 * (3 * 14336 + 2 * 4096 + 2 * 1024))


def test_sizes_that_are_lost_are_named() -> None:
    card = ModelCard.from_config(LLAMA_8B)
    method = METHODS["channels"]
    odd = PruneSpec(model="m", method="channels", remove=32).request
    assert [line.split(" rules out ")[1][:7] for line in method.warnings(odd, card)] == ["K-quant", "quantiz"]
    assert not list(method.warnings(PruneSpec(model="m", method="channels", sparsity=0.25).request, card))
    phi = ModelCard.from_config({"model_type": "phi3", **TEXT}, name="m")
    assert any(
        "cannot be converted to GGUF" in line for line in METHODS["heads"].warnings(PruneSpec(model="m", method="heads", remove=1).request, phi)
    )
