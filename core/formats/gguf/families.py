"""How each decoder family is laid out in GGUF, one row a family.

Names and flags are those of llama.cpp's converter (`conversion/*.py`) and of the models that read them (`src/models/*.cpp`).
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field, replace
from typing import Any

from core.errors import RequestError
from core.sanitize import clean

TransformersConfig = dict[str, Any]
"""What `config.to_dict()` of transformers gives, and what makes one: its values are of the types that the family's class declares."""

EMBEDDING, HEAD = "model.embed_tokens.weight", "lm_head.weight"
OUTER = {EMBEDDING: "token_embd.weight", "model.norm.weight": "output_norm.weight", HEAD: "output.weight"}
"""Parameter -> tensor, outside the blocks."""

_LLAMA_MODULES = {
    "input_layernorm": "attn_norm",
    "self_attn.q_proj": "attn_q",
    "self_attn.k_proj": "attn_k",
    "self_attn.v_proj": "attn_v",
    "self_attn.o_proj": "attn_output",
    "post_attention_layernorm": "ffn_norm",
    "mlp.gate_proj": "ffn_gate",
    "mlp.up_proj": "ffn_up",
    "mlp.down_proj": "ffn_down",
}
_HEAD_NORMS = {"self_attn.q_norm": "attn_q_norm", "self_attn.k_norm": "attn_k_norm"}
_GEMMA_NORMS = {
    "post_attention_layernorm": "post_attention_norm",
    "pre_feedforward_layernorm": "ffn_norm",
    "post_feedforward_layernorm": "post_ffw_norm",
}
_PHI3_MODULES = {
    name: target for name, target in _LLAMA_MODULES.items() if name.split(".")[-1] not in ("q_proj", "k_proj", "v_proj", "gate_proj", "up_proj")
} | {"self_attn.qkv_proj": "attn_qkv", "mlp.gate_up_proj": "ffn_up"}


@dataclass(frozen=True)
class GgufFamily:
    """A family's row."""

    model_type: str
    """As config.json calls it."""
    architecture: str
    """As GGUF calls it (`general.architecture`)."""
    transformers: str
    """The class that transformers has for it."""
    modules: dict[str, str] = field(default_factory=lambda: _LLAMA_MODULES)
    """Module of a block -> name in GGUF; weights and biases follow."""
    biases: tuple[str, ...] = ("attn_q", "attn_k", "attn_v")
    """Names in GGUF of the modules that may have a bias in llama.cpp's model."""
    permuted: bool = False
    """Whether rows of query and key are stored in the order of llama.cpp's rotary embedding: pairs side by side."""
    norm_offset: float = 0.0
    """Added to norm weights: Gemma's are stored around zero and applied as 1 + w."""
    head_always_tied: bool = False
    """Whether llama.cpp refuses a head of the model's own."""
    adds_space: bool | None = None
    """What the tokenizer does before the first word where no tokenizer.json says it, None: as tokenizer_config.json says."""
    soft_caps: bool = False
    sliding_window: bool = False
    """Whether llama.cpp's model applies a sliding window."""
    sliding_period: int | None = None
    """Every so many blocks one attends to everything; llama.cpp's default where the file has no pattern."""
    square: bool = False
    """Whether llama.cpp takes all query heads to be as wide together as the hidden state."""
    widest: int | None = None
    """Number of blocks at which llama.cpp scales attention by hidden size / heads instead of the head width."""

    @property
    def reverse(self) -> dict[str, str]:
        """Name in GGUF -> module of a block."""
        return {target: name for name, target in self.modules.items()}


_LLAMA = GgufFamily("llama", "llama", "LlamaForCausalLM", biases=tuple(_LLAMA_MODULES.values()), permuted=True)
_GEMMA = GgufFamily("gemma", "gemma", "GemmaForCausalLM", norm_offset=1.0, head_always_tied=True, adds_space=False)

