"""The card of a model: its shape, read from `config.json` and the weight headers, and what its KV cache costs."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from math import ceil
from pathlib import Path
from typing import Any, Self

from pydantic import BaseModel, ConfigDict

from core.errors import RequestError
from core.models.config import blueprint
from core.models.config.attention_kinds import AttentionKinds, attention_kinds
from core.models.config.cache_blocks import CacheBlock, cache_blocks
from core.models.config.families import EXACT
from core.models.config.normal_config import NormalConfig, normalize
from core.models.config.per_block import fields_per_block
from core.models.config.quantization import quantization_of
from core.models.disk.codes import check_numbers, check_scales
from core.models.disk.files import read_object, shown
from core.models.disk.headers import TensorLocation, model_tensors
from core.models.logical import Shape, logical_shapes, own_head
from core.models.logical import count as count_values
from core.models.meta import built
from core.sanitize import clean

_DTYPES = {"F64": "float64", "F32": "float32", "F16": "float16", "BF16": "bfloat16", "F8_E4M3": "float8_e4m3fn", "F8_E5M2": "float8_e5m2"}
_IN_BLOCK = re.compile(r"(?:^|\.)(?:layers|layer|h|blocks|block)\.(\d+)\.(.+?)(?:\.weight)?$")
_NOT_DECODER = re.compile(r"(?:^|[._])(?:vision|visual|audio|encoder|vit|mtp)")
_EXPERT = re.compile(r"\.experts\.\d+\.")
_NO_LINEAR = re.compile(r"(?:norm\w*|ln_\w+|conv1d|bias)$")


class LinearShape(BaseModel):
    """Equal linears of the decoder blocks."""

    model_config = ConfigDict(frozen=True)

    name_suffix: str
    """Name inside a block, for example `self_attn.q_proj`; experts share one name."""
    out_features: int
    in_features: int
    count: int
    """How many of them all blocks have together."""
    expert: bool = False
    """One of a mixture's experts, which transformers fuses into one tensor, whatever the files do."""
    bias: bool = False


class KvBlocks(BaseModel):
    """Decoder blocks that cache alike."""

    model_config = ConfigDict(frozen=True)

    count: int
    keys: int
    """Values of a token's keys in one block, over all heads."""
    values: int
    window: int | None = None
    """Tokens that a block keeps at most; None: all."""


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
    """`weights`: counted in the weight files; `config`: computed from the configuration, by the family's rule or by transformers; `assumed`: from
    the configuration as if its blocks were Llama's."""
    layers: int
    hidden_size: int
    intermediate_size: int
    heads: int
    kv_heads: int
    """As transformers caches them."""
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
    kv_blocks: tuple[KvBlocks, ...] = ()
    """What blocks cache, where that is not the same in all but for the window; empty: as heads and windows above say."""
    engine_kv_heads: int | None = None
    """KV heads that engines keep, where transformers repeats them before it caches them."""
    experts: int = 0
    rope_type: str = "default"
    """Kind of the rotary positions, as the configuration calls it: `linear`, `dynamic`, `yarn`, ...; `alibi` where distances are weighed instead;
    `default` also without any."""
    dtype: str
    file_bytes: int
    """Bytes of all weight files, 0 without weights."""
    quantization: dict[str, object] | None = None
    chat_template: bool = False
    linears: tuple[LinearShape, ...] = ()
    per_block: tuple[str, ...] = ()
    """Fields of the configuration that describe blocks one by one, or couple them: lists as long as there are blocks, shared caches, blocks that
    predict further tokens."""

    @property
    def quant_method(self) -> str:
        """How the weights are quantized, in the checkpoint's own word; empty when they are plain numbers."""
        return "" if self.quantization is None else str(self.quantization.get("quant_method", "an unnamed method"))

    @classmethod
    def from_folder(cls, path: Path, name: str | None = None) -> Self:
        """Read the card of a Hugging Face model folder.

        Raises:
            RequestError: no or a damaged config.json, no or damaged safetensors, or codes of quantized weights without a word on their scheme.
        """
        if not path.is_dir():
            raise RequestError(f"{shown(path)} is not a folder: give a folder with config.json and safetensors weights")
        config = read_object(path / "config.json")
        quantization = quantization_of(config, path)
        tensors = model_tensors(path)
        if quantization is None:
            check_numbers(tensors, path)
            check_scales(tensors, path)
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
        shapes = logical_shapes(tensors, quantization, normal.layers, normal.model_type) if tensors else None
        tied = blueprint.tied_embeddings(normal) and not own_head(tensors)
        count = _counted(config, normal, shapes, tied)
        return cls(
            name=name,
            architecture=_architecture(config),
            model_type=normal.model_type,
            parameters=count.parameters,
            parameters_from=count.source,
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
            kv_blocks=_kv_blocks(normal, kinds, count.blocks),
            engine_kv_heads=normal.projected_kv_heads if normal.projected_kv_heads != normal.kv_heads else None,
            experts=normal.optional_count("num_experts") or 0,
            rope_type=_rope_type(normal),
            dtype=_dtype(config, normal, tensors if quantization is None else {}),
            file_bytes=file_bytes,
            quantization=_cleaned(quantization) if isinstance(quantization, dict) else None,
            chat_template=template,
            linears=count.linears,
            per_block=tuple(clean(name, limit=80) for name in fields_per_block(normal)),
        )

    @property
    def caches_alike(self) -> bool:
        """Whether keys and values of a token are as wide in all blocks that keep them as heads times head width."""
        return all(blocks.keys == blocks.values == self.kv_heads * self.head_dim for blocks in self.cached if blocks.count)

    @property
    def cached(self) -> tuple[KvBlocks, ...]:
        """The blocks that keep keys and values, equal ones together."""
        if self.kv_blocks:
            return self.kv_blocks
        if self.latent_cache is not None:
            keys, values = self.latent_cache.latent_dim, self.latent_cache.rope_dim
        else:
            keys = values = self.kv_heads * self.head_dim
        full = self.layers - self.recurrent_layers - self.sliding_layers
        sliding = KvBlocks(count=self.sliding_layers, keys=keys, values=values, window=self.sliding_window)
        return (KvBlocks(count=full, keys=keys, values=values), sliding)

    def kv_bytes_per_token(self, bits: float = 16) -> float:
        """Bytes that one more token costs while no window is full, at `bits` of a stored value with its share of the scale."""
        return sum(blocks.count * (blocks.keys + blocks.values) for blocks in self.cached) * bits / 8

    def kv_bytes(self, tokens: int, sequences: int = 1, bits: float = 16) -> int:
        """Bytes of the cache of `sequences` sequences of `tokens` tokens each: sliding blocks hold at most their window."""
        held = sum(
            blocks.count * (blocks.keys + blocks.values) * (tokens if blocks.window is None else min(blocks.window, tokens)) for blocks in self.cached
        )
        return ceil(held * bits / 8) * sequences


