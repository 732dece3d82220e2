"""Attention heads: whole KV groups, or the same number of query heads of every group."""

from __future__ import annotations

from collections.abc import Iterator

from core.models.card import ModelCard
from core.prune.methods.base import Method
from core.prune.plan.heads import head_plan, parameters_with, require_heads
from core.prune.plan.request import Request
from core.prune.plan.sizes import lost_sizes
from core.prune.plan.surgery import llama_cpp_warning


class _Heads(Method):
    def require(self, request: Request, card: ModelCard) -> None:
        require_heads(request, card)

    def parameters_after(self, request: Request, card: ModelCard) -> int:
        return parameters_with(request, card)

    def warnings(self, request: Request, card: ModelCard) -> Iterator[str]:
        plan = head_plan(request, card)
        if (lost := llama_cpp_warning(card, plan.after.queries, card.hidden_size)) is not None:
            yield lost
        before, after = plan.before.queries * card.head_dim, plan.after.queries * card.head_dim
        yield from (f"the new width of {after} at the output of attention rules out {what}" for what in lost_sizes(before, after))


HEADS = _Heads(
    name="heads",
    kind="heads",
    summary="cuts attention heads: a smaller KV cache where whole groups go",
    solver="core.prune.structure.inputs.heads:WRITER",
    example="--method heads --remove 1",
    fields=("remove", "criterion", "compensation", "heads", "damp"),
    criteria=("energy", "obs", "minitron"),
    calibration="yes",
    unit="heads",
    defaults={"sparsity": 0.5},
)
