"""The card of a GGUF file."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

from core.errors import RequestError
from core.models.card import KvBlocks, LinearShape, ModelCard
from core.models.config.normal_config import MAX_LAYERS
from core.models.disk.files import shown
from core.models.disk.gguf_header import GgufHeader
from core.models.disk.gguf_parts import read_gguf_parts
from core.sanitize import clean


def gguf_card(path: Path, name: str | None = None) -> ModelCard:
    """Read the card of a `.gguf` file: shape from its metadata, parameters and linears from its tensors, of all parts where it is split.

    Raises:
        RequestError: not a GGUF file, damaged, without the metadata of a decoder, or a part without the others.
    """
    model = read_gguf_parts(path)
    header = model.header
    fields = _Fields(header, shown(path))
    heads = fields.count("attention.head_count")
    hidden = fields.count("embedding_length")
    window = fields.optional("attention.sliding_window")
    if (stated := fields.count("block_count")) > MAX_LAYERS:
        raise RequestError(f"{shown(path)} says {fields.architecture}.block_count = {stated:,}: more than {MAX_LAYERS:,} is a damaged file")
    layers = max(stated - (fields.optional("nextn_predict_layers") or 0), 1)
    blocks = _kv_blocks(fields, layers, heads, hidden)
    quantization = _main_type(header)
    return ModelCard(
        name=clean(name or path.name),
        architecture=fields.architecture,
        model_type=fields.architecture,
        parameters=sum(tensor.numel for tensor in header.tensors if not tensor.name.startswith("rope_")),
        parameters_from="weights",
        layers=layers,
        hidden_size=hidden,
        intermediate_size=fields.optional("feed_forward_length") or 4 * hidden,
        heads=heads,
        kv_heads=fields.optional("attention.head_count_kv") or heads,
        head_dim=fields.optional("attention.key_length_mla") or fields.optional("attention.key_length") or max(hidden // heads, 1),
        vocabulary=fields.optional("vocab_size") or fields.items("tokenizer.ggml.tokens") or _embedding_rows(header),
        context=fields.count("context_length"),
        tied_embeddings=all(tensor.name != "output.weight" for tensor in header.tensors),
        sliding_window=window,
        sliding_layers=sum(fields.slides(layers)) if window else 0,
        recurrent_layers=layers - sum(block.count for block in blocks) - min(fields.optional("attention.shared_kv_layers") or 0, layers),
        kv_blocks=blocks,
        experts=fields.optional("expert_count") or 0,
        dtype=quantization,
        file_bytes=model.bytes,
        quantization=None if quantization in {"F32", "F16", "BF16"} else {"quant_method": "gguf", "type": quantization},
        chat_template=isinstance(header.metadata.get("tokenizer.chat_template"), str),
        linears=_linears(header),
    )


class _Fields:
    """Metadata under the prefix of the file's architecture."""

    def __init__(self, header: GgufHeader, what: str) -> None:
        architecture = header.metadata.get("general.architecture")
        if not isinstance(architecture, str) or not architecture:
            raise RequestError(f"{what} has no general.architecture: it is not a language model")
        self._metadata = header.metadata
        self._what = what
        self._prefix = architecture
        self.architecture = clean(architecture, limit=80)

    def optional(self, key: str) -> int | None:
        value: Any = self._metadata.get(f"{self._prefix}.{key}")
        if isinstance(value, list) and value and all(type(item) is int for item in value):
            value = max(value)
        return value if type(value) is int and 1 <= value <= 2**40 else None

    def count(self, key: str) -> int:
        value = self.optional(key)
        if value is None:
            raise RequestError(f"{self._what} has no {self.architecture}.{key}: it is not a language model, or damaged")
        return value

    def items(self, key: str) -> int:
        value = self._metadata.get(f"{key}.length", 0)
        return value if isinstance(value, int) else 0

    def by_block(self, key: str, layers: int, default: int) -> list[int]:
        """A count of each block: the file's list, or the same for all. Zeros count."""
        value: Any = self._metadata.get(f"{self._prefix}.{key}")
        if isinstance(value, list) and len(value) >= layers and all(type(item) is int and 0 <= item <= _MOST_HEADS for item in value):
            return value[:layers]
        return [self.optional(key) or default] * layers

    def attends(self, layers: int) -> list[bool]:
        """Which blocks attend, and do not keep a state of fixed size."""
        if self.architecture in _STATE_ONLY:
            return [False] * layers
        period = self.optional("full_attention_interval") or (4 if self.architecture in _EVERY_FOURTH else 1)
        return [index % period == period - 1 for index in range(layers)]

    def slides(self, layers: int) -> list[bool]:
        """Which blocks attend to a window only."""
        pattern = self._metadata.get(f"{self._prefix}.attention.sliding_window_pattern")
        if isinstance(pattern, list) and len(pattern) >= layers:
            return [bool(item) for item in pattern[:layers]]
        period = pattern if type(pattern) is int and pattern > 1 else _PERIODS.get(self.architecture)
        return [index % period < period - 1 if period else True for index in range(layers)]


