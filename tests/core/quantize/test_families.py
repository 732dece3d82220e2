"""Any transformers decoder of linears is quantized by its structure, and transformers loads the result."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest
import torch

from core.errors import RequestError
from core.quantize.run import run
from core.quantize.spec import QuantizeSpec
from tests.core.quantize.conftest import RecordingContext

SMALL: dict[str, Any] = {"hidden_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4, "vocab_size": 320, "max_position_embeddings": 128}
LLAMA_LIKE = SMALL | {"intermediate_size": 128, "num_key_value_heads": 2, "head_dim": 16, "pad_token_id": 0}
FAMILIES: dict[str, dict[str, Any]] = {
    "qwen2": LLAMA_LIKE,
    "qwen3": LLAMA_LIKE,
    "gemma2": LLAMA_LIKE | {"sliding_window": 32},
    "phi3": LLAMA_LIKE,
    "gpt_neox": SMALL | {"intermediate_size": 128},
    "opt": SMALL | {"ffn_dim": 128, "word_embed_proj_dim": 64},
    "falcon": SMALL | {"new_decoder_architecture": False, "parallel_attn": True, "multi_query": True},
}


def make(family: str, settings: dict[str, Any], tokenizer: Path, folder: Path) -> None:
    from transformers import AutoConfig, AutoModelForCausalLM

    torch.manual_seed(0)
    AutoModelForCausalLM.from_config(AutoConfig.for_model(family, **settings)).bfloat16().save_pretrained(folder)
    for name in ("tokenizer.json", "tokenizer_config.json"):
        shutil.copy(tokenizer / name, folder)


def spec_for(folder: Path) -> QuantizeSpec:
    return QuantizeSpec(model=str(folder), group_size=32, calibration_samples=4, calibration_length=48, context=48, eval_tokens=192)


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.filterwarnings("ignore")
def test_a_family_is_quantized_and_reloaded(family: str, tiny_llama_dir: Path, tmp_path: Path, context: RecordingContext) -> None:
    from transformers import AutoModelForCausalLM

    make(family, FAMILIES[family], tiny_llama_dir, tmp_path / family)
    result = run(spec_for(tmp_path / family), context)
    assert result.metrics.kl_mean is not None
    assert 0 < result.metrics.kl_mean < 1
    assert all(0 < layer.error < 0.5 for layer in result.layers)
    model = AutoModelForCausalLM.from_pretrained(result.out, dtype=torch.float32).eval()
    original = AutoModelForCausalLM.from_pretrained(tmp_path / family, dtype=torch.float32).eval()
    tokens = torch.arange(60).view(2, 30)
    with torch.no_grad():
        after, before = model(tokens).logits, original(tokens).logits
    assert torch.isfinite(after).all()
    assert 0 < (after - before).norm() / before.norm() < 0.5


def test_a_family_whose_weights_are_not_linears_is_refused(tiny_llama_dir: Path, tmp_path: Path, context: RecordingContext) -> None:
    settings = {"n_embd": 64, "n_layer": 2, "n_head": 4, "vocab_size": 320, "n_positions": 128}
    make("gpt2", settings, tiny_llama_dir, tmp_path / "gpt2")
    with pytest.raises(RequestError, match="Conv1D"):
        run(spec_for(tmp_path / "gpt2"), context)
