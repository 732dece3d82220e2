"""Which head counts can be loaded, and what they make of a model.

Query head i reads KV head i // g. Two axes stay uniform: whole groups (a KV head with its g query heads), or the same number of query heads
from every group. Nothing else has a place in a configuration.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from core.errors import RequestError
from core.models.card import ModelCard
from core.prune.plan.request import Request
from core.prune.plan.sizes import removed_of
from core.prune.plan.surgery import linears_called, parts_of, require_surgery


@dataclass(frozen=True)
class Heads:
    """How many heads a model has."""

    queries: int
    groups: int
    """KV heads."""

    @property
    def per_group(self) -> int:
        """Query heads that read one KV head."""
        return self.queries // self.groups


@dataclass(frozen=True)
class HeadPlan:
    """Heads of each block before and after."""

    before: Heads
    after: Heads


def head_plan(request: Request, card: ModelCard) -> HeadPlan:
    """Heads that stay in every block, whether or not that can be loaded."""
    before = Heads(card.heads, card.kv_heads)
    if request.heads == "groups":
        groups = before.groups - removed_of(before.groups, request.sparsity, request.remove)
        return HeadPlan(before, Heads(groups * before.per_group, groups))
    each = before.per_group - removed_of(before.per_group, request.sparsity, request.remove)
    return HeadPlan(before, Heads(each * before.groups, before.groups))


def require_heads(request: Request, card: ModelCard) -> None:
    """Nothing, when heads can be cut as asked and the result can be loaded. Raises RequestError: they cannot, and which counts work."""
    row = require_surgery(card)
    if card.heads % card.kv_heads:
        raise RequestError(
            f"{card.name} has {card.heads} query heads on {card.kv_heads} KV heads, which is not a whole number for each: choose another method"
        )
    plan, unit = head_plan(request, card), _UNITS[request.heads]
    size, left = (plan.before.groups, plan.after.groups) if request.heads == "groups" else (plan.before.per_group, plan.after.per_group)
    if size == 1:
        other = "queries" if request.heads == "groups" else "groups"
        raise RequestError(f"{card.name} has one of its {unit}, so none can go: set heads to {other}, or choose another method")
    if left == size:
        raise RequestError(f"sparsity {request.sparsity:g} of {size} {unit} is less than one: raise sparsity, or give remove")
    if left < 1:
        raise RequestError(f"{card.name} has {size} {unit} and none would be left: lower remove or sparsity")
    if row.divides and card.hidden_size % plan.after.queries:
        raise RequestError(
            f"transformers refuses a {card.model_type} whose hidden size {card.hidden_size} is not a multiple of its {plan.after.queries} query "
            f"heads: {_choices(request, card, size)}"
        )
    if request.compensation == "bias" and row.attention_bias is None:
        raise RequestError(
            f"{card.model_type} models have no place for a bias in {parts_of(card).output}: choose compensation least-squares, or none"
        )


def parameters_with(request: Request, card: ModelCard) -> int:
    """Parameters of the model whose heads were cut."""
    row, plan, width = parts_of(card), head_plan(request, card), card.head_dim
    queries = (plan.before.queries - plan.after.queries) * width
    keys = (plan.before.groups - plan.after.groups) * width
    removed = [queries + 2 * keys] if len(row.qkv) == 1 else [queries, keys, keys]
    biased, found = request.compensation == "bias", card.parameters
    for name, gone in zip(row.qkv, removed, strict=True):
        for linear in linears_called(card, (name,)):
            found -= linear.count * gone * (linear.in_features + linear.bias)
            found += linear.count * (linear.out_features - gone) * (biased and not linear.bias)
    for linear in linears_called(card, (row.output,)):
        found -= linear.count * queries * linear.out_features
        found += linear.count * linear.out_features * (biased and not linear.bias)
    return found - card.layers * (queries + keys) * (row.qk_norm == "width")


_UNITS = {"groups": "KV groups", "queries": "query heads per group"}


def _choices(request: Request, card: ModelCard, size: int) -> str:
    """Which numbers to remove instead."""
    fixed = card.heads // size
    works = [left for left in range(1, size) if card.hidden_size % (left * fixed) == 0]
    if not works:
        return f"no other number of {_UNITS[request.heads]} works: choose another method"
    removes, leaves = _listed(size - left for left in reversed(works)), _listed(left * fixed for left in reversed(works))
    return f"set remove to {removes}, which leaves {leaves} query heads"


def _listed(values: Iterable[int]) -> str:
    *others, last = (str(value) for value in values)
    return f"{', '.join(others)} or {last}" if others else last
