"""Whole decoder blocks."""

from __future__ import annotations

from collections.abc import Iterator

from core.models.card import ModelCard
from core.prune.methods.base import Method
from core.prune.plan import layers
from core.prune.plan.request import Request


class _Layers(Method):
    def require(self, request: Request, card: ModelCard) -> None:
        layers.require_layers(request, card)

    def parameters_after(self, request: Request, card: ModelCard) -> int:
        return layers.parameters_with(request, card)

    def layers_after(self, request: Request, card: ModelCard) -> int:
        return card.layers - layers.removed_layers(request, card)

    def warnings(self, request: Request, card: ModelCard) -> Iterator[str]:
        yield from layers.warnings(card)
        if layers.removed_layers(request, card) > card.layers // 4:
            yield "more than a quarter of the layers goes: perplexity recovers, multi-step reasoning rarely does (arXiv 2602.01997)"


LAYERS = _Layers(
    name="layers",
    kind="layers",
    summary="leaves out whole blocks, chosen by measured KL divergence",
    solver="core.prune.structure.depth.layers:WRITER",
    example="--method layers --remove 3",
    fields=("remove", "criterion"),
    criteria=("greedy", "perplexity", "influence", "angular"),
    calibration="yes",
    unit="layers",
    defaults={"sparsity": 0.25, "calibration_samples": 48},
)
