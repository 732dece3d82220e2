"""The weights that a folder holds, quantized or not: their shapes by headers and quantization scheme, and what a model counts of them."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable, Iterable, Mapping
from functools import lru_cache
from math import prod
from pathlib import Path

from core.models.disk.headers import TensorInfo, TensorLocation

Shape = tuple[int, ...]

_PLAIN = {"F64", "F32", "F16", "BF16", "F8_E4M3", "F8_E5M2", "F8_E4M3FNUZ", "F8_E5M2FNUZ", "I8"}
_SCALES = re.compile(
    r"(?:(?:weight|activation|input|output|prob|kv|\.[kvq]|_proj)_(?:global_)?scales?(?:_inv|_2|_bf16|_ub)?|_scale_and_zero|_zero_points?|\.[kv]_scale"
    r"|\.g_idx|\.qzeros|\.scales|\.weight_shape|\.weight_g_idx|\.perm|\.checkpoint_format|\.SCB|\.weight_format|\.absmax|\.quant_map"
    r"|\.nested_absmax|\.nested_quant_map|\.quant_state\.bitsandbytes__\w+|\.codebooks|\.weight_chan_scale|\.pre_quant_scale)$"
)
"""What quantization tools store next to the codes of a weight, and no parameter of a model is called."""
DERIVED = re.compile(
    r"(?:inv_freq|\b(?:cos|sin)(?:_cached)?|_cached|rope\.freqs|freqs_cis|(?:^|\.)position_ids|embed_positions\.weights|\.version|causal_mask"
    r"|(?:^|\.)(?:self_|cross)?(?:attn|attention)\.(?:bias|masked_bias)|(?:alibi|attn|attention|model)\.slopes|num_batches_tracked)$"
)
"""Buffers that older versions of transformers saved and that are computed now."""
_BUFFERS = re.compile(
    r"(?:(?<!moe_statics)\.e_score_correction_bias|\.expert_bias|\.balancing_biases|\.tid2eid|\.layer_scalar|\.act_fn\.(?:beta|eps)"
    r"|\.(?:slope_rate|query_decay|key_decay|diagonal_decay)|\.[kv]_scale)$"
)
"""Buffers of today's models that are saved with the parameters, and scales of the KV cache."""
_LEARNED = {"afmoe": ".expert_bias", "laguna": ".e_score_correction_bias"}
"""Families in which one of them is a parameter."""
_SPARE_BLOCK = re.compile(r"^(?:model\.)?(?:language_model\.)?(?:model\.)?layers\.(\d+)\.")
_LARGEST_SMALL = 2**16


def logical_shapes(
    tensors: Mapping[str, TensorLocation], quantization: Mapping[str, object] | None, layers: int, family: str = ""
) -> dict[str, Shape] | None:
    """Shape of each parameter by its name in a plain checkpoint, from what the files hold.

    Args:
        tensors: of the folder.
        quantization: its `quantization_config`.
        layers: decoder blocks; more of them in the files are drafts of later tokens, which are not part of the model.
        family: the `model_type` of the decoder.

    Returns:
        Shapes as torch has them; those of codes whose matrix is not stored are right only in their product. None for codes of an unknown kind.
    """
    shapes: dict[str, Shape] = {}
    quantized, learned = quantization is not None, _LEARNED.get(family, "\0")
    for name, location in tensors.items():
        buffer = DERIVED.search(name) or (_BUFFERS.search(name) and not name.endswith(learned))
        if buffer or (quantized and _SCALES.search(name)) or name.startswith("mtp."):
            continue
        spare = _SPARE_BLOCK.match(name)
        if spare is not None and int(spare[1]) >= layers:
            continue
        unpacked = _unpacked(name, location, tensors, quantization) if quantization is not None else (name, location.info.shape)
        if unpacked is None:
            return None
        shapes[unpacked[0]] = unpacked[1]
    return shapes


def _unpacked(
    name: str, location: TensorLocation, tensors: Mapping[str, TensorLocation], quantization: Mapping[str, object]
) -> tuple[str, Shape] | None:
    """The parameter that a tensor of a quantized folder holds, and its shape."""
    for suffix, read in _CODES.items():
        if name.endswith(suffix):
            shape = read(name.removesuffix(suffix), location.info, tensors, quantization)
            return None if shape is None else (name.removesuffix(suffix) + _CALLED.get(suffix, ".weight"), shape)
    return (name, location.info.shape) if location.info.dtype in _PLAIN else None


