"""The configuration that transformers needs, rebuilt from what a GGUF file says about itself."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from core.errors import RequestError
from core.formats.gguf.families import GgufFamily, TransformersConfig, family_in_file
from core.formats.gguf.write.metadata import yarn_scale
from core.models.disk.gguf_header import GgufHeader
from core.sanitize import clean

_COUNTS = {
    "num_hidden_layers": "block_count",
    "hidden_size": "embedding_length",
    "intermediate_size": "feed_forward_length",
    "num_attention_heads": "attention.head_count",
    "max_position_embeddings": "context_length",
}
_MOST = 2**31
_DEFAULT_WINDOWS = {"gemma2": 4096}


def config_of(header: GgufHeader, what: str) -> tuple[GgufFamily, TransformersConfig]:
    """The family and the contents of its config.json.

    Args:
        header: of the file, with long arrays.
        what: names the file in a complaint, fit to be shown.

    Raises:
        RequestError: a family that cannot be read, or a size that is missing or cannot be.
    """
    architecture = header.metadata.get("general.architecture")
    if not isinstance(architecture, str):
        raise RequestError(f"{what} has no general.architecture: it is not a language model")
    family = family_in_file(architecture)
    fields = _Fields(header.metadata, family, what)
    config: TransformersConfig = {"model_type": family.model_type, "architectures": [family.transformers], "dtype": "float32"}
    config |= {name: fields.count(key) for name, key in _COUNTS.items()}
    heads = config["num_attention_heads"]
    config["num_key_value_heads"] = fields.count("attention.head_count_kv", heads)
    if heads % config["num_key_value_heads"] or config["num_key_value_heads"] > heads:
        raise RequestError(
            f"{what} has {heads} heads that cannot share {config['num_key_value_heads']} KV heads: the file is damaged, fetch it again"
        )
    config["head_dim"] = fields.count("attention.key_length", max(config["hidden_size"] // heads, 1))
    config["rms_norm_eps"] = fields.number("attention.layer_norm_rms_epsilon", 1e-6)
    shapes = {tensor.name: tensor.shape for tensor in header.tensors}
    _check_shapes(config, shapes, what)
    config["vocab_size"] = shapes.get("token_embd.weight", (0, 0))[-1] or fields.count("vocab_size")
    config["tie_word_embeddings"] = "output.weight" not in shapes
    config["attention_bias"] = "blk.0.attn_q.bias" in shapes
    config["mlp_bias"] = "blk.0.ffn_up.bias" in shapes
    config["hidden_act"] = config["hidden_activation"] = "gelu_pytorch_tanh" if family.norm_offset else "silu"
    for name in ("bos", "eos"):
        config[f"{name}_token_id"] = _token(header.metadata, name)
    config["pad_token_id"] = _token(header.metadata, "padding")
    return family, config | _rope(fields, family, config) | _attention(fields, family, config)


def _check_shapes(config: TransformersConfig, shapes: Mapping[str, tuple[int, ...]], what: str) -> None:
    """Believe sizes only when the tensors have them, so that nothing is built after a figure that somebody made up."""
    hidden, width = config["hidden_size"], config["num_attention_heads"] * config["head_dim"]
    keys = 2 * config["num_key_value_heads"] * config["head_dim"]
    last = config["num_hidden_layers"] - 1
    expected = {
        f"blk.{last}.attn_norm.weight": (hidden,),
        f"blk.{last}.attn_output.weight": (width, hidden),
        f"blk.{last}.ffn_down.weight": (config["intermediate_size"], hidden),
    }
    expected |= {"blk.0.attn_qkv.weight": (hidden, width + keys)} if "blk.0.attn_qkv.weight" in shapes else {"blk.0.attn_q.weight": (hidden, width)}
    for name, shape in expected.items():
        if shapes.get(name) != shape:
            found = "is missing" if name not in shapes else f"has the shape {list(shapes[name])}"
            raise RequestError(f"the tensor {name} of {what} {found}, and its metadata make it {list(shape)}: the file is damaged, fetch it again")
    if f"blk.{last + 1}.attn_norm.weight" in shapes:
        raise RequestError(f"{what} holds more blocks than the {last + 1} in its metadata: the file is damaged, fetch it again")


class _Fields:
    """Metadata under the prefix of the file's architecture."""

    def __init__(self, metadata: TransformersConfig, family: GgufFamily, what: str) -> None:
        self._metadata, self._prefix, self._what = metadata, family.architecture, what

    def get(self, key: str) -> Any:
        return self._metadata.get(f"{self._prefix}.{key}")

    def count(self, key: str, default: int | None = None) -> int:
        value = self.get(key)
        value = value[0] if isinstance(value, list) and value and len(set(map(str, value))) == 1 else value
        value = default if value is None else value
        if type(value) is not int or not 0 < value < _MOST:
            raise RequestError(
                f"{self._what} says {self._prefix}.{key} = {clean(repr(value), limit=40)}, which must be above 0: it is damaged, fetch it again"
            )
        return value

    def number(self, key: str, default: float) -> float:
        value = self.get(key)
        return float(value) if isinstance(value, (int, float)) and not isinstance(value, bool) else default


