"""Channels of the feed-forward network: rows of gate and up, columns of down."""

from __future__ import annotations

from collections.abc import Iterator

from core.models.card import ModelCard
from core.prune.methods.base import Method
from core.prune.plan.channels import kept_channels, parameters_with, require_channels
from core.prune.plan.request import Request
from core.prune.plan.sizes import lost_sizes


class _Channels(Method):
    def require(self, request: Request, card: ModelCard) -> None:
        require_channels(request, card)

    def parameters_after(self, request: Request, card: ModelCard) -> int:
        return parameters_with(request, card)

    def warnings(self, request: Request, card: ModelCard) -> Iterator[str]:
        kept = kept_channels(request, card)
        yield from (f"the new width of {kept} channels rules out {lost}" for lost in lost_sizes(card.intermediate_size, kept))


CHANNELS = _Channels(
    name="channels",
    kind="channels",
    summary="cuts feed-forward channels: smaller and faster everywhere",
    solver="core.prune.structure.inputs.channels:WRITER",
    example="--method channels --sparsity 0.25",
    fields=("remove", "criterion", "compensation", "multiple_of", "damp"),
    criteria=("obs", "wanda", "flap", "minitron", "norm"),
    calibration="criterion",
    unit="channels",
    defaults={"sparsity": 0.25},
)
