"""Bytes that a scheme holds, by formula: one small function a scheme, to compare with what is measured.

Each takes the geometry, the settings, the tokens appended so far and the sequences, and counts what lives between two steps: codes, scales, zero
points and indices; buffers of fixed size count whole (`settings.capacity`, as many slots as tokens when it is not given).
"""

from __future__ import annotations

from core.kvcache.catalog.settings import SchemeSettings
from core.models.card import ModelCard
from core.models.kv_geometry import Geometry

_DTYPE_BYTES = {"float32": 4, "bfloat16": 2, "float16": 2, "float64": 8}


def value_bytes(dtype: str, card: ModelCard, device: str) -> int:
    """Bytes of a key or value in the arithmetic that was asked for; `auto` is float32 on a CPU, the checkpoint's own elsewhere."""
    if dtype != "auto":
        return _DTYPE_BYTES[dtype]
    return 4 if device == "cpu" else _DTYPE_BYTES.get(card.dtype, 2)


def slots(settings: SchemeSettings, tokens: int) -> int:
    """Slots of a buffer that is allocated in advance."""
    return tokens if settings.capacity is None else settings.capacity


def dynamic(geometry: Geometry, _settings: SchemeSettings, tokens: int, batch: int) -> int:
    """Keys and values as the model computes them, as many as there are tokens."""
    return batch * geometry.layers * tokens * 2 * geometry.row_bytes


def static(geometry: Geometry, settings: SchemeSettings, tokens: int, batch: int) -> int:
    """Keys and values as the model computes them, for every slot of the buffer."""
    return dynamic(geometry, settings, slots(settings, tokens), batch)


_SCALE_BYTES = 2
"""Of a float16 scale, or of a float16 lowest value."""
_SCORE_BYTES = 4
"""Of the attention that a slot has received, float32."""


def span(head_dim: int, group: int) -> int:
    """Channels that share a scale: `group`, or where it does not divide a head the largest divisor below it."""
    return next(size for size in range(min(group, head_dim), 0, -1) if head_dim % size == 0)


def int8(geometry: Geometry, settings: SchemeSettings, tokens: int, batch: int) -> int:
    """A byte a value and a float16 scale a group of channels."""
    groups = geometry.head_dim // span(geometry.head_dim, settings.group)
    return _head_rows(geometry, batch) * 2 * tokens * (geometry.head_dim + groups * _SCALE_BYTES)


def int4(geometry: Geometry, settings: SchemeSettings, tokens: int, batch: int) -> int:
    """Half a byte a value, a float16 scale and a float16 lowest value a group of channels."""
    return _head_rows(geometry, batch) * 2 * tokens * _ranged_row(geometry, settings, 4)


def fp8(geometry: Geometry, _settings: SchemeSettings, tokens: int, batch: int) -> int:
    """A byte a value and a float16 scale a token and head."""
    return _head_rows(geometry, batch) * 2 * tokens * (geometry.head_dim + _SCALE_BYTES)


def sliding(geometry: Geometry, settings: SchemeSettings, tokens: int, batch: int) -> int:
    """Keys and values of the last `budget` tokens."""
    return dynamic(geometry, settings, min(tokens, settings.budget), batch)


streaming = sliding
"""Keys and values of the sinks and the last tokens, `budget` together."""


def h2o(geometry: Geometry, settings: SchemeSettings, tokens: int, batch: int) -> int:
    """Keys and values of `budget` tokens per head, and the attention that each has received."""
    held = min(tokens, settings.budget)
    return dynamic(geometry, settings, held, batch) + _head_rows(geometry, batch) * held * _SCORE_BYTES


def snapkv(geometry: Geometry, settings: SchemeSettings, tokens: int, batch: int) -> int:
    """Keys and values of `budget` tokens of the prompt (`settings.prompted`; all tokens when it is not given) and of all that follow."""
    prompt = tokens if settings.prompted is None else min(settings.prompted, tokens)
    return dynamic(geometry, settings, min(prompt, settings.budget) + tokens - prompt, batch)


_INDEX_BYTES = 8
"""Of an entry of the block table as attention gathers by it, one a head and block."""


def paged(geometry: Geometry, settings: SchemeSettings, tokens: int, batch: int) -> int:
    """Whole blocks of `block` tokens, and the block table."""
    blocks = batch * -(-tokens // settings.block)
    return blocks * (geometry.layers * settings.block * 2 * geometry.row_bytes + geometry.kv_heads * _INDEX_BYTES)


offload = dynamic
"""Keys and values as the model computes them, most of them in main memory."""


def offload_on_device(geometry: Geometry, settings: SchemeSettings, tokens: int, batch: int) -> int:
    """Of them, what is on the GPU at most: two residuals of newest tokens per block, and working memory for the history of one block."""
    newest = dynamic(geometry, settings, min(tokens, 2 * max(settings.residual, 1)), batch)
    return newest + batch * tokens * 2 * geometry.row_bytes


def kivi(geometry: Geometry, settings: SchemeSettings, tokens: int, batch: int, bits: int) -> int:
    """Keys by blocks of `residual` tokens, with a scale and a lowest value a channel and group of tokens; values up to the last `residual`
    tokens, with a scale and a lowest value a token and group of channels; and a buffer of `residual` tokens for each of both."""
    keys, values = tokens // settings.residual * settings.residual, max(tokens - settings.residual, 0)
    of_keys = keys * _code_bytes(geometry.head_dim, bits) + keys // settings.group * geometry.head_dim * 2 * _SCALE_BYTES
    of_values = values * _ranged_row(geometry, settings, bits)
    buffers = settings.residual * 2 * geometry.head_dim * geometry.value_bytes if tokens else 0
    return _head_rows(geometry, batch) * (of_keys + of_values + buffers)


def _ranged_row(geometry: Geometry, settings: SchemeSettings, bits: int) -> int:
    """Bytes of one token of one head in packed codes with scales and lowest values of its groups of channels."""
    groups = geometry.head_dim // span(geometry.head_dim, settings.group)
    return _code_bytes(geometry.head_dim, bits) + groups * 2 * _SCALE_BYTES


def _code_bytes(count: int, bits: int) -> int:
    """Bytes that `count` codes of 2, 4 or 8 bits occupy."""
    return -(-count * bits // 8)


def _head_rows(geometry: Geometry, batch: int) -> int:
    """Heads of keys in all blocks and sequences."""
    return batch * geometry.layers * geometry.kv_heads
