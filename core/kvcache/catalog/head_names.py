"""Names of the ways to share key and value heads among query heads."""

from __future__ import annotations

import re

from core.errors import RequestError
from core.sanitize import clean

_GROUPED = re.compile(r"gqa-([1-9]\d{0,3})")


def wrong_heads(name: str) -> str | None:
    """The sentence for what names no variant."""
    if name in ("mha", "mqa", "all") or _GROUPED.fullmatch(name):
        return None
    return f"unknown head variant {clean(repr(name), limit=80)}: choose mha, mqa, gqa-N with N groups, or all"


def groups_of(name: str, heads: int) -> int:
    """Key-value heads of a variant of a model with `heads` query heads. Raises RequestError: the groups do not divide the heads."""
    if name in ("mha", "mqa"):
        return heads if name == "mha" else 1
    match = _GROUPED.fullmatch(name)
    if match is None:
        raise RequestError(wrong_heads(name) or f"{name} is not a single variant")
    groups = int(match[1])
    if groups > heads or heads % groups:
        usable = ", ".join(str(count) for count in range(1, heads + 1) if heads % count == 0)
        raise RequestError(f"{name} does not divide the model's {heads} query heads: choose gqa-N with N among {usable}")
    return groups


def name_of(groups: int, heads: int) -> str:
    """The usual name of a variant."""
    return {heads: "mha", 1: "mqa"}.get(groups, f"gqa-{groups}")


def head_names(asked: tuple[str, ...], heads: int, kv_heads: int) -> tuple[str, ...]:
    """The variants that were asked for by their usual names, most heads first, without the model's own; `all` is every divisor.

    Raises:
        RequestError: as of `groups_of`.
    """
    groups = {groups_of(name, heads) for name in asked if name != "all"}
    if "all" in asked:
        groups |= {count for count in range(1, heads + 1) if heads % count == 0}
    return tuple(name_of(count, heads) for count in sorted(groups - {kv_heads}, reverse=True))