def _gptq(linear: str, info: TensorInfo, tensors: Mapping[str, TensorLocation], quantization: Mapping[str, object]) -> Shape | None:
    """`qweight`, 32 // bits codes in a word: [in / codes, out], AWQ's [in, out / codes]."""
    if len(info.shape) != 2:
        return None
    rows, columns = info.shape
    if (index := tensors.get(f"{linear}.g_idx")) is not None and index.info.shape:
        return columns, index.info.shape[0]
    bits = _bits(linear, quantization) or _bits_by_zeros(linear, info, tensors)
    if bits is None:
        return None
    scales = tensors.get(f"{linear}.scales")
    if scales is not None and scales.info.shape[-1:] == (columns,):
        return columns, rows * 32 // bits
    return columns * 32 // bits, rows


def _bits_by_zeros(linear: str, info: TensorInfo, tensors: Mapping[str, TensorLocation]) -> int | None:
    """Bits of a code, from how many words the zero points of a row of scales take."""
    zeros, scales = tensors.get(f"{linear}.qzeros"), tensors.get(f"{linear}.scales")
    if zeros is None or scales is None or not zeros.info.numel or len(info.shape) != 2:
        return None
    bits = 32 * zeros.info.numel // max(scales.info.numel, 1)
    return bits if 1 <= bits <= 8 else None


def _bits(linear: str, quantization: Mapping[str, object]) -> int | None:
    """Bits of a linear's codes: its own where the scheme mixes widths, else the scheme's."""
    for key in ("dynamic", "extra_config"):
        own = quantization.get(key)
        for pattern, settings in own.items() if isinstance(own, Mapping) else ():
            mine = isinstance(settings, Mapping) and not pattern.startswith("-:") and _names(pattern, linear)
            if mine and (found := _width(settings.get("bits"))) is not None:
                return found
    return next((_width(quantization[key]) for key in ("bits", "w_bit", "wbits") if key in quantization), None)


def _width(value: object) -> int | None:
    return value if type(value) is int and 1 <= value <= 16 else None


def _names(pattern: str, linear: str) -> bool:
    pattern = pattern.removeprefix("+:").removeprefix("re:")
    try:
        return len(pattern) < 400 and (pattern == linear or re.match(pattern, linear) is not None)
    except re.error:
        return False


