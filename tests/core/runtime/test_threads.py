"""How many threads decode a model."""

from __future__ import annotations

import pytest
import torch

from core.models.card import ModelCard
from core.models.resolve import resolve
from core.runtime import threads
from core.runtime.threads import usual_threads

LARGE = {
    "model_type": "llama",
    "hidden_size": 2048,
    "intermediate_size": 8192,
    "num_hidden_layers": 16,
    "num_attention_heads": 32,
    "vocab_size": 32000,
}


@pytest.mark.parametrize(("cores", "most"), [(9, 7), (3, 3)])
@pytest.mark.parametrize("device", ["cpu", "cuda:0"])
def test_only_a_small_model_on_a_processor_takes_one(device: str, cores: int, most: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch, "get_num_threads", lambda: 7)
    monkeypatch.setattr(threads, "cores", lambda: cores)
    small, large = resolve("bundled:base").card(), ModelCard.from_config(LARGE | {"architectures": ["LlamaForCausalLM"]}, name="large")
    assert usual_threads(small, device) == (1 if device == "cpu" else most)
    assert usual_threads(large, device) == most
