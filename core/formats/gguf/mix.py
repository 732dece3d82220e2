"""Which block type llama.cpp gives each matrix under a level's name: the _M types mix several.

The rules are those of llama.cpp's quantizer (`src/llama-quant.cpp`, release of llama-cpp-python 0.3.36) for dense decoders, and are
checked against what it writes in tests/core/quantize/test_gguf.py.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from core.formats.gguf.blocks import BLOCK_BITS, BLOCKS

_FALLBACKS = {"Q2_K": "Q4_0", "Q3_K": "Q4_0", "Q4_K": "Q5_0", "Q5_K": "Q5_1", "Q6_K": "Q8_0", "IQ4_XS": "IQ4_NL"}
"""What llama.cpp falls back to where a row does not fill blocks of 256 values."""

_DEFAULT = {
    "Q5_K_M": "Q5_K",
    "Q5_K_S": "Q5_K",
    "Q4_K_M": "Q4_K",
    "Q4_K_S": "Q4_K",
    "Q3_K_L": "Q3_K",
    "Q3_K_M": "Q3_K",
    "Q3_K_S": "Q3_K",
}
"""Block type of most matrices, where it is not called like the level."""


@dataclass(frozen=True)
class Shape:
    """What the rules look at besides a matrix's name."""

    blocks: int
    """Decoder blocks of the model."""
    share: int
    """Query heads per KV head."""
    tied: bool
    """Whether the embedding serves as the head."""
    imatrix: bool = False
    seventy: bool = False
    """Whether llama.cpp takes the model for a Llama of 70B: 80 blocks and shared KV heads."""


Rule = Callable[[int, Shape], str]
"""(number of the block, shape) to block type."""


def _every(name: str) -> Rule:
    return lambda _block, _shape: name


def _more_bits(default: str) -> Rule:
    """Q6_K in the first and last eighth of the blocks and in every third between."""

    def rule(block: int, shape: Shape) -> str:
        eighth = shape.blocks // 8
        return "Q6_K" if block < eighth or block >= 7 * shape.blocks // 8 or (block - eighth) % 3 == 2 else default

    return rule


def _first(name: str, default: str, count: Callable[[Shape], int]) -> Rule:
    return lambda block, shape: name if block < count(shape) else default


def _shared(name: str, default: str) -> Rule:
    """Four or more query heads share a KV head, so that values cost little."""
    return lambda _block, shape: name if shape.share >= 4 else default


def _without_imatrix(level: str) -> Rule:
    return lambda block, shape: "Q5_K" if block < shape.blocks // 8 and not shape.imatrix else level


_VALUE: dict[str, Rule] = {
    "Q2_K": _shared("Q4_K", "Q3_K"),
    "Q3_K_M": _first("Q5_K", "Q4_K", lambda _: 2),
    "Q3_K_L": _every("Q5_K"),
    "Q4_K_S": _first("Q5_K", "Q4_K", lambda _: 4),
    "Q4_K_M": _more_bits("Q4_K"),
    "Q5_K_M": _more_bits("Q5_K"),
    "IQ4_NL": _shared("Q5_K", "IQ4_NL"),
    "IQ4_XS": _shared("Q5_K", "IQ4_XS"),
}
_DOWN: dict[str, Rule] = {
    "Q2_K": _every("Q3_K"),
    "Q3_K_M": _first("Q5_K", "Q4_K", lambda shape: shape.blocks // 16),
    "Q3_K_L": _every("Q5_K"),
    "Q4_K_S": _first("Q5_K", "Q4_K", lambda shape: shape.blocks // 8),
    "Q4_K_M": _more_bits("Q4_K"),
    "Q5_K_M": _more_bits("Q5_K"),
    "IQ4_NL": _without_imatrix("IQ4_NL"),
    "IQ4_XS": _without_imatrix("IQ4_XS"),
}
_OUTPUT: dict[str, Rule] = {"Q2_K": _every("Q3_K"), "Q3_K_M": _every("Q4_K"), "Q3_K_L": _every("Q5_K")}
_RULES: tuple[tuple[tuple[str, ...], dict[str, Rule]], ...] = (
    (("attn_qkv", "qkv_proj", "query_key_value", "c_attn", "Wqkv", "attn_v", "v_proj"), _VALUE),
    (("ffn_down", "down_proj", "fc2", "w2"), _DOWN),
    (("attn_output", "o_proj", "out_proj"), _OUTPUT),
)


def default_type(level: str) -> str:
    """Block type of most matrices under a level."""
    return _DEFAULT.get(level, level)


def matrix_type(level: str, name: str, block: int, shape: Shape) -> str:
    """Block type that llama.cpp wants for a matrix of a block, before it looks at the rows.

    Args:
        level: GGUF level, for example Q4_K_M.
        name: the matrix's name inside a block, as GGUF or as transformers calls it.
        block: number of the block.
        shape: of the model.
    """
    rules = next((rules for names, rules in _RULES if name.endswith(names)), {})
    wanted = rules[level](block, shape) if level in rules else default_type(level)
    return "Q5_K" if shape.seventy and rules is _VALUE and wanted in ("Q3_K", "Q4_K") else wanted


def embedding_type(level: str, columns: int, *, head: bool) -> str:
    """Block type of the embedding; `head`: of the output head, or of an embedding that serves as head too."""
    name = default_type(level)
    if head and name not in ("F32", "F16", "BF16", "Q8_0"):
        return fitting("Q8_0" if columns % BLOCKS[name][0] else "Q6_K", columns)
    return fitting(name, columns)


def fitting(block: str, columns: int) -> str:
    """The type that is used when rows of `columns` values do not fill the blocks of the wanted one."""
    if columns % BLOCKS[block][0]:
        block = _FALLBACKS.get(block, block)
    return "F16" if columns % BLOCKS[block][0] else block


def matrix_bits(level: str, name: str, columns: int, shape: Shape) -> float:
    """Mean bits of a value, over the blocks, of one of a block's matrices with rows of `columns` values."""
    types = [fitting(matrix_type(level, name, block, shape), columns) for block in range(shape.blocks)]
    return sum(BLOCK_BITS[kind] for kind in types) / len(types)


def embedding_bits(level: str, columns: int, *, head: bool) -> float:
    """Bits of a value of the embedding or the head."""
    return BLOCK_BITS[embedding_type(level, columns, head=head)]
