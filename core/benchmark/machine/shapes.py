"""The matrix products of a model's decoder block, as engines take them: what shares an input is one product."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

from core.models.card import LinearShape, ModelCard
from core.sanitize import clean

_ROLES: tuple[tuple[str, str], ...] = (
    ("qkv", r"(?:q_proj|k_proj|v_proj|qkv_proj|qkv|query_key_value|c_attn|attn_q|attn_k|attn_v|attn_qkv|query|key|value|in_proj)$"),
    ("out", r"(?:o_proj|out_proj|attn\.c_proj|attention\.dense|attn\.dense|attn_output|wo)$"),
    ("gate, up", r"(?:gate_proj|up_proj|gate_up_proj|c_fc|fc1|fc_in|dense_h_to_4h|ffn_gate|ffn_up|w1|w3)$"),
    ("down", r"(?:down_proj|c_proj|fc2|fc_out|dense_4h_to_h|ffn_down|w2)$"),
)
"""Which product a linear is part of, by the end of its name; the first that matches counts."""


@dataclass(frozen=True)
class BlockProduct:
    """One product of a block: rows [n, inputs] times weights [outputs, inputs] transposed."""

    name: str
    outputs: int
    inputs: int
    count: int
    """Blocks that have it."""
    prefill: bool = True
    """Whether every token of a prompt goes through it; the head sees only the last."""


def products_of(card: ModelCard) -> tuple[BlockProduct, ...]:
    """The products of a model by what its card says of its linears, and its head.

    Where blocks differ, the shapes that most of them have count. Experts are left out: how many rows each gets is the router's choice.
    """
    found: dict[tuple[str, int], tuple[int, int]] = {}
    for linear in _usual(card.linears):
        key = (_role(linear.name_suffix), linear.in_features)
        outputs, count = found.get(key, (0, 0))
        found[key] = (outputs + linear.out_features, max(count, linear.count))
    order = [role for role, _ in _ROLES]
    block = [BlockProduct(name, outputs, inputs, count) for (name, inputs), (outputs, count) in found.items()]
    block.sort(key=lambda product: order.index(product.name) if product.name in order else len(order))
    return (*block, BlockProduct("head", card.vocabulary, card.hidden_size, 1, prefill=False))


def has_experts(card: ModelCard) -> bool:
    """Whether some products are left out."""
    return card.experts > 0 or any(_is_expert(linear) for linear in card.linears)


def _usual(linears: Iterable[LinearShape]) -> list[LinearShape]:
    most: dict[str, LinearShape] = {}
    for linear in linears:
        if not _is_expert(linear) and (linear.name_suffix not in most or linear.count > most[linear.name_suffix].count):
            most[linear.name_suffix] = linear
    return list(most.values())


def _is_expert(linear: LinearShape) -> bool:
    return ".experts." in linear.name_suffix or "_exps" in linear.name_suffix


def _role(name: str) -> str:
    return next((role for role, ending in _ROLES if re.search(r"(?:^|[._])" + ending, name)), clean(name, limit=60))
