"""How many bits llama.cpp gives each matrix under a GGUF type's name: the _M types mix several.

The rules are those of llama.cpp's quantizer for models of the Llama kind; block sizes are ggml's. They are
checked against the published sizes of Llama-2-7B files in tests/core/hardware/test_formats.py.
"""

from __future__ import annotations

from collections.abc import Callable

BLOCK_BITS = {
    "F32": 32.0,
    "F16": 16.0,
    "BF16": 16.0,
    "Q8_0": 8.5,
    "Q6_K": 6.5625,
    "Q5_K": 5.5,
    "Q5_1": 6.0,
    "Q5_0": 5.5,
    "Q4_K": 4.5,
    "Q4_0": 4.5,
    "Q3_K": 3.4375,
    "Q2_K": 2.625,
    "IQ4_NL": 4.5,
}
"""Bits of a value with its share of the scales, by ggml block type."""

_NARROW_ROWS = {"Q2_K": "IQ4_NL", "Q3_K": "IQ4_NL", "Q4_K": "Q5_0", "Q5_K": "Q5_1", "Q6_K": "Q8_0"}
"""What llama.cpp falls back to where rows are no multiple of 256."""

_DEFAULT = {"Q2_K": "Q2_K", "Q3_K_M": "Q3_K", "Q4_0": "Q4_0", "Q4_K_M": "Q4_K", "Q5_K_M": "Q5_K", "Q6_K": "Q6_K", "Q8_0": "Q8_0", "F16": "F16"}
"""Block type of most matrices under a GGUF type's name."""

Rule = Callable[[int, int, int], str]
"""(block, blocks, query heads per KV head) to block type."""


def _more_bits(default: str) -> Rule:
    """Q6_K in the first and last eighth of the blocks and in every third between."""
    return lambda block, blocks, _: "Q6_K" if block < blocks // 8 or block >= 7 * blocks // 8 or (block - blocks // 8) % 3 == 2 else default


_VALUE: dict[str, Rule] = {
    "Q2_K": lambda _block, _blocks, share: "Q4_K" if share >= 4 else "Q3_K",
    "Q3_K_M": lambda block, _blocks, _share: "Q5_K" if block < 2 else "Q4_K",
    "Q4_K_M": _more_bits("Q4_K"),
    "Q5_K_M": _more_bits("Q5_K"),
}
_DOWN: dict[str, Rule] = {
    "Q2_K": lambda _block, _blocks, _share: "Q3_K",
    "Q3_K_M": lambda block, blocks, _share: "Q5_K" if block < blocks // 16 else "Q4_K",
    "Q4_K_M": _more_bits("Q4_K"),
    "Q5_K_M": _more_bits("Q5_K"),
}
_OUTPUT: dict[str, Rule] = {"Q2_K": lambda _block, _blocks, _share: "Q3_K", "Q3_K_M": lambda _block, _blocks, _share: "Q4_K"}
_FUSED: dict[str, Rule] = {
    "Q3_K_M": lambda _block, _blocks, _share: "Q4_K",
    "Q4_K_M": lambda _block, _blocks, _share: "Q5_K",
    "Q5_K_M": lambda _block, _blocks, _share: "Q6_K",
}
_RULES: tuple[tuple[tuple[str, ...], dict[str, Rule]], ...] = (
    (("qkv_proj", "query_key_value", "c_attn", "Wqkv", "attn_qkv"), _FUSED),
    (("v_proj", "attn_v"), _VALUE),
    (("down_proj", "ffn_down", "fc2", "w2"), _DOWN),
    (("o_proj", "out_proj", "attn_output"), _OUTPUT),
)


def matrix_bits(kind: str, suffix: str, in_features: int, blocks: int, share: int) -> float:
    """Mean bits of a value of one of a block's linears.

    Args:
        kind: GGUF type, for example Q4_K_M.
        suffix: the linear's name inside a block.
        in_features: length of its rows.
        blocks: decoder blocks of the model.
        share: query heads per KV head.
    """
    rules = next((rules for names, rules in _RULES if suffix.endswith(names)), {})
    rule = rules.get(kind)
    types = [rule(block, blocks, share) for block in range(blocks)] if rule else [_DEFAULT[kind]]
    return sum(BLOCK_BITS[_fitting(name, in_features)] for name in types) / len(types)


def embedding_bits(kind: str, in_features: int, head: bool) -> float:
    """Bits of a value of the embedding; `head`: of the output head, or of an embedding that serves as head too."""
    name = _DEFAULT[kind]
    if head and kind not in {"Q8_0", "F16"}:
        name = "Q6_K"
    return BLOCK_BITS[_fitting(name, in_features)]


def _fitting(name: str, in_features: int) -> str:
    if in_features % 256 and name in _NARROW_ROWS:
        name = _NARROW_ROWS[name]
    return "F16" if in_features % 32 and name != "F32" else name
