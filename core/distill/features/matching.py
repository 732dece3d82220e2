"""A feature loss for two models: what is captured of each, what is compared, and what is trained along and thrown away."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Literal

import torch
from torch import Tensor, nn

from core.distill.features.capture import captured
from core.distill.features.hidden import fitted_projection, hidden_loss
from core.distill.features.layer_map import layer_map
from core.distill.features.relations import relation_loss
from core.errors import RequestError
from core.models.structure import find_blocks
from core.training.batches import Batch
from core.training.distillation import Predictor, next_tokens
from core.training.objective import Loss, Objective

Features = Literal["none", "hidden", "relations"]

_RELATED = ("q_proj", "k_proj", "v_proj")
_RELATION_HEADS = 64
Compare = Callable[[Mapping[str, Tensor], Mapping[str, Tensor], Tensor], Tensor]


class FeatureMatching:
    """What a student is to imitate besides predictions.

    Args:
        kind: hidden states after every block, or relations of the last one.
        teacher: the model that is imitated.
        student: the model that learns.
        teach: runs the teacher on tokens int64 [B, T], without gradients.
        learn: runs the student.
        tokens: text int64 [B, T] on which projections are fitted, where widths differ.

    Raises:
        RequestError: relations of a model that does not have queries, keys and values apart.
    """

    def __init__(self, kind: Features, teacher: nn.Module, student: nn.Module, teach: Predictor, learn: Predictor, tokens: Tensor) -> None:
        theirs, ours = list(find_blocks(teacher).modules), list(find_blocks(student).modules)
        self.projections = nn.ModuleDict()
        self._teach = teach
        if kind == "relations":
            self._target, self._found = _related(theirs[-1]), _related(ours[-1])
            self._compare: Compare = partial(relation_loss, heads=_RELATION_HEADS)
            self.blocks: tuple[int, ...] = (len(theirs) - 1,)
        else:
            self.blocks = layer_map(theirs, ours)
            self._target = {str(place): theirs[block] for place, block in enumerate(self.blocks)}
            self._found = {str(place): block for place, block in enumerate(ours)}
            self._compare = partial(hidden_loss, projections=self.projections)
            self._fit(learn, tokens)

    def added_to(self, objective: Objective, weight: float) -> Objective:
        """The objective plus so many times the feature loss, which is reported as the part `features`."""

        def featured(batch: Batch) -> Loss:
            with captured(self._target) as target, captured(self._found) as found:
                loss = objective(batch)
                if not target:
                    with torch.no_grad():
                        self._teach.hidden(batch.tokens)
                states = dict(found)
            extra = self._compare(target, states, next_tokens(batch))
            return Loss(loss.total + weight * extra, {**loss.parts, "features": extra})

        return featured

    @torch.no_grad()
    def _fit(self, learn: Predictor, tokens: Tensor) -> None:
        """Projections where widths differ, from what both models say of the text before any training."""
        with captured(self._target) as target, captured(self._found) as found:
            self._teach.hidden(tokens)
            learn.hidden(tokens)
        for name, states in found.items():
            if states.shape[-1] != target[name].shape[-1]:
                self.projections[name] = fitted_projection(target[name].flatten(0, 1).float(), states.flatten(0, 1).float())


def _related(block: nn.Module) -> dict[str, nn.Module]:
    found = {name: next((module for path, module in block.named_modules() if path.rpartition(".")[2] == name), None) for name in _RELATED}
    if any(module is None for module in found.values()):
        raise RequestError("features relations needs queries, keys and values in linears of their own, and this family fuses them: choose hidden")
    return {name: module for name, module in found.items() if module is not None}
