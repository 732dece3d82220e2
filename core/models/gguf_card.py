"""The card of a GGUF file."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

from core.errors import RequestError
from core.models.card import LinearShape, ModelCard
from core.models.disk.files import shown
from core.models.disk.gguf_header import GgufHeader, read_gguf_header
from core.sanitize import clean


def gguf_card(path: Path, name: str | None = None) -> ModelCard:
    """Read the card of a `.gguf` file: shape from its metadata, parameters and linears from its tensors.

    Raises:
        RequestError: not a GGUF file, damaged, or without the metadata of a decoder.
    """
    header = read_gguf_header(path)
    fields = _Fields(header, shown(path))
    heads = fields.count("attention.head_count")
    hidden = fields.count("embedding_length")
    window = fields.optional("attention.sliding_window")
    layers = fields.count("block_count")
    quantization = _main_type(header)
    return ModelCard(
        name=clean(name or path.name),
        architecture=fields.architecture,
        model_type=fields.architecture,
        parameters=sum(tensor.numel for tensor in header.tensors),
        parameters_from="weights",
        layers=layers,
        hidden_size=hidden,
        intermediate_size=fields.optional("feed_forward_length") or 4 * hidden,
        heads=heads,
        kv_heads=fields.optional("attention.head_count_kv") or heads,
        head_dim=fields.optional("attention.key_length") or max(hidden // heads, 1),
        vocabulary=fields.optional("vocab_size") or fields.items("tokenizer.ggml.tokens") or _embedding_rows(header),
        context=fields.count("context_length"),
        tied_embeddings=all(tensor.name != "output.weight" for tensor in header.tensors),
        sliding_window=window,
        sliding_layers=fields.sliding_layers(layers) if window else 0,
        experts=fields.optional("expert_count") or 0,
        dtype=quantization,
        file_bytes=path.stat().st_size,
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

    def sliding_layers(self, layers: int) -> int:
        pattern = self._metadata.get(f"{self._prefix}.attention.sliding_window_pattern")
        if isinstance(pattern, list):
            return sum(bool(item) for item in pattern[:layers])
        period = {"gemma2": 2, "gemma3": 6, "cohere2": 4, "gpt-oss": 2}.get(self.architecture)
        return layers - layers // period if period else layers


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
