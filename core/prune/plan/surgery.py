"""What each family allows to be cut, beyond the names of its parts in `core.models.config.families`: one row per `model_type`.

A family without a row is refused: a wrong slice would load and be silently wrong.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

from core.errors import RequestError
from core.models.card import LinearShape, ModelCard
from core.models.config.families import Family, family
from core.models.config.per_block import COUPLING


@dataclass(frozen=True)
class Surgery:
    """How a family behaves when its axes become shorter."""

    norm: Literal["rms", "rms+1", "layer"] = "rms"
    """RMSNorm times its weight, times one plus its weight, or a LayerNorm, whose mean depends on every hidden column."""
    scales_embeddings: bool = False
    """Whether the embeddings are multiplied by the root of the hidden size."""
    divides: bool = False
    """Whether transformers refuses a hidden size that is not a multiple of the number of query heads, even with an explicit head_dim."""
    square: bool = False
    """Whether llama.cpp loads it only while all query heads are together as wide as the hidden state."""
    mlp_bias: str | None = None
    """Field of the configuration that gives biases to all linears of the feed-forward network; None: there is none."""
    attention_bias: str | None = None
    """Field that gives biases to queries, keys, values and the output of attention; None: the output has no place for one."""


_LLAMA = Surgery()

SURGERY: dict[str, Surgery] = {
    "llama": replace(_LLAMA, divides=True, mlp_bias="mlp_bias", attention_bias="attention_bias"),
    "mistral": _LLAMA,
    "qwen2": replace(_LLAMA, square=True),
    "qwen3": replace(_LLAMA, attention_bias="attention_bias"),
    "gemma": replace(_LLAMA, norm="rms+1", scales_embeddings=True, attention_bias="attention_bias"),
    "gemma2": replace(_LLAMA, norm="rms+1", scales_embeddings=True, divides=True, attention_bias="attention_bias"),
    "gemma3_text": replace(_LLAMA, norm="rms+1", scales_embeddings=True, divides=True, attention_bias="attention_bias"),
    "phi3": replace(_LLAMA, square=True),
    "olmo2": replace(_LLAMA, attention_bias="attention_bias"),
    "olmo3": replace(_LLAMA, attention_bias="attention_bias"),
    "smollm3": replace(_LLAMA, mlp_bias="mlp_bias", attention_bias="attention_bias"),
    "granite": replace(_LLAMA, mlp_bias="mlp_bias", attention_bias="attention_bias"),
    "cohere2": replace(_LLAMA, norm="layer", attention_bias="attention_bias"),
    "starcoder2": replace(_LLAMA, norm="layer", mlp_bias="use_bias", attention_bias="use_bias"),
}

_MULTIMODAL = "text_config"


def require_surgery(card: ModelCard) -> Surgery:
    """The row of a model's family. Raises RequestError: it cannot be cut, and why."""
    if card.experts:
        raise RequestError(f"{card.name} is a mixture of {card.experts} experts, and only dense models can be cut: choose a dense model")
    if (coupling := next((name for name in card.per_block if name in COUPLING), None)) is not None:
        raise RequestError(
            f"{card.name} couples its blocks ({coupling} in config.json), so cutting it would break it: choose another model, or a mask method"
        )
    row = SURGERY.get(card.model_type)
    if row is None:
        known = ", ".join(sorted(SURGERY))
        raise RequestError(f"{card.model_type} models cannot be cut yet, only {known}: choose such a model, or a method that leaves zeros in place")
    if card.architecture and not card.architecture.endswith("ForCausalLM"):
        raise RequestError(
            f"{card.name} is a {card.architecture} that keeps its decoder under {_MULTIMODAL}, and only plain language models can be cut: "
            "choose a text-only model"
        )
    return row


def llama_cpp_warning(card: ModelCard, heads: int, hidden: int) -> str | None:
    """What is said where so many query heads and hidden columns can no longer be loaded by llama.cpp; None where they can."""
    row = SURGERY.get(card.model_type)
    if row is None or not row.square or heads * card.head_dim == hidden:
        return None
    return f"llama.cpp loads {card.model_type} models only while heads x head_dim equal the hidden size: the result cannot be converted to GGUF"


def parts_of(card: ModelCard) -> Family:
    """Names of the parts of a block."""
    return family(card.model_type)


def linears_called(card: ModelCard, names: tuple[str, ...]) -> tuple[LinearShape, ...]:
    """The linears of a card by their names inside a block."""
    return tuple(linear for linear in card.linears if linear.name_suffix in names)


def outer_parameters(card: ModelCard) -> int:
    """Parameters outside the blocks: embedding, head where it is not the embedding, last norm."""
    row = parts_of(card)
    return card.vocabulary * card.hidden_size * (1 if card.tied_embeddings else 2) + card.hidden_size * (2 if row.norm_bias else 1)