@dataclass(frozen=True)
class _Count:
    parameters: int
    source: str
    linears: tuple[LinearShape, ...]
    blocks: Counter[CacheBlock] | None = None


def _counted(config: Mapping[str, object], normal: NormalConfig, shapes: Mapping[str, Shape] | None, tied: bool) -> _Count:
    """Parameters and linears: by the files, by the family's rule, by transformers, or as if the blocks were Llama's."""
    if shapes:
        return _Count(count_values(shapes, tied=tied), "weights", _linears_of_shapes(shapes, normal))
    exact = normal.model_type in EXACT and normal.text is normal.raw
    model = None if exact else built(config)
    if model is None:
        return _Count(blueprint.parameters(normal), "config" if exact else "assumed", _linears_of_config(normal))
    return _Count(count_values(model.shapes, tied=False), "config", _linears_of_shapes(model.shapes, normal), model.blocks)


def _kv_blocks(config: NormalConfig, kinds: AttentionKinds, known: Counter[CacheBlock] | None) -> tuple[KvBlocks, ...]:
    """What blocks cache, where heads and windows of the card do not say it all."""
    found = known or cache_blocks(config)
    width = config.kv_heads * config.head_dim
    usual = Counter({CacheBlock(width, width, None): kinds.full})
    usual[CacheBlock(width, width, kinds.window)] += kinds.sliding
    if +usual == found:
        return ()
    order = sorted(found.items(), key=lambda item: (item[0].window or 0, item[0].keys))
    return tuple(KvBlocks(count=count, keys=block.keys, values=block.values, window=block.window) for block, count in order)


def _architecture(config: Mapping[str, object]) -> str:
    names = config.get("architectures")
    return clean(names[0], limit=80) if isinstance(names, list) and names and isinstance(names[0], str) else ""


def _latent(config: NormalConfig) -> LatentCache | None:
    latent = config.optional_count("kv_lora_rank")
    return LatentCache(latent_dim=latent, rope_dim=config.count("qk_rope_head_dim")) if latent else None


_BY_DISTANCE = {"bloom", "mpt"}
"""Families whose attention always weighs tokens by their distance (ALiBi, arXiv 2108.12409)."""


def _rope_type(config: NormalConfig) -> str:
    """By the names of transformers 5 and of the files before it."""
    if config.model_type in _BY_DISTANCE or config.flag("alibi"):
        return "alibi"
    for key in ("rope_parameters", "rope_scaling"):
        stated = config.get(key)
        kind = (stated.get("rope_type") or stated.get("type")) if isinstance(stated, dict) else None
        if isinstance(kind, str):
            return clean(kind, limit=40)
    return "default"


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
        LinearShape(
            name_suffix=matrix.name,
            out_features=matrix.out_features,
            in_features=matrix.in_features,
            count=matrix.count,
            expert=".experts." in matrix.name,
            bias=matrix.bias,
        )
        for matrix in blueprint.block_linears(config)
    )


def _linears_of_shapes(shapes: Mapping[str, Shape], config: NormalConfig) -> tuple[LinearShape, ...]:
    """Matrices in the decoder blocks, equal ones of one name summed; GPT-2 stores its transposed. Experts in one tensor are matrices each."""
    transposed = config.model_type in {"gpt2", "openai-gpt"}
    experts = config.optional_count("num_experts") or 0
    found = Counter[tuple[str, int, int, bool, bool]]()
    for name, shape in shapes.items():
        match = _IN_BLOCK.search(name)
        fused = len(shape) == 3 and ("experts" in name or shape[0] == experts)
        if match is None or not (fused or (len(shape) == 2 and name.endswith(".weight"))) or _NO_LINEAR.search(match[2]) or _NOT_DECODER.search(name):
            continue
        rows, columns = (shape[-1], shape[-2]) if transposed else shape[-2:]
        suffix = clean(_EXPERT.sub(".experts.", match[2]), limit=120)
        biased = f"{name.removesuffix('weight')}bias" in shapes
        found[suffix, rows, columns, fused or _EXPERT.search(name) is not None, biased] += shape[0] if fused else 1
    return tuple(
        LinearShape(name_suffix=name, out_features=out, in_features=width, count=count, expert=expert, bias=bias)
        for (name, out, width, expert, bias), count in found.items()
    )


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
