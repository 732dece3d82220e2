"""How many channels of the feed-forward networks stay, and what that makes of a model."""

from __future__ import annotations

from core.errors import RequestError
from core.models.card import ModelCard
from core.prune.plan.request import Request
from core.prune.plan.sizes import kept_of
from core.prune.plan.surgery import linears_called, parts_of, require_surgery


def kept_channels(request: Request, card: ModelCard) -> int:
    """Channels of each block that stay."""
    return kept_of(card.intermediate_size, request.sparsity, request.remove, request.multiple_of)


def require_channels(request: Request, card: ModelCard) -> None:
    """Nothing, when channels can be cut as asked. Raises RequestError: they cannot."""
    row, width, kept = require_surgery(card), card.intermediate_size, kept_channels(request, card)
    if kept < 1:
        raise RequestError(f"{card.name} has {width} channels per block and none would be left: lower sparsity or remove")
    if kept >= width:
        raise RequestError(
            f"nothing would be removed: {width} channels less {request.remove or f'{request.sparsity:g} of them'}, rounded up to a multiple of "
            f"{request.multiple_of}, are {kept}: raise sparsity or remove, or lower multiple-of"
        )
    if request.compensation == "bias" and row.mlp_bias is None:
        raise RequestError(f"{card.model_type} models have no place for a bias in {parts_of(card).down}: choose compensation least-squares, or none")


def parameters_with(request: Request, card: ModelCard) -> int:
    """Parameters of the model whose channels were cut."""
    row, kept = parts_of(card), kept_channels(request, card)
    gone, found = card.intermediate_size - kept, card.parameters
    for linear in linears_called(card, row.gate_up):
        halves = linear.out_features // card.intermediate_size
        found -= linear.count * gone * halves * (linear.in_features + linear.bias)
        if request.compensation == "bias" and not linear.bias:
            found += linear.count * kept * halves
    for linear in linears_called(card, (row.down,)):
        found -= linear.count * gone * linear.out_features
        if request.compensation == "bias" and not linear.bias:
            found += linear.count * linear.out_features
    return found