def _token(metadata: TransformersConfig, name: str) -> int | None:
    value = metadata.get(f"tokenizer.ggml.{name}_token_id")
    return value if type(value) is int and 0 <= value < _MOST else None


def _rope(fields: _Fields, family: GgufFamily, config: TransformersConfig) -> TransformersConfig:
    rope: TransformersConfig = {"rope_type": "default", "rope_theta": fields.number("rope.freq_base", 10000.0)}
    kind = fields.get("rope.scaling.type")
    if kind in ("linear", "yarn"):
        rope |= {"rope_type": kind, "factor": fields.number("rope.scaling.factor", 1.0)}
    if kind == "yarn":
        rope["original_max_position_embeddings"] = fields.count("rope.scaling.original_context_length", config["max_position_embeddings"])
        if (scale := fields.number("rope.scaling.attn_factor", 1.0)) != 1.0:
            rope["attention_factor"] = scale * yarn_scale(rope["factor"])
    rotated = fields.count("rope.dimension_count", config["head_dim"])
    if rotated != config["head_dim"]:
        rope["partial_rotary_factor"] = rotated / config["head_dim"]
    found: TransformersConfig = {"rope_parameters": rope}
    if family.model_type == "gemma3_text":
        local = {"rope_type": "default", "rope_theta": fields.number("rope.freq_base_swa", 10000.0)}
        found["rope_parameters"] = {"full_attention": rope, "sliding_attention": local}
    if family.model_type == "phi3":
        found["original_max_position_embeddings"] = fields.count("rope.scaling.original_context_length", config["max_position_embeddings"])
    return found


def _attention(fields: _Fields, family: GgufFamily, config: TransformersConfig) -> TransformersConfig:
    """Windows, caps and the scale of scores, as llama.cpp's model of the family has them."""
    window = fields.get("attention.sliding_window")
    window = window if type(window) is int and 0 < window < _MOST else _DEFAULT_WINDOWS.get(family.model_type)
    # llama.cpp leaves Phi-3's window out; transformers wants one of Gemma even where no block slides
    found: TransformersConfig = {"sliding_window": window or config["max_position_embeddings"] if family.sliding_window else None}
    blocks = config["num_hidden_layers"]
    if family.sliding_window:
        period, pattern = family.sliding_period or 1, fields.get("attention.sliding_window_pattern")
        slides = [block % period < period - 1 for block in range(blocks)]
        if isinstance(pattern, list) and len(pattern) >= blocks:
            slides = [bool(value) for value in pattern[:blocks]]
        found["layer_types"] = ["sliding_attention" if sliding and window else "full_attention" for sliding in slides]
    if family.widest is not None:
        scalar = config["hidden_size"] / config["num_attention_heads"] if blocks == family.widest else config["head_dim"]
        found["query_pre_attn_scalar"] = scalar
    if family.soft_caps:
        found["attn_logit_softcapping"] = fields.number("attn_logit_softcapping", 50.0)
        found["final_logit_softcapping"] = fields.number("final_logit_softcapping", 30.0)
    elif fields.get("final_logit_softcapping") is not None:
        found["final_logit_softcapping"] = fields.number("final_logit_softcapping", 30.0)
    return found
