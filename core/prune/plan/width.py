"""How many hidden columns stay, and what that makes of a model."""

from __future__ import annotations

from core.errors import RequestError
from core.models.card import ModelCard
from core.prune.plan.request import Request
from core.prune.plan.sizes import kept_of
from core.prune.plan.surgery import linears_called, parts_of, require_surgery


def kept_columns(request: Request, card: ModelCard) -> int:
    """Hidden columns that stay."""
    return kept_of(card.hidden_size, request.sparsity, request.remove, request.multiple_of)


def require_width(request: Request, card: ModelCard) -> None:
    """Nothing, when the hidden width can be cut as asked. Raises RequestError: it cannot."""
    row, width, kept = require_surgery(card), card.hidden_size, kept_columns(request, card)
    if row.norm == "layer":
        raise RequestError(
            f"{card.model_type} models use LayerNorm, whose mean depends on every hidden column, so their width cannot be cut exactly: "
            "choose another method"
        )
    if kept < 1:
        raise RequestError(f"{card.name} has {width} hidden columns and none would be left: lower sparsity or remove")
    if kept >= width:
        raise RequestError(
            f"nothing would be removed: what is left of {width} hidden columns, rounded up to a multiple of {request.multiple_of}, is {kept}: "
            "raise sparsity or remove, or lower multiple-of"
        )
    if row.divides and kept % card.heads:
        near = [size for size in (kept // card.heads * card.heads, -(-kept // card.heads) * card.heads) if 0 < size < width]
        instead = " or ".join(str(width - size) for size in reversed(near)) or "none of them, or choose another method"
        raise RequestError(
            f"transformers refuses a {card.model_type} whose hidden size {kept} is not a multiple of its {card.heads} query heads: "
            f"set multiple-of to 1 and remove to {instead}"
        )


def parameters_with(request: Request, card: ModelCard) -> int:
    """Parameters of the model whose hidden columns were cut."""
    row, gone = parts_of(card), card.hidden_size - kept_columns(request, card)
    reading = sum(linear.count * linear.out_features for linear in linears_called(card, (*row.qkv, *row.gate_up)))
    writing = sum(linear.count * (linear.in_features + linear.bias) for linear in linears_called(card, (row.output, row.down)))
    norms = row.norms * card.layers + 1
    return card.parameters - gone * (reading + writing + norms + card.vocabulary * (1 if card.tied_embeddings else 2))
