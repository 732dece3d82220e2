"""What a rule of allocation is, and the list of them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from torch import Tensor

from core.models.stream.streaming import StreamedModel
from core.prune.allocate import atp_search, over_all, owl, sensitivity
from core.prune.spec import PruneSpec
from core.runs.steps import Steps


def _one_for_all(spec: PruneSpec, streamed: StreamedModel, windows: Tensor | None, steps: Steps) -> dict[str, float]:  # noqa: ARG001
    return {}


@dataclass(frozen=True)
class Rule:
    """One way to distribute sparsity."""

    find: Callable[[PruneSpec, StreamedModel, Tensor | None, Steps], dict[str, float]]
    """(request, original, calibration tokens int64 [N, T] or None, steps) to the sparsity of each linear by its name in the checkpoint without
    `.weight`; one that is not named gets that of the request."""
    steps: Callable[[int], int] = lambda _blocks: 0
    """How many steps of the run it takes, from the number of blocks."""


UNIFORM = Rule(_one_for_all)
GLOBAL = Rule(over_all.shares, lambda blocks: blocks)

RULES: dict[str, Rule] = {
    "uniform": UNIFORM,
    "owl": Rule(owl.shares, lambda blocks: blocks),
    "atp": Rule(atp_search.shares, lambda _blocks: atp_search.TRIALS),
    "sensitivity": Rule(sensitivity.shares, sensitivity.steps_of),
}


def rule_of(spec: PruneSpec) -> Rule:
    """The rule that a request asks for."""
    return GLOBAL if spec.scope == "global" else RULES[spec.allocation]
