"""Random models of the families that can be cut, the smaller ones that our writers make of them, and their logits."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from core.context import RunContext
from core.models.card import ModelCard
from core.models.stream.streaming import StreamedModel
from core.prune.methods import METHODS
from core.prune.pipeline.writer import Written, writer_of
from core.prune.spec import PruneSpec
from core.runs.resume_store import ResumeStore
from core.runs.steps import Steps

VOCABULARY = 1003
SMALL: dict[str, Any] = {
    "hidden_size": 64,
    "intermediate_size": 96,
    "num_hidden_layers": 3,
    "num_attention_heads": 8,
    "num_key_value_heads": 4,
    "head_dim": 16,
    "vocab_size": VOCABULARY,
    "max_position_embeddings": 128,
    "pad_token_id": 0,
    "bos_token_id": 1,
    "eos_token_id": 2,
    "initializer_range": 0.12,
}
FAMILIES: dict[str, tuple[str, dict[str, Any]]] = {
    "llama": ("llama", {"head_dim": 8}),
    "llama-tied": ("llama", {"tie_word_embeddings": True}),
    "llama-biases": ("llama", {"attention_bias": True, "mlp_bias": True}),
    "mistral": ("mistral", {"sliding_window": 16}),
    "qwen2": ("qwen2", {"use_sliding_window": True, "sliding_window": 16, "max_window_layers": 1}),
    "qwen2-tied": ("qwen2", {"tie_word_embeddings": True}),
    "qwen3": ("qwen3", {}),
    "qwen3-biases": ("qwen3", {"attention_bias": True}),
    "gemma": ("gemma", {}),
    "gemma2": ("gemma2", {"sliding_window": 16}),
    "gemma2-untied": ("gemma2", {"sliding_window": 16, "tie_word_embeddings": False}),
    "gemma3": ("gemma3_text", {"sliding_window": 16, "sliding_window_pattern": 2}),
    "phi3": ("phi3", {}),
    "olmo2": ("olmo2", {}),
    "olmo3": ("olmo3", {"sliding_window": 16}),
    "smollm3": ("smollm3", {"no_rope_layer_interval": 2}),
    "granite": ("granite", {"embedding_multiplier": 3.0, "residual_multiplier": 0.5, "logits_scaling": 2.0}),
    "cohere2": ("cohere2", {"sliding_window": 16}),
    "starcoder2": ("starcoder2", {"use_bias": True}),
}


def make(family: str, folder: Path, **settings: Any) -> Path:
    """A random float32 model of a family, its biases and norms random too, saved as transformers saves it."""
    from transformers import AutoConfig, AutoModelForCausalLM

    model_type, own = FAMILIES[family]
    torch.manual_seed(len(family))
    model = AutoModelForCausalLM.from_config(AutoConfig.for_model(model_type, **(SMALL | own | settings))).float()
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if parameter.ndim == 1:
                parameter.add_(0.1 * torch.randn_like(parameter) if "norm" not in name else 0.3 * torch.rand_like(parameter))
    path = folder / family
    model.save_pretrained(path)
    return path


def spec_for(folder: Path, method: str, **options: Any) -> PruneSpec:
    return PruneSpec(model=str(folder), method=method, **options)


def windows_of(count: int = 6, length: int = 40, vocabulary: int = VOCABULARY) -> Tensor:
    return torch.randint(3, vocabulary, (count, length), generator=torch.Generator().manual_seed(7))


def prune(spec: PruneSpec, out: Path, context: RunContext, windows: Tensor | None = None, store: ResumeStore | None = None) -> Written:
    """Carry out a request with windows of random tokens, after what its check would refuse."""
    folder = Path(spec.model)
    METHODS[spec.method].require(spec.request, ModelCard.from_folder(folder))
    writer = writer_of(spec.method)
    given = windows_of() if windows is None and spec.calibrates else windows
    with StreamedModel.open(folder) as streamed:
        return writer.write(spec, streamed, given, out, Steps(context, writer.steps(spec, streamed), store))


def load(folder: Path) -> Any:
    """A model as transformers loads it; fails where a tensor is missing, left over or of another shape."""
    from transformers import AutoModelForCausalLM

    loaded: Any = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32, output_loading_info=True)
    model, report = loaded
    assert not report["missing_keys"]
    assert not report["unexpected_keys"]
    assert not report["mismatched_keys"]
    return model.eval()


@torch.no_grad()
def logits(model: nn.Module, tokens: Tensor | None = None) -> Tensor:
    found: Tensor = model(windows_of(3, 30) if tokens is None else tokens, use_cache=False).logits
    return found


def distance(one: Tensor, other: Tensor) -> float:
    """Largest difference over the largest value."""
    return float((one - other).abs().max() / other.abs().max())
