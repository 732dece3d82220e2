"""Whole texts from the two speculative loops."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from torch import Tensor

from core.runtime.decoder import Decoder
from core.speculate.bench import loop
from core.speculate.bench.loop import Finish, Round
from core.speculate.drafters.base import Drafter
from core.speculate.medusa import loop as medusa_loop
from core.speculate.medusa.heads import MedusaHeads
from core.speculate.medusa.tree import CandidateTree


@dataclass
class Speculated:
    """The continuation of each row, and the rounds that made it."""

    tokens: list[list[int]]
    finish: list[Finish]
    rounds: list[Round] = field(default_factory=list)


def speculate(decoder: Decoder, drafter: Drafter, prompts: Tensor, **named: Any) -> Speculated:
    return _collected(loop.rounds(decoder, drafter, prompts, **named), len(prompts))


def decode(decoder: Decoder, heads: MedusaHeads, tree: CandidateTree, prompt: Tensor, **named: Any) -> Speculated:
    return _collected(medusa_loop.rounds(decoder, heads, tree, prompt, **named), 1)


def _collected(rounds: Iterable[Round], rows: int) -> Speculated:
    result = Speculated([[] for _ in range(rows)], ["length"] * rows)
    for done in rounds:
        result.rounds.append(done)
        for row, new in enumerate(done.emitted):
            result.tokens[row] += new
            result.finish[row] = done.over[row] or result.finish[row]
    return result
