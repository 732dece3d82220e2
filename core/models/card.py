"""The card of a model: its shape, read from `config.json` and the weight headers, and what its KV cache costs."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping
from math import ceil
from pathlib import Path
from typing import Any, Self

from pydantic import BaseModel, ConfigDict

from core.errors import RequestError
from core.models.config import blueprint
from core.models.config.attention_kinds import attention_kinds
from core.models.config.normal_config import NormalConfig, normalize
from core.models.config.quantization import quantization_of
from core.models.disk.files import read_object, shown
from core.models.disk.headers import TensorLocation, model_tensors
from core.sanitize import clean

_DTYPES = {"F64": "float64", "F32": "float32", "F16": "float16", "BF16": "bfloat16", "F8_E4M3": "float8_e4m3fn", "F8_E5M2": "float8_e5m2"}
_IN_BLOCK = re.compile(r"(?:^|\.)(?:layers|layer|h|blocks|block)\.(\d+)\.(.+)\.weight$")
_NOT_DECODER = re.compile(r"(?:^|[._])(?:vision|visual|audio|encoder|vit|mtp)")
_EXPERT = re.compile(r"\.experts\.\d+\.")


class LinearShape(BaseModel):
    """Equal linears of the decoder blocks."""

    model_config = ConfigDict(frozen=True)

    name_suffix: str
    """Name inside a block, for example `self_attn.q_proj`; experts share one name."""
    out_features: int
    in_features: int
    count: int
    """How many of them all blocks have together."""


class LatentCache(BaseModel):
    """Multi-head latent attention keeps one compressed vector and one rotary key a token and block (arXiv 2405.04434)."""

    model_config = ConfigDict(frozen=True)

    latent_dim: int
    rope_dim: int


class ModelCard(BaseModel):
    """What is known of a model without loading it. Every text in it is fit to be shown."""

    model_config = ConfigDict(frozen=True)

    name: str
    architecture: str
    model_type: str
    parameters: int
    parameters_from: str
    """`weights` when counted in the weight files, `config` when computed from the configuration."""
    layers: int
    hidden_size: int
    intermediate_size: int
    heads: int
    kv_heads: int
    head_dim: int
    vocabulary: int
    context: int
    """Tokens; the configuration's `max_position_embeddings`."""
    tied_embeddings: bool
    sliding_window: int | None
    sliding_layers: int
    """Blocks whose cache holds at most `sliding_window` tokens."""
    recurrent_layers: int = 0
    """Blocks that keep a state of fixed size instead of a cache."""
    latent_cache: LatentCache | None = None
    experts: int = 0
    rope_type: str = "default"
    """Kind of the rotary positions, as the configuration calls it: `linear`, `dynamic`, `yarn`, ...; `default` also without any."""
    dtype: str
    file_bytes: int
    """Bytes of all weight files, 0 without weights."""
    quantization: dict[str, object] | None = None
    chat_template: bool = False
    linears: tuple[LinearShape, ...] = ()

    @property
    def quant_method(self) -> str:
        """How the weights are quantized, in the checkpoint's own word; empty when they are plain numbers."""
        return "" if self.quantization is None else str(self.quantization.get("quant_method", "an unnamed method"))

    @classmethod
    def from_folder(cls, path: Path, name: str | None = None) -> Self:
        """Read the card of a Hugging Face model folder. Raises RequestError: no or a damaged config.json, no or damaged safetensors."""
        if not path.is_dir():
            raise RequestError(f"{shown(path)} is not a folder: give a folder with config.json and safetensors weights")
        config = read_object(path / "config.json")
        quantization = quantization_of(config, path)
        tensors = model_tensors(path)
        files = {location.file for location in tensors.values()}
        template = (path / "chat_template.jinja").exists() or (path / "chat_template.json").exists() or _has_template(path / "tokenizer_config.json")
        try:
            config = config if quantization is None else config | {"quantization_config": quantization}
            return cls._build(config, clean(name or path.name), tensors, sum(file.stat().st_size for file in files), template)
        except RequestError as error:
            raise RequestError(f"{shown(path)}: {error}") from error

    @classmethod
    def from_config(cls, config: Mapping[str, object], parameters: int | None = None, name: str = "") -> Self:
        """The card of a model that is only known by its configuration.

        Args:
            config: the contents of `config.json`.
            parameters: if known; otherwise computed from the structure.
            name: how to call it.

        Raises:
            RequestError: the configuration does not describe a decoder.
        """
        card = cls._build(config, clean(name), {}, 0, template=False)
        return card if parameters is None else card.model_copy(update={"parameters": parameters})

    @classmethod
    def _build(cls, config: Mapping[str, object], name: str, tensors: Mapping[str, TensorLocation], file_bytes: int, template: bool) -> Self:
        normal = normalize(config)
        kinds = attention_kinds(normal)
        quantization = quantization_of(config)
        counted = bool(tensors) and not isinstance(quantization, dict)
        tied = blueprint.tied_embeddings(normal)
        return cls(
            name=name,
            architecture=_architecture(config),
            model_type=normal.model_type,
            parameters=_count(tensors, tied) if counted else blueprint.parameters(normal),
            parameters_from="weights" if counted else "config",
            layers=normal.layers,
            hidden_size=normal.count("hidden_size"),
            intermediate_size=normal.optional_count("intermediate_size") or 4 * normal.count("hidden_size"),
            heads=normal.heads,
            kv_heads=normal.kv_heads,
            head_dim=normal.head_dim,
            vocabulary=normal.count("vocab_size"),
            context=normal.count("max_position_embeddings", 2048),
            tied_embeddings=tied,
            sliding_window=kinds.window,
            sliding_layers=kinds.sliding,
            recurrent_layers=kinds.recurrent,
            latent_cache=_latent(normal),
            experts=normal.optional_count("num_experts") or 0,
            rope_type=_rope_type(normal),
            dtype=_dtype(config, normal, tensors if counted else {}),
            file_bytes=file_bytes,
            quantization=_cleaned(quantization) if isinstance(quantization, dict) else None,
            chat_template=template,
            linears=_linears_of_weights(tensors, normal) if counted else _linears_of_config(normal),
        )

    def kv_bytes_per_token(self, bits: float = 16) -> float:
        """Bytes that one more token costs while no window is full, at `bits` of a stored value with its share of the scale."""
        return self._values_per_token() * (self.layers - self.recurrent_layers) * bits / 8

    def kv_bytes(self, tokens: int, sequences: int = 1, bits: float = 16) -> int:
        """Bytes of the cache of `sequences` sequences of `tokens` tokens each: sliding blocks hold at most their window."""
        full = self.layers - self.recurrent_layers - self.sliding_layers
        window = tokens if self.sliding_window is None else min(self.sliding_window, tokens)
        held = full * tokens + self.sliding_layers * window
        return ceil(self._values_per_token() * held * bits / 8) * sequences

    def _values_per_token(self) -> int:
        """Stored values of one block for one token."""
        if self.latent_cache is not None:
            return self.latent_cache.latent_dim + self.latent_cache.rope_dim
        return 2 * self.kv_heads * self.head_dim


