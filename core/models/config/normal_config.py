"""One reading of the many spellings of a decoder's `config.json`: checked sizes under standard names."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from core.errors import RequestError
from core.models.config.defaults import config_defaults
from core.sanitize import clean

_SPELLINGS: dict[str, tuple[str, ...]] = {
    "hidden_size": ("hidden_size", "n_embd", "d_model", "n_embed", "dim"),
    "num_hidden_layers": ("num_hidden_layers", "n_layer", "n_layers", "num_layers"),
    "num_attention_heads": ("num_attention_heads", "n_head", "n_heads", "num_heads"),
    "num_key_value_heads": ("num_key_value_heads", "num_kv_heads", "n_head_kv", "n_kv_heads"),
    "intermediate_size": ("intermediate_size", "ffn_dim", "n_inner", "ffn_hidden_size", "d_ff"),
    "vocab_size": ("vocab_size",),
    "max_position_embeddings": ("max_position_embeddings", "n_positions", "n_ctx", "seq_length", "max_seq_len"),
    "num_experts": ("num_experts", "num_local_experts", "n_routed_experts", "moe_num_experts"),
    "head_dim": ("head_dim", "attention_head_dim", "kv_channels"),
}
STATE_ONLY = frozenset(("mamba", "mamba2", "falcon_mamba", "rwkv", "xlstm"))
"""Families whose blocks all keep a state of fixed size and no keys and values."""
_NESTED = ("text_config", "llm_config", "language_config", "thinker_config")
_LARGEST = 2**40
MAX_LAYERS = 100_000


@dataclass(frozen=True)
class NormalConfig:
    """The text decoder's part of a configuration, with what transformers fills in."""

    raw: Mapping[str, object]
    """The whole file."""
    text: Mapping[str, object]
    """The part that describes the text decoder: the file, or its `text_config`."""
    defaults: Mapping[str, object]
    attribute_map: Mapping[str, str]
    model_type: str
    """`model_type` of the text decoder, fit to be shown."""

    def get(self, name: str, default: Any = None) -> Any:
        """A field under its standard name: from the file, else transformers' default, else `default`."""
        spellings = dict.fromkeys((self.attribute_map.get(name, name), *_SPELLINGS.get(name, ()), name))
        for source in (self.text, self.defaults):
            for spelling in spellings:
                if (value := source.get(spelling)) is not None:
                    return value
        return default

    def stated(self, name: str) -> Any:
        """A field only if the file itself states it (None also when it states null)."""
        return next((self.text[spelling] for spelling in (*_SPELLINGS.get(name, ()), name) if spelling in self.text), None)

    def count(self, name: str, default: int | None = None) -> int:
        """A field that must be a whole number from 1 to 2^40. Raises RequestError: it is missing and there is no default, or is not such a number."""
        value = self.get(name, default)
        if isinstance(value, list) and value and all(type(item) is int for item in value):
            value = max(value)
        if value is None:
            raise RequestError(f"config.json has no {name}, which every decoder needs: is {self.model_type!r} a language model?")
        if type(value) is not int or not 1 <= value <= _LARGEST:
            raise RequestError(f"config.json says {name} = {clean(repr(value), limit=60)}, which must be a whole number from 1 to 2^40")
        return value

    def optional_count(self, name: str) -> int | None:
        """Like `count`, None when absent, null, zero or negative."""
        value = self.get(name)
        return value if type(value) is int and 1 <= value <= _LARGEST else None

    def flag(self, name: str, *, default: bool = False) -> bool:
        """A field that is true or false."""
        value = self.get(name, default)
        return value if isinstance(value, bool) else default

    @property
    def layers(self) -> int:
        """Decoder blocks."""
        layers = self.count("num_hidden_layers", len(stated_kinds(self.text) or ()) or None)
        if layers > MAX_LAYERS:
            raise RequestError(f"config.json says num_hidden_layers = {layers:,}: more than {MAX_LAYERS:,} is a damaged file")
        return layers

    @property
    def heads(self) -> int:
        """Query heads; 1 for a family without attention."""
        return self.count("num_attention_heads", 1 if self.model_type in STATE_ONLY else None)

    @property
    def kv_heads(self) -> int:
        """Key and value heads as stored in the cache: Falcon's newer blocks repeat them for every query head before that."""
        if self.model_type == "falcon" and self.flag("new_decoder_architecture"):
            return self.heads
        return self.projected_kv_heads

    @property
    def projected_kv_heads(self) -> int:
        """Key and value heads that a block computes."""
        if self.model_type == "falcon":
            return _falcon_kv_heads(self)
        if self.stated("num_key_value_heads") is None and "num_key_value_heads" not in self.defaults:
            return self.heads
        stated = self.get("num_key_value_heads")
        return self.count("num_key_value_heads") if isinstance(stated, list) else self.optional_count("num_key_value_heads") or self.heads

    @property
    def head_dim(self) -> int:
        """Width of a head: what the configuration says, and only without a word from it hidden size / heads."""
        if (rope := self.optional_count("qk_rope_head_dim")) and (nope := self.optional_count("qk_nope_head_dim")):
            return rope + nope
        stated = self.optional_count("head_dim")
        if stated is not None:
            return stated
        if self.count("hidden_size") < self.heads:
            raise RequestError("config.json has more attention heads than hidden units: the file is damaged, fetch it again")
        return self.count("hidden_size") // self.heads

    def layer_types(self) -> list[str] | None:
        """Kind of each block as the file states it, None when it does not."""
        kinds = stated_kinds(self.text)
        return kinds[: self.layers] if kinds is not None and len(kinds) >= self.layers else None


