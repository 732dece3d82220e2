"""What weights and KV cache cost in each format, scales counted."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from core.errors import RequestError
from core.formats.gguf import mix
from core.formats.gguf.blocks import BLOCK_BITS
from core.models.card import LinearShape, ModelCard

MatrixBytes = Callable[[LinearShape], float]
"""Bytes of one matrix [out, in], codes and scales."""


@dataclass(frozen=True, slots=True)
class WeightFormat:
    """A way to store weights; embeddings, norms and head stay in `rest_bits` unless it is a GGUF type."""

    key: str
    title: str
    matrix: MatrixBytes
    how: str
    rest_bits: float = 16
    gguf: str | None = None
    """GGUF type; it quantizes embeddings and head too."""
    linears_only: bool = False
    """Made by transformers from its linears: experts that it fuses into one tensor stay in `rest_bits`."""


@dataclass(frozen=True, slots=True)
class WeightBytes:
    """Bytes of a model's weights in a format."""

    format: str
    total: int
    linears: int
    """The decoder blocks' matrices with their scales."""
    rest: int
    """Embeddings, head, norms, biases."""
    bits_per_weight: float
    """Mean over all parameters, scales and what stays in full precision counted."""
    how: str


@dataclass(frozen=True, slots=True)
class KvFormat:
    """A way to store keys and values."""

    key: str
    title: str
    bits: float
    """Bits of a stored value with its share of the scales."""
    how: str


def _plain(bits: float) -> MatrixBytes:
    return lambda linear: linear.out_features * linear.in_features * bits / 8


def _channels(bits: float, scale_bits: float) -> MatrixBytes:
    return lambda linear: linear.out_features * (linear.in_features * bits + scale_bits) / 8