def _architecture(config: Mapping[str, object]) -> str:
    names = config.get("architectures")
    return clean(names[0], limit=80) if isinstance(names, list) and names and isinstance(names[0], str) else ""


def _latent(config: NormalConfig) -> LatentCache | None:
    latent = config.optional_count("kv_lora_rank")
    return LatentCache(latent_dim=latent, rope_dim=config.count("qk_rope_head_dim")) if latent else None


def _rope_type(config: NormalConfig) -> str:
    """By the names of transformers 5 and of the files before it."""
    for key in ("rope_parameters", "rope_scaling"):
        stated = config.get(key)
        kind = (stated.get("rope_type") or stated.get("type")) if isinstance(stated, dict) else None
        if isinstance(kind, str):
            return clean(kind, limit=40)
    return "default"


def _count(tensors: Mapping[str, TensorLocation], tied: bool) -> int:
    """Values of all weights; buffers left out, a head that repeats the embedding counted once."""
    skipped = ("rotary_emb.inv_freq", *(("lm_head.weight",) if tied else ()))
    counted = {name: location.info.numel for name, location in tensors.items() if not name.endswith(skipped)}
    return sum(counted.values()) or sum(location.info.numel for location in tensors.values())


def _dtype(config: Mapping[str, object], normal: NormalConfig, tensors: Mapping[str, TensorLocation]) -> str:
    """The dtype that holds most of the weights, else the one the configuration states."""
    held = Counter[str]()
    for location in tensors.values():
        held[location.info.dtype] += location.info.nbytes
    if held:
        most = held.most_common(1)[0][0]
        return _DTYPES.get(most, most.lower())
    stated = config.get("dtype") or config.get("torch_dtype") or normal.text.get("dtype") or normal.text.get("torch_dtype")
    return clean(stated, limit=40).removeprefix("torch.") if isinstance(stated, str) else "unknown"


def _linears_of_config(config: NormalConfig) -> tuple[LinearShape, ...]:
    return tuple(
        LinearShape(name_suffix=matrix.name, out_features=matrix.out_features, in_features=matrix.in_features, count=matrix.count)
        for matrix in blueprint.block_linears(config)
    )


def _linears_of_weights(tensors: Mapping[str, TensorLocation], config: NormalConfig) -> tuple[LinearShape, ...]:
    """Matrices in the decoder blocks, equal ones of one name summed; GPT-2 stores its transposed."""
    transposed = config.model_type in {"gpt2", "openai-gpt"}
    found = Counter[tuple[str, int, int]]()
    for name, location in tensors.items():
        match = _IN_BLOCK.search(name)
        if match is None or len(location.info.shape) != 2 or _NOT_DECODER.search(name):
            continue
        rows, columns = location.info.shape
        suffix = clean(_EXPERT.sub(".experts.", match[2]), limit=120)
        found[(suffix, columns, rows) if transposed else (suffix, rows, columns)] += 1
    return tuple(LinearShape(name_suffix=name, out_features=out, in_features=width, count=count) for (name, out, width), count in found.items())


def _has_template(path: Path) -> bool:
    try:
        return bool(read_object(path).get("chat_template"))
    except RequestError:
        return False


def _cleaned(value: Any, depth: int = 0) -> Any:
    """A copy in which every text is fit to be shown; what nests deeper than 8 levels is left out."""
    if isinstance(value, str):
        return clean(value, limit=400)
    if depth >= 8:
        return None
    if isinstance(value, dict):
        return {clean(str(key), limit=120): _cleaned(item, depth + 1) for key, item in value.items()}
    if isinstance(value, list):
        return [_cleaned(item, depth + 1) for item in value]
    return value