_PATTERN = {"M": "mamba", "*": "full_attention", "-": "mlp", "E": "moe"}
"""Letters of Nemotron-H's `hybrid_override_pattern`."""


def stated_kinds(text: Mapping[str, object]) -> list[str] | None:
    """Kinds of the blocks in order, wherever a configuration lists them; None when it does not."""
    for key in ("layer_types", "layers_block_type"):
        types = text.get(key)
        if isinstance(types, list) and types and all(isinstance(kind, str) for kind in types):
            return types
    pattern = text.get("hybrid_override_pattern")
    if isinstance(pattern, str) and pattern and set(pattern) <= set(_PATTERN):
        return [_PATTERN[letter] for letter in pattern]
    layers, cycle = text.get("num_hidden_layers"), text.get("block_types")
    if type(layers) is not int or not 0 < layers <= MAX_LAYERS:
        return None
    if isinstance(cycle, list) and cycle and all(isinstance(kind, str) for kind in cycle):
        kinds = ["sliding_attention" if kind == "attention" else kind for kind in cycle]
        return [kinds[index % len(kinds)] for index in range(layers)]
    nested = text.get("linear_attn_config")
    for part, key, first in ((text, "attn_layer_indices", 0), (text, "full_attn_idxs", 0), (nested, "full_attn_layers", 1)):
        attends = part.get(key) if isinstance(part, Mapping) else None
        if isinstance(attends, list) and attends:
            return ["full_attention" if index + first in attends else "linear_attention" for index in range(layers)]
    return None


def normalize(config: Mapping[str, object]) -> NormalConfig:
    """Find the text decoder in a configuration and what transformers would fill in. Raises RequestError: no `model_type`, or it is not text."""
    text: Mapping[str, object] = config
    for key in _NESTED:
        nested = text.get(key)
        if isinstance(nested, dict) and "hidden_size" not in text and "num_hidden_layers" not in text:
            text = nested
    model_type = text.get("model_type") or config.get("model_type")
    if not isinstance(model_type, str) or not model_type:
        raise RequestError("config.json has no model_type: it is not the configuration of a transformers model")
    if text is not config and not text.get("model_type"):
        model_type = f"{model_type}_text"
    defaults = config_defaults(model_type)
    return NormalConfig(config, text, defaults.values, defaults.attribute_map, clean(model_type, limit=80))


def _falcon_kv_heads(config: NormalConfig) -> int:
    if config.flag("new_decoder_architecture"):
        return config.optional_count("num_key_value_heads") or config.heads
    return 1 if config.flag("multi_query", default=True) else config.heads
