"""How many blocks are left out, which fields of a configuration follow, and what that makes of a model."""

from __future__ import annotations

from collections.abc import Iterator

from core.errors import RequestError
from core.models.card import ModelCard
from core.models.config.per_block import unknown_lists
from core.prune.plan.request import Request
from core.prune.plan.sizes import removed_of
from core.prune.plan.surgery import outer_parameters, require_surgery


def removed_layers(request: Request, card: ModelCard) -> int:
    """Blocks that go."""
    return removed_of(card.layers, request.sparsity, request.remove)


def require_layers(request: Request, card: ModelCard) -> None:
    """Nothing, when blocks can be left out as asked. Raises RequestError: they cannot."""
    require_surgery(card)
    removed = removed_layers(request, card)
    if removed < 1:
        raise RequestError(f"sparsity {request.sparsity:g} of {card.layers} layers is less than one layer: raise sparsity, or give remove")
    if removed >= card.layers:
        raise RequestError(f"{card.name} has {card.layers} layers and none of them would be left: lower remove or sparsity")
    if (unknown := unknown_lists(card.per_block)) is not None:
        raise RequestError(unknown)


def parameters_with(request: Request, card: ModelCard) -> int:
    """Parameters of the model without the blocks; all blocks of a family with a row are equally large."""
    outer = outer_parameters(card)
    return outer + (card.parameters - outer) // card.layers * (card.layers - removed_layers(request, card))


def warnings(card: ModelCard) -> Iterator[str]:
    """What leaving out blocks breaks elsewhere."""
    if 0 < card.sliding_layers < card.layers or "no_rope_layers" in card.per_block:
        yield (
            "blocks of this family differ in kind: transformers reads the list in config.json and llmopt writes it into GGUF files, "
            "but a program that derives the kind from a block's number runs the result wrongly"
        )