FAMILIES: dict[str, GgufFamily] = {
    family.model_type: family
    for family in (
        _LLAMA,
        replace(_LLAMA, model_type="mistral", transformers="MistralForCausalLM"),
        GgufFamily("qwen2", "qwen2", "Qwen2ForCausalLM", square=True),
        GgufFamily("qwen3", "qwen3", "Qwen3ForCausalLM", modules=_LLAMA_MODULES | _HEAD_NORMS),
        _GEMMA,
        replace(
            _GEMMA,
            model_type="gemma2",
            architecture="gemma2",
            transformers="Gemma2ForCausalLM",
            modules=_LLAMA_MODULES | _GEMMA_NORMS,
            soft_caps=True,
            sliding_window=True,
            sliding_period=2,
            widest=46,
        ),
        replace(
            _GEMMA,
            model_type="gemma3_text",
            architecture="gemma3",
            transformers="Gemma3ForCausalLM",
            modules=_LLAMA_MODULES | _GEMMA_NORMS | _HEAD_NORMS,
            sliding_window=True,
            sliding_period=6,
            widest=62,
            head_always_tied=False,
        ),
        GgufFamily("phi3", "phi3", "Phi3ForCausalLM", modules=_PHI3_MODULES, square=True),
    )
}

_IN_BLOCK = re.compile(r"model\.layers\.(\d+)\.(.+)\.(weight|bias)")
_IN_FILE = re.compile(r"blk\.(\d+)\.(.+)\.(weight|bias)")
_NOT_WEIGHTS = (".rotary_emb.inv_freq", ".attention.bias", ".attention.masked_bias")


def family_of(model_type: str) -> GgufFamily:
    """The row of a `model_type`. Raises RequestError: the family has none."""
    family = FAMILIES.get(model_type)
    if family is None:
        raise RequestError(
            f"models of the type {clean(model_type, limit=60)!r} cannot be written as GGUF: choose one of {', '.join(FAMILIES)}, or another format"
        )
    return family


def family_in_file(architecture: str) -> GgufFamily:
    """The row of a file's `general.architecture`; Mistral's files say llama. Raises RequestError: the family has none."""
    family = next((family for family in FAMILIES.values() if family.architecture == architecture), None)
    if family is None:
        known = ", ".join(dict.fromkeys(family.architecture for family in FAMILIES.values()))
        raise RequestError(f"GGUF files of the architecture {clean(architecture, limit=60)!r} cannot be read here, only {known}")
    return family


def tensor_name(family: GgufFamily, parameter: str) -> str | None:
    """Name in GGUF of a parameter; None when GGUF has no place and no need for it. Raises RequestError: the family has no such parameter."""
    if parameter.endswith(_NOT_WEIGHTS):
        return None
    if parameter in OUTER:
        return OUTER[parameter]
    matched = _IN_BLOCK.fullmatch(parameter)
    module = family.modules.get(matched[2]) if matched else None
    if matched is None or module is None:
        raise RequestError(
            f"the tensor {clean(parameter, limit=200)!r} has no name in GGUF for {family.model_type} models: the checkpoint is of another family"
        )
    if matched[3] == "bias" and module not in family.biases:
        raise RequestError(
            f"llama.cpp's {family.model_type} models have no bias where the checkpoint has {clean(parameter, limit=200)!r}: choose another format"
        )
    return f"blk.{int(matched[1])}.{module}.{matched[3]}"


def parameter_name(family: GgufFamily, tensor: str) -> str | None:
    """Name of the parameter that a tensor of a file holds; None for what is not a parameter, for example `rope_freqs.weight`."""
    for parameter, name in OUTER.items():
        if name == tensor:
            return parameter
    matched = _IN_FILE.fullmatch(tensor)
    module = family.reverse.get(matched[2]) if matched else None
    return f"model.layers.{int(matched[1])}.{module}.{matched[3]}" if matched and module else None


def permuted_heads(family: GgufFamily, parameter: str, heads: int, kv_heads: int) -> int | None:
    """Heads whose rows are in another order in GGUF; None when the parameter is stored as it is."""
    if not family.permuted:
        return None
    module = parameter.rpartition(".")[0]
    return heads if module.endswith(".q_proj") else kv_heads if module.endswith(".k_proj") else None


def is_norm(parameter: str) -> bool:
    """Whether a parameter is the weight of a norm."""
    return parameter.endswith("norm.weight")