def _packed(linear: str, info: TensorInfo, tensors: Mapping[str, TensorLocation], quantization: Mapping[str, object]) -> Shape | None:
    """compressed-tensors' `weight_packed`: words of 32 bits along a row, whose length `weight_shape` says, or two FP4 codes a byte."""
    if not info.shape:
        return None
    if info.dtype == "U8":
        return (*info.shape[:-1], 2 * info.shape[-1])
    stated = tensors.get(f"{linear}.weight_shape")
    values = _small(stated) if stated is not None and stated.info.dtype in ("I64", "I32") and stated.info.numel == len(info.shape) else None
    if values is not None:
        assert stated is not None
        size = stated.info.nbytes // stated.info.numel
        shape = tuple(int.from_bytes(values[begin : begin + size], "little") for begin in range(0, len(values), size))
        if shape[:-1] == info.shape[:-1] and info.shape[-1] <= shape[-1] <= 32 * info.shape[-1]:
            return shape
    widths = {found for group in _groups(quantization) if (found := _width(group.get("num_bits"))) is not None}
    return (*info.shape[:-1], info.shape[-1] * (32 // widths.pop())) if len(widths) == 1 else None


def _groups(quantization: Mapping[str, object]) -> list[Mapping[str, object]]:
    groups = quantization.get("config_groups")
    found = [group.get("weights") for group in groups.values() if isinstance(group, Mapping)] if isinstance(groups, Mapping) else []
    return [weights for weights in found if isinstance(weights, Mapping)]


def _additive(linear: str, info: TensorInfo, tensors: Mapping[str, TensorLocation], _: Mapping[str, object]) -> Shape | None:
    """AQLM: codes [out / m, in / n, books] into books [books, entries, m, n]."""
    books = tensors.get(f"{linear}.codebooks")
    if books is None or len(books.info.shape) != 4 or len(info.shape) < 2:
        return None
    return info.shape[0] * books.info.shape[2], info.shape[1] * books.info.shape[3]


def _blocks(_linear: str, info: TensorInfo, _tensors: Mapping[str, TensorLocation], _: Mapping[str, object]) -> Shape | None:
    """MXFP4 experts: [experts, out, blocks, 16 bytes] of two codes each."""
    return (*info.shape[:-2], 2 * info.shape[-2] * info.shape[-1]) if len(info.shape) >= 3 else None


def _weight(linear: str, info: TensorInfo, tensors: Mapping[str, TensorLocation], quantization: Mapping[str, object]) -> Shape | None:
    """A weight under its own name: bitsandbytes' two codes a byte in one column, FP4 in bytes, ternary codes four a byte, or numbers."""
    if info.dtype != "U8":
        return info.shape if info.dtype in _PLAIN else None
    method = str(quantization.get("quant_method", "")).lower()
    if method == "bitnet":
        return (4 * info.shape[0], *info.shape[1:]) if info.shape else None
    state = next(
        (tensors[name] for name in (f"{linear}.weight.quant_state.bitsandbytes__{kind}" for kind in ("nf4", "fp4")) if name in tensors), None
    )
    if state is not None:
        return _stated_shape(_small(state)) or (2 * info.numel,)
    if f"{linear}.weight_scale" in tensors and info.shape:
        return (*info.shape[:-1], 2 * info.shape[-1])
    return None


def _stated_shape(state: bytes | None) -> Shape | None:
    """The shape in a bitsandbytes state, JSON."""
    try:
        shape = json.loads(state or b"{}").get("shape")
    except (ValueError, AttributeError, RecursionError):
        return None
    return tuple(shape) if isinstance(shape, list) and all(type(size) is int and 0 < size < 2**31 for size in shape) else None


_CODES: dict[str, Callable[[str, TensorInfo, Mapping[str, TensorLocation], Mapping[str, object]], Shape | None]] = {
    ".qweight": _gptq,
    ".weight_packed": _packed,
    ".codes": _additive,
    "_blocks": _blocks,
    ".weight": _weight,
}
"""By how the tensor with the codes of a linear ends."""
_CALLED = {"_blocks": ""}


def _small(location: TensorLocation) -> bytes | None:
    """The bytes of a small tensor; None when they cannot be read."""
    if location.info.nbytes > _LARGEST_SMALL:
        return None
    try:
        with location.file.open("rb") as stream:
            return os.pread(stream.fileno(), location.info.nbytes, location.info.begin)
    except OSError:
        return None


def own_head(tensors: Mapping[str, TensorLocation]) -> bool:
    """Whether the files hold a head that differs from the embedding, which transformers then does not tie, whatever config.json says."""
    if any(_CODED_HEAD.search(name) for name in tensors):
        return True
    names = head_and_embedding(tensors)
    if names[0] is None or names[1] is None:
        return False
    head, embedding = tensors[names[0]], tensors[names[1]]
    if (head.info.shape, head.info.dtype) != (embedding.info.shape, embedding.info.dtype):
        return True
    try:
        modified = tuple(location.file.stat().st_mtime_ns for location in (head, embedding))
        return _differ(head.file, head.info, embedding.file, embedding.info, modified)
    except OSError:
        return False


def head_and_embedding(names: Iterable[str]) -> tuple[str | None, str | None]:
    """Names of the head and of the embedding among parameters; None where there is none."""
    heads, embeddings = None, None
    for name in names:
        heads = heads or (name if _HEAD.search(name) else None)
        embeddings = embeddings or (name if _EMBEDDING.search(name) else None)
    return heads, embeddings


_HEAD = re.compile(r"(?:^|\.)(?:lm_head|embed_out|output_projection)\.weight$")
_CODED_HEAD = re.compile(r"(?:^|\.)(?:lm_head|embed_out|output_projection)\.(?:qweight|weight_packed|codes|weight\.absmax|SCB|weight_scale\w*)$")
_EMBEDDING = re.compile(
    r"(?:^|^model\.|language_model\.|decoder\.|transformer\.|gpt_neox\.|gpt_neox_japanese\.|backbone\.|biogpt\.|rwkv\.)"
    r"(?:embed_tokens|wte|w|word_embeddings|embed_in|tokens_embed|embeddings)\.weight$"
)
_STEP = 2**22


@lru_cache(maxsize=256)
def _differ(file: Path, info: TensorInfo, other_file: Path, other: TensorInfo, _modified: tuple[int, ...]) -> bool:
    with file.open("rb") as stream, other_file.open("rb") as other_stream:
        for begin in range(0, info.nbytes, _STEP):
            count = min(_STEP, info.nbytes - begin)
            if os.pread(stream.fileno(), count, info.begin + begin) != os.pread(other_stream.fileno(), count, other.begin + begin):
                return True
    return False


def count(shapes: Mapping[str, Shape], *, tied: bool) -> int:
    """Values of all parameters, a head that repeats the embedding counted once."""
    head, embedding = head_and_embedding(shapes)
    repeated = head if tied and embedding is not None else None
    return sum(prod(shape) for name, shape in shapes.items() if name != repeated)
