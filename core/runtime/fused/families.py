"""What Llama-like families differ in, as data; the fused path runs every family that has a row here."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from core.errors import RequestError
from core.sanitize import clean


@dataclass(frozen=True)
class Family:
    """Names of a block's modules; None for a norm that the family does not have. Numbers are read from the model itself."""

    before_attention: str | None = "input_layernorm"
    after_attention: str | None = None
    """Normalizes what attention adds to the residual."""
    before_mlp: str | None = "post_attention_layernorm"
    after_mlp: str | None = None
    qkv: tuple[str, ...] = ("q_proj", "k_proj", "v_proj")
    gate_up: tuple[str, ...] = ("gate_proj", "up_proj")
    norm_offset: float = 0.0
    """Added to the weights of the norms."""


_LLAMA = Family()
_SANDWICHED = Family(
    after_attention="post_attention_layernorm", before_mlp="pre_feedforward_layernorm", after_mlp="post_feedforward_layernorm", norm_offset=1.0
)

FAMILIES: dict[str, Family] = {
    "llama": _LLAMA,
    "mistral": _LLAMA,
    "qwen2": _LLAMA,
    "qwen3": _LLAMA,
    "smollm3": _LLAMA,
    "granite": _LLAMA,
    "phi3": Family(qkv=("qkv_proj",), gate_up=("gate_up_proj",)),
    "olmo2": Family(before_attention=None, after_attention="post_attention_layernorm", before_mlp=None, after_mlp="post_feedforward_layernorm"),
    "gemma": Family(norm_offset=1.0),
    "gemma2": _SANDWICHED,
    "gemma3_text": _SANDWICHED,
}
"""By `model_type`."""


def refusal(config: Any) -> str | None:
    """Why a model of this configuration has no fused path; None when it has one."""
    family = clean(str(config.model_type), limit=40)
    if family not in FAMILIES:
        return f"{family} has no fused decode path: use its own modules, or a model of {', '.join(FAMILIES)}"
    rope = getattr(config, "rope_parameters", None) or {}
    kinds = {rope.get("rope_type"), *(part.get("rope_type") for part in rope.values() if isinstance(part, dict))}
    if kinds & {"dynamic", "longrope"}:
        return f"the rotary positions of this {family} depend on the text length, which the fused path does not support"
    if getattr(config, "use_bidirectional_attention", False):
        return f"this {family} attends to later tokens, which the fused path does not support"
    return None


def family_of(config: Any) -> Family:
    """The row of a model's family. Raises RequestError: there is none, or the model does what the fused path cannot."""
    reason = refusal(config)
    if reason is not None:
        raise RequestError(reason)
    return FAMILIES[config.model_type]