_MOST_HEADS = 2**16
_STATE_ONLY = {"mamba", "mamba2", "rwkv6", "rwkv7", "rwkv6qwen2", "arwkv7"}
_EVERY_FOURTH = {"qwen3next", "qwen35", "qwen35moe"}
_PERIODS = {"gemma2": 2, "gemma3": 6, "gemma3n": 5, "cohere2": 4, "gpt-oss": 2, "exaone4": 4, "olmo2": 4}


def _kv_blocks(fields: _Fields, layers: int, heads: int, hidden: int) -> tuple[KvBlocks, ...]:
    """What llama.cpp caches for a token in each block, equal blocks together."""
    width = max(hidden // heads, 1)
    key, value = fields.optional("attention.key_length") or width, fields.optional("attention.value_length") or width
    latent, window = fields.optional("attention.kv_lora_rank"), fields.optional("attention.sliding_window")
    wide = (key, value), (fields.optional("attention.key_length_swa") or key, fields.optional("attention.value_length_swa") or value)
    owners = layers - min(fields.optional("attention.shared_kv_layers") or 0, layers)
    kinds = zip(fields.by_block("attention.head_count_kv", layers, heads), fields.attends(layers), fields.slides(layers), strict=True)
    found = Counter[tuple[int, int, int | None]]()
    for kv_heads, attends, slides in list(kinds)[:owners]:
        sliding = slides and window is not None
        if not attends or not kv_heads:
            continue
        if latent is not None and fields.optional("attention.key_length_mla"):
            found[latent, fields.optional("rope.dimension_count") or max(key - latent, 0), None] += 1
        else:
            found[kv_heads * wide[sliding][0], kv_heads * wide[sliding][1], window if sliding else None] += 1
    return tuple(KvBlocks(count=count, keys=keys, values=values, window=limit) for (keys, values, limit), count in found.items())


def _main_type(header: GgufHeader) -> str:
    """The type that holds most values, by the name that ggml gives it."""
    from gguf import GGMLQuantizationType

    held = Counter[int]()
    for tensor in header.tensors:
        held[tensor.type_number] += tensor.numel
    if not held:
        return "unknown"
    number = held.most_common(1)[0][0]
    try:
        return str(GGMLQuantizationType(number).name)
    except ValueError:
        return f"type {number}"


def _embedding_rows(header: GgufHeader) -> int:
    return next((tensor.shape[-1] for tensor in header.tensors if tensor.name == "token_embd.weight" and tensor.shape), 0)


def _linears(header: GgufHeader) -> tuple[LinearShape, ...]:
    found = Counter[tuple[str, int, int]]()
    for tensor in header.tensors:
        parts = tensor.name.split(".", 2)
        if parts[0] == "blk" and len(parts) == 3 and parts[2].endswith(".weight") and len(tensor.shape) == 2:
            found[(clean(parts[2].removesuffix(".weight"), limit=120), tensor.shape[1], tensor.shape[0])] += 1
    return tuple(LinearShape(name_suffix=name, out_features=out, in_features=width, count=count) for (name, out, width), count in found.items())