def _groups(bits: float, group: int, scale_bits: float, extra: Callable[[LinearShape], float] = lambda _: 0.0) -> MatrixBytes:
    """Codes, `scale_bits` for each begun group of a row, and `extra` bytes a matrix."""

    def cost(linear: LinearShape) -> float:
        groups = -(-linear.in_features // group)
        return linear.out_features * (linear.in_features * bits + groups * scale_bits) / 8 + extra(linear)

    return cost


def _shape(_: LinearShape) -> float:
    return 16.0


_NF4_BITS = 4 + 8 / 64 + 32 / (64 * 256)


def _gguf(kind: str, title: str, how: str) -> WeightFormat:
    return WeightFormat(f"gguf-{kind.lower()}", title, _plain(BLOCK_BITS.get(kind, 0)), how, 32, kind)


_FORMATS = (
    WeightFormat("fp32", "FP32", _plain(32), "32 bits per weight", rest_bits=32),
    WeightFormat("bf16", "BF16 / FP16", _plain(16), "16 bits per weight"),
    WeightFormat("fp8", "FP8 E4M3, scale per channel", _channels(8, 16), "8 bits per weight and 16 bits per row of each matrix"),
    WeightFormat("int8", "INT8 W8A8, scale per channel", _channels(8, 16), "8 bits per weight and 16 bits per row of each matrix"),
    WeightFormat(
        "gptq-int4",
        "GPTQ INT4, groups of 128",
        _groups(4, 128, 20, lambda linear: 4.0 * linear.in_features),
        "4 bits per weight, 16 + 4 bits per group of 128, 32 bits per column (g_idx)",
    ),
    WeightFormat("awq-int4", "AWQ INT4, groups of 128", _groups(4, 128, 20), "4 bits per weight, 16-bit scale and 4-bit zero point per group of 128"),
    WeightFormat(
        "w4a16", "INT4 W4A16 (compressed-tensors), groups of 128", _groups(4, 128, 16, _shape), "4 bits per weight, 16-bit scale per group of 128"
    ),
    WeightFormat("w4a16-channel", "INT4 W4A16, scale per channel", _channels(4, 16), "4 bits per weight and 16 bits per row of each matrix"),
    WeightFormat("w3a16", "INT3 W3A16, groups of 128", _groups(3, 128, 16, _shape), "3 bits per weight, 16-bit scale per group of 128"),
    WeightFormat("w2a16", "INT2 W2A16, groups of 128", _groups(2, 128, 16, _shape), "2 bits per weight, 16-bit scale per group of 128"),
    WeightFormat(
        "nvfp4", "NVFP4, blocks of 16", _groups(4, 16, 8, lambda _: 4.0), "4 bits per weight, 8-bit scale per block of 16, 32 bits per matrix"
    ),
    WeightFormat(
        "nf4",
        "bitsandbytes NF4, double quantization",
        _plain(_NF4_BITS),
        "4 bits per weight, 8 bits per block of 64, 32 bits in 256 blocks",
        linears_only=True,
    ),
    WeightFormat(
        "aqlm-2bit",
        "AQLM 2 bit, 1x16",
        lambda linear: linear.out_features * linear.in_features * 16 / 8 / 8 + 2**16 * 8 * 2 + linear.out_features * 2,
        "16 bits for 8 weights, a codebook of 1 MiB per matrix, 16 bits per row",
    ),
    _gguf("F16", "GGUF F16", "16 bits per weight, norms in 32"),
    _gguf("Q8_0", "GGUF Q8_0", "8.5 bits per weight: a 16-bit scale in 32"),
    _gguf("Q6_K", "GGUF Q6_K", "6.5625 bits per weight, scales in blocks of 256 counted"),
    _gguf("Q5_K_M", "GGUF Q5_K_M", "Q5_K (5.5 bits), half of values and down projections and the head in Q6_K"),
    _gguf("Q4_K_M", "GGUF Q4_K_M", "Q4_K (4.5 bits), half of values and down projections and the head in Q6_K"),
    _gguf("Q4_0", "GGUF Q4_0", "4.5 bits per weight: a 16-bit scale in 32; head in Q6_K"),
    _gguf("Q3_K_M", "GGUF Q3_K_M", "Q3_K (3.4375 bits), values, down and output projections in Q4_K or Q5_K, head in Q6_K"),
    _gguf("Q2_K", "GGUF Q2_K", "Q2_K (2.625 bits), values, down and output projections in Q3_K or Q4_K, head in Q6_K"),
)
WEIGHT_FORMATS: dict[str, WeightFormat] = {form.key: form for form in _FORMATS}
WEIGHT_ALIASES = {"fp16": "bf16", "float16": "bf16", "bfloat16": "bf16", "float32": "fp32", "int4": "w4a16", "int3": "w3a16", "int2": "w2a16"} | {
    form.gguf.lower(): form.key for form in _FORMATS if form.gguf
}
STORED = "stored"
USUAL = "bf16"
"""The weights as their files hold them now."""

KV_FORMATS: dict[str, KvFormat] = {
    form.key: form
    for form in (
        KvFormat("fp32", "FP32", 32, "32 bits per value"),
        KvFormat("fp16", "FP16 / BF16", 16, "16 bits per value"),
        KvFormat("fp8", "FP8, scale per tensor", 8, "8 bits per value; its scales are a few bytes per layer"),
        KvFormat("q8_0", "llama.cpp Q8_0", 8.5, "8 bits per value and a 16-bit scale in 32"),
        KvFormat("int8", "INT8, groups of 32", 9, "8 bits per value, 16-bit scale and 16-bit zero point in 32"),
        KvFormat("q4_0", "llama.cpp Q4_0", 4.5, "4 bits per value and a 16-bit scale in 32"),
        KvFormat("int4", "INT4, groups of 32", 5, "4 bits per value, 16-bit scale and 16-bit zero point in 32"),
        KvFormat("int2", "INT2 (KIVI), groups of 32", 3, "2 bits per value, 16-bit scale and 16-bit zero point in 32"),
    )
}
KV_ALIASES = {"bf16": "fp16", "float16": "fp16", "bfloat16": "fp16", "float32": "fp32", "auto": "fp16"}


def weight_format(key: str) -> WeightFormat:
    """A format by its key or a common other name. Raises RequestError: there is none of that name."""
    name = key.strip().lower()
    if (found := WEIGHT_FORMATS.get(WEIGHT_ALIASES.get(name, name))) is None:
        raise RequestError(f"unknown weight format {key[:40]!r}: choose one of {', '.join(WEIGHT_FORMATS)} or {STORED}")
    return found


def kv_format(key: str) -> KvFormat:
    """A KV format by its key or a common other name. Raises RequestError: there is none of that name."""
    name = key.strip().lower()
    if (found := KV_FORMATS.get(KV_ALIASES.get(name, name))) is None:
        raise RequestError(f"unknown KV-cache format {key[:40]!r}: choose one of {', '.join(KV_FORMATS)}")
    return found


def usual_weights(card: ModelCard) -> str:
    """The format that a model's weights are in when nobody says otherwise: that of a quantized checkpoint, else 16 bits."""
    return USUAL if card.quantization is None else quantized_format(card)


def weight_bytes(card: ModelCard, key: str) -> WeightBytes:
    """What the model's weights cost in a format. Raises RequestError: an unknown format, or `stored` for a model without weight files."""
    if key == STORED:
        if card.file_bytes <= 0:
            raise RequestError(f"{card.name} has no weight files here: name a format instead of {STORED}")
        bits = 8 * card.file_bytes / max(card.parameters, 1)
        return WeightBytes(STORED, card.file_bytes, card.file_bytes, 0, bits, "bytes of the weight files as stored")
    form = weight_format(key)
    quantized = [linear for linear in card.linears if not (form.linears_only and linear.expert)]
    blocks = sum(linear.count * linear.out_features * linear.in_features for linear in quantized)
    rest_parameters = max(card.parameters - blocks, 0)
    if form.gguf is None:
        linears = sum(linear.count * form.matrix(linear) for linear in quantized)
        rest = rest_parameters * form.rest_bits / 8
        kept = "experts, embeddings, head and norms" if len(quantized) < len(card.linears) else "embeddings, head and norms"
        stays = "" if form.key in {"fp32", "bf16"} else f"; {kept} in {form.rest_bits:g} bits"
    else:
        shape = mix.Shape(max(card.layers, 1), max(card.heads // max(card.kv_heads, 1), 1), card.tied_embeddings)
        typed = ((linear, mix.matrix_bits(form.gguf, linear.name_suffix, linear.in_features, shape)) for linear in card.linears)
        linears = sum(linear.count * linear.out_features * linear.in_features * bits / 8 for linear, bits in typed)
        rest = _gguf_rest(form.gguf, card, rest_parameters)
        stays = ""
    total = round(linears + rest)
    return WeightBytes(form.key, total, round(linears), round(rest), 8 * total / max(card.parameters, 1), form.how + stays)


def quantized_format(card: ModelCard) -> str:
    """The format that a quantized checkpoint is in: its files, or, without files, what its configuration says; 16 bits when that is not known."""
    if card.file_bytes > 0:
        return STORED
    config = card.quantization or {}
    bits = config.get("bits", config.get("w_bit"))
    method = str(config.get("quant_method", "")).lower()
    if method == "compressed-tensors":
        form = str(config.get("format", ""))
        return _BY_BITS.get(_bits_of_groups(config), "w4a16") if form == "pack-quantized" else _COMPRESSED.get(form, USUAL)
    if method == "bitsandbytes":
        return "int8" if config.get("load_in_8bit") else "nf4"
    if method in {"gptq", "awq"} and bits in (2, 3, 8):
        return _BY_BITS[bits]
    return _METHODS.get(method, USUAL)


def _bits_of_groups(config: Mapping[str, object]) -> int:
    """Bits of a compressed-tensors weight; 0 where the groups do not say the same."""
    groups = config.get("config_groups")
    weights = [group.get("weights") for group in groups.values() if isinstance(group, dict)] if isinstance(groups, dict) else []
    found = {part.get("num_bits") for part in weights if isinstance(part, dict)}
    only = found.pop() if len(found) == 1 else 0
    return only if isinstance(only, int) else 0


_METHODS = {"fp8": "fp8", "fbgemm_fp8": "fp8", "gptq": "gptq-int4", "awq": "awq-int4", "aqlm": "aqlm-2bit", "mxfp4": "nvfp4", "modelopt": "nvfp4"}
_BY_BITS = {2: "w2a16", 3: "w3a16", 4: "w4a16", 8: "int8"}
_COMPRESSED = {"int-quantized": "int8", "float-quantized": "fp8", "nvfp4-pack-quantized": "nvfp4"}


def _gguf_rest(kind: str, card: ModelCard, parameters: int) -> float:
    """Embedding and head by their own types, what is left (norms, biases) in 32 bits."""
    table = min(card.vocabulary * card.hidden_size, parameters)
    head = 0 if card.tied_embeddings else min(table, parameters - table)
    bits = table * mix.embedding_bits(kind, card.hidden_size, head=card.tied_embeddings)
    bits += head * mix.embedding_bits(kind, card.hidden_size, head=True)
    return (bits + (parameters - table - head) * 32) / 8
