"""A model's configuration in the keys of GGUF.

Keys: https://github.com/ggml-org/ggml/blob/master/docs/gguf.md; which of them a family needs is what llama.cpp's `src/models/*.cpp` read.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from core.errors import RequestError
from core.formats.gguf.families import GgufFamily, TransformersConfig
from core.formats.gguf.write.entries import Entry, Kind
from core.sanitize import clean

_TANH = ("gelu_pytorch_tanh", "gelu")
_ACTIVATIONS = {"gemma": _TANH, "gemma2": _TANH, "gemma3": _TANH}
_YARN = {"beta_fast": 32, "beta_slow": 1, "truncate": True}
QUANTIZATION_VERSION = 2


@dataclass(frozen=True)
class Layout:
    """The sizes that writing tensors needs."""

    family: GgufFamily
    layers: int
    hidden: int
    heads: int
    kv_heads: int
    head_dim: int
    vocabulary: int
    tied: bool


def layout_of(family: GgufFamily, config: TransformersConfig) -> Layout:
    """The sizes in a configuration as transformers states it (`config.to_dict()`)."""
    heads = int(config["num_attention_heads"])
    return Layout(
        family,
        int(config["num_hidden_layers"]),
        int(config["hidden_size"]),
        heads,
        int(config.get("num_key_value_heads") or heads),
        int(config.get("head_dim") or int(config["hidden_size"]) // heads),
        int(config["vocab_size"]),
        bool(config.get("tie_word_embeddings")) or family.head_always_tied,
    )


def model_entries(layout: Layout, config: TransformersConfig) -> list[Entry]:
    """Everything llama.cpp must know to compute with the weights.

    Raises:
        RequestError: the configuration asks for what llama.cpp's model of the family does not do.
    """
    family = layout.family
    _refuse_what_llama_cpp_cannot_do(layout, config)
    entries = [
        _entry(family, "block_count", layout.layers),
        _entry(family, "context_length", int(config["max_position_embeddings"])),
        _entry(family, "embedding_length", layout.hidden),
        _entry(family, "feed_forward_length", int(config["intermediate_size"])),
        _entry(family, "vocab_size", layout.vocabulary),
        _entry(family, "attention.head_count", layout.heads),
        _entry(family, "attention.head_count_kv", layout.kv_heads),
        _entry(family, "attention.key_length", layout.head_dim),
        _entry(family, "attention.value_length", layout.head_dim),
        _entry(family, "attention.layer_norm_rms_epsilon", float(config["rms_norm_eps"])),
    ]
    if family.soft_caps:
        entries.append(_entry(family, "attn_logit_softcapping", float(config["attn_logit_softcapping"])))
    if config.get("final_logit_softcapping"):
        entries.append(_entry(family, "final_logit_softcapping", float(config["final_logit_softcapping"])))
    return entries + _rope(layout, config) + _sliding(layout, config)


def notes_on(layout: Layout, config: TransformersConfig) -> list[str]:
    """What llama.cpp does otherwise than transformers without being wrong on shorter texts."""
    window, rope, notes = int(config.get("sliding_window") or 0), rope_of(config), []
    slides = window and (layout.family.model_type in ("mistral", "phi3") or "sliding_attention" in (config.get("layer_types") or ()))
    if slides and not layout.family.sliding_window and window < int(config["max_position_embeddings"]):
        notes.append(f"llama.cpp does not apply this family's sliding window of {window} tokens: it attends to everything in longer texts")
    if rope.get("rope_type") == "yarn" and any(rope.get(key, usual) not in (usual, None) for key, usual in _YARN.items()):
        usual = ", ".join(f"{key} {value}" for key, value in _YARN.items())
        notes.append(f"llama.cpp computes this family's YaRN with {usual}, whatever config.json says: long texts are read otherwise")
    if rope.get("rope_type") == "longrope":
        original = rope.get("original_max_position_embeddings") or config.get("original_max_position_embeddings")
        notes.append(f"llama.cpp uses the rotary factors for long texts whenever its context is larger than {original} tokens, in short texts too")
    return notes


def rope_of(config: TransformersConfig) -> TransformersConfig:
    """The rotary embedding of blocks that attend to everything."""
    rope = config.get("rope_parameters") or {}
    full = rope.get("full_attention", rope)
    return dict(full) if isinstance(full, Mapping) else {}


def rope_factors(layout: Layout, config: TransformersConfig) -> dict[str, list[float]]:
    """Tensors of factors by which wavelengths are divided: `rope_freqs.weight` of Llama 3.1, long and short ones of Phi-3."""
    rope = rope_of(config)
    if rope.get("rope_type") == "llama3":
        return {"rope_freqs.weight": _llama3_factors(layout, rope)}
    if rope.get("rope_type") == "longrope":
        dimensions = _rotated(layout, rope) // 2
        found = {f"rope_factors_{kind}.weight": [float(value) for value in rope.get(f"{kind}_factor") or ()] for kind in ("long", "short")}
        if any(len(values) != dimensions for values in found.values()):
            raise RequestError(f"config.json must hold {dimensions} long and as many short rotary factors: fetch it again")
        return found
    return {}


def _entry(family: GgufFamily, key: str, value: Any) -> Entry:
    first = value[0] if isinstance(value, list) else value
    kind: Kind = "bool" if isinstance(first, bool) else "uint32" if isinstance(first, int) else "float32" if isinstance(first, float) else "string"
    return Entry(f"{family.architecture}.{key}", value, kind)


def _rotated(layout: Layout, rope: TransformersConfig) -> int:
    return int(float(rope.get("partial_rotary_factor") or 1.0) * layout.head_dim)


def _rope(layout: Layout, config: TransformersConfig) -> list[Entry]:
    family, rope = layout.family, rope_of(config)
    kind, factor = str(rope.get("rope_type", "default")), rope.get("factor")
    entries = [
        _entry(family, "rope.dimension_count", _rotated(layout, rope)),
        _entry(family, "rope.freq_base", float(rope.get("rope_theta") or 10000.0)),
    ]
    local = (config.get("rope_parameters") or {}).get("sliding_attention")
    if isinstance(local, Mapping) and local.get("rope_theta"):
        entries.append(_entry(family, "rope.freq_base_swa", float(local["rope_theta"])))
    original = rope.get("original_max_position_embeddings") or config.get("original_max_position_embeddings")
    if kind in ("linear", "yarn") and factor is not None:
        entries += [_entry(family, "rope.scaling.type", kind), _entry(family, "rope.scaling.factor", float(factor))]
    if kind == "yarn":
        entries.append(_entry(family, "rope.scaling.original_context_length", int(original or config["max_position_embeddings"])))
        entries += [_entry(family, f"rope.scaling.yarn_{key}", float(rope[key])) for key in ("beta_fast", "beta_slow") if rope.get(key) is not None]
        if (attention := _yarn_attention(rope)) is not None:
            entries.append(_entry(family, "rope.scaling.attn_factor", attention / yarn_scale(float(rope["factor"]))))
    if family.model_type == "phi3":
        original = int(original or config["max_position_embeddings"])
        entries.append(_entry(family, "rope.scaling.original_context_length", original))
        if kind == "longrope":
            scale = float(factor or int(config["max_position_embeddings"]) / original)
            usual = math.sqrt(1 + math.log(scale) / math.log(original)) if scale > 1 else 1.0
            stated = rope.get("attention_factor")
            entries.append(_entry(family, "rope.scaling.attn_factor", usual if stated is None else float(stated)))
    return entries


def yarn_scale(factor: float, mscale: float = 1.0) -> float:
    """What YaRN multiplies queries and keys by when positions are stretched by `factor` (https://arxiv.org/abs/2309.00071, section 3.4)."""
    return 0.1 * mscale * math.log(factor) + 1.0 if factor > 1 else 1.0


def _yarn_attention(rope: TransformersConfig) -> float | None:
    """What config.json has YaRN multiply queries and keys by; None: the usual."""
    if rope.get("attention_factor") is not None:
        return float(rope["attention_factor"])
    mscale, of_all = rope.get("mscale"), rope.get("mscale_all_dim")
    return yarn_scale(float(rope["factor"]), float(mscale)) / yarn_scale(float(rope["factor"]), float(of_all)) if mscale and of_all else None


def _sliding(layout: Layout, config: TransformersConfig) -> list[Entry]:
    family, window = layout.family, config.get("sliding_window")
    if family.model_type == "phi3":
        return [_entry(family, "attention.sliding_window", int(window or 0))]
    kinds = config.get("layer_types") or ()
    if not family.sliding_window:
        return []
    if not window or (kinds and "sliding_attention" not in kinds):
        # without a word from the file, llama.cpp gives every second block of Gemma 2 a window
        return [_entry(family, "attention.sliding_window", int(config["max_position_embeddings"]))] if family.model_type == "gemma2" else []
    entries = [_entry(family, "attention.sliding_window", int(window))]
    slides = [kind == "sliding_attention" for kind in kinds]
    period = family.sliding_period or 1
    if slides and slides != [block % period < period - 1 for block in range(layout.layers)]:
        entries.append(_entry(family, "attention.sliding_window_pattern", slides))
    return entries


def _llama3_factors(layout: Layout, rope: TransformersConfig) -> list[float]:
    """Llama 3.1's smooth change from unscaled to scaled wavelengths."""
    import torch

    frequencies = 1.0 / (float(rope.get("rope_theta", 10000.0)) ** (torch.arange(0, layout.head_dim, 2, dtype=torch.float32) / layout.head_dim))
    factor, low, high = (float(rope.get(name, default)) for name, default in (("factor", 8), ("low_freq_factor", 1), ("high_freq_factor", 4)))
    original = float(rope.get("original_max_position_embeddings", 8192))
    factors: list[float] = []
    for frequency in frequencies:
        wavelength = float(2 * math.pi / frequency)
        smooth = (original / wavelength - low) / (high - low)
        scaled = factor if wavelength > original / low else 1 / ((1 - smooth) / factor + smooth)
        factors.append(1.0 if wavelength < original / high else scaled)
    return factors


def _refuse_what_llama_cpp_cannot_do(layout: Layout, config: TransformersConfig) -> None:
    family, rope = layout.family, rope_of(config)
    activation = config.get("hidden_activation") or config.get("hidden_act") or "silu"
    expected = _ACTIVATIONS.get(family.architecture, ("silu",))
    if activation not in expected:
        raise RequestError(f"llama.cpp computes {family.model_type} models with {expected[0]} and this one uses {clean(str(activation), limit=40)!r}")
    if family.square and layout.heads * layout.head_dim != layout.hidden:
        raise RequestError(
            f"llama.cpp takes {family.model_type} models only with query heads as wide together as the hidden size of {layout.hidden}, and this one "
            f"has {layout.heads} heads of {layout.head_dim}: choose another format"
        )
    kind = str(rope.get("rope_type", "default"))
    known = {"default", "linear", "yarn"} | ({"llama3"} if family.architecture == "llama" else set())
    if kind not in known | ({"longrope"} if family.model_type == "phi3" else set()):
        raise RequestError(f"llama.cpp has no rotary embedding of the kind {clean(kind, limit=40)!r} for {family.model_type} models")
    if family.model_type != "phi3" and _rotated(layout, rope) != layout.head_dim:
        raise RequestError(
            f"llama.cpp rotates all {layout.head_dim} values of a head of {family.model_type} models, and config.json says {_rotated(layout, rope)} "
            "(partial_rotary_factor)"
        )
    local = (config.get("rope_parameters") or {}).get("sliding_attention")
    if isinstance(local, Mapping) and local.get("rope_type", "default") != "default":
        raise RequestError(f"llama.cpp does not scale the rotary embedding of {family.model_type}'s sliding blocks, and config.json says so")
    if config.get("use_bidirectional_attention"):
        raise RequestError(f"llama.cpp's {family.model_type} models attend to earlier tokens only, and config.json says use_bidirectional_attention")
    capped = [key for key in ("attn_logit_softcapping", "final_logit_softcapping") if family.soft_caps and not config.get(key)]
    if capped:
        raise RequestError(f"llama.cpp caps the scores of {family.model_type} models, and config.json has no {capped[0]}")
    scalar = config.get("query_pre_attn_scalar")
    if family.widest is not None and scalar is not None:
        width = layout.hidden / layout.heads if layout.layers == family.widest else layout.head_dim
        if abs(float(scalar) - width) > 1e-6:
            raise RequestError(
                f"llama.cpp divides the attention scores of {family.model_type} models by the root of {width:g}, "
                f"and config.json says query_pre_attn_scalar = {scalar:g}"
            )
