"""Hidden width: columns of the embedding, norms, inputs and outputs of every linear."""

from __future__ import annotations

from collections.abc import Iterator

from core.models.card import ModelCard
from core.prune.methods.base import Method
from core.prune.plan.request import Request
from core.prune.plan.sizes import lost_sizes
from core.prune.plan.surgery import llama_cpp_warning
from core.prune.plan.width import kept_columns, parameters_with, require_width


class _Width(Method):
    def require(self, request: Request, card: ModelCard) -> None:
        require_width(request, card)

    def parameters_after(self, request: Request, card: ModelCard) -> int:
        return parameters_with(request, card)

    def warnings(self, request: Request, card: ModelCard) -> Iterator[str]:
        kept = kept_columns(request, card)
        yield from (f"the new hidden size of {kept} rules out {what}" for what in lost_sizes(card.hidden_size, kept))
        if (lost := llama_cpp_warning(card, card.heads, kept)) is not None:
            yield lost
        if not request.recover_steps:
            yield "nothing makes up for hidden columns that go: quality suffers until the result is recovered by training"


WIDTH = _Width(
    name="width",
    kind="width",
    summary="cuts the hidden size of the whole model; needs recovery",
    solver="core.prune.structure.hidden.width:WRITER",
    example="--method width --recover-steps 300",
    fields=("remove", "criterion", "multiple_of"),
    criteria=("energy", "minitron"),
    calibration="yes",
    unit="hidden columns",
    defaults={"sparsity": 0.125},
)
