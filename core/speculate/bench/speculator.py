"""The ways to speculate behind one interface, so that runs and tests treat them alike: a drafter with the loop, or a tree with a loop of its own."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass
from importlib import import_module
from itertools import islice, pairwise
from typing import TYPE_CHECKING, Any, Protocol

import torch
from torch import Tensor

from core.context import RunContext
from core.models.card import ModelCard
from core.runtime.decoder import Decoder
from core.runtime.generate import stream
from core.runtime.sampling import Sampling
from core.speculate.bench.loop import Round, rounds
from core.speculate.bench.shape import slots_needed
from core.speculate.drafters.base import Drafter, Proposal
from core.speculate.spec import DrafterName, DraftingSpec

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

TIMED_ROUNDS = 12
"""Rounds over which a cost is measured by itself; the caches have room for them."""
PLAIN_STEPS = 48
"""Steps of plain decoding next to them. The first are left out: they read weights anew that other work has pushed out of the processor's caches,
which a whole text does once and a short sample would all the time."""
_COLD = 8


_BLOCKS = 3


@dataclass(frozen=True)
class Target:
    """The model whose text is wanted, opened. `stops` are the tokens that end a text."""

    model: PreTrainedModel
    tokenizer: PreTrainedTokenizerBase
    card: ModelCard
    decoder: Decoder
    dtype: torch.dtype
    device: str
    stops: tuple[int, ...]


@dataclass(frozen=True)
class StepSeconds:
    """What a round is made of, each measured by itself: a plain step of the target, one drafted token, one verification of a whole draft."""

    plain: float
    draft: float
    verify: float


class Speculator(Protocol):
    """One way to speculate with an opened target."""

    title: str
    """What drafts, in words fit to be shown."""
    parameters: int | None
    """Of what drafts apart from the target; None where nothing does."""
    calls: int
    """Forwards of what drafts since the last `rounds` began."""

    def rounds(
        self,
        prompts: Tensor,
        *,
        gamma: int,
        sampling: Sampling,
        max_new_tokens: int,
        stop_tokens: Collection[int] = (),
        generator: torch.Generator | None = None,
        real: Tensor | None = None,
    ) -> Iterator[Round]:
        """Continue prompts, as `core.speculate.bench.loop.rounds`."""

    def step_seconds(self, prompts: Tensor, *, gamma: int, sampling: Sampling, generator: torch.Generator) -> StepSeconds:
        """Measure the costs of a round behind these prompts."""


Opener = Callable[[DraftingSpec, Target, RunContext], Speculator]

OPENERS: dict[DrafterName, str] = {
    "model": "core.speculate.bench.openers:open_model",
    "lookup": "core.speculate.bench.openers:open_lookup",
    "layers": "core.speculate.bench.openers:open_layers",
    "medusa": "core.speculate.medusa.speculator:open_speculator",
}
"""`module:function` of each drafter, called with the spec, the opened target and the run's context."""


def open_speculator(spec: DraftingSpec, target: Target, context: RunContext) -> Speculator:
    """The way that a spec asks for. Raises RequestError when it does not fit the target."""
    module, _, name = OPENERS[spec.drafter].partition(":")
    opener: Opener = getattr(import_module(module), name)
    return opener(spec, target, context)


class LinearSpeculator:
    """A drafter that drafts in a line.

    Args:
        decoder: of the target.
        make: a drafter for a sampling, with the source of its draws.
        title: what drafts.
        parameters: of what drafts.
    """

    def __init__(
        self, decoder: Decoder, make: Callable[[Sampling, torch.Generator | None], Drafter], title: str, parameters: int | None = None
    ) -> None:
        self.title, self.parameters = title, parameters
        self._decoder, self._make = decoder, make
        self._drafter: Drafter | None = None

    @property
    def calls(self) -> int:
        """Forwards of the drafter."""
        return 0 if self._drafter is None else self._drafter.calls

    def rounds(self, prompts: Tensor, *, sampling: Sampling, generator: torch.Generator | None = None, **named: Any) -> Iterator[Round]:
        """Continue prompts, as `core.speculate.bench.loop.rounds`."""
        self._drafter = self._make(sampling, generator)
        return rounds(self._decoder, self._drafter, prompts, sampling=sampling, generator=generator, **named)

    def step_seconds(self, prompts: Tensor, *, gamma: int, sampling: Sampling, generator: torch.Generator) -> StepSeconds:
        """Plain steps, and the two parts of rounds that draft and verify in turns: weights that one part reads push the other's out of the cache.

        Of each kind the least mean of some blocks. A mean and no median: where programs share a core, what they take falls on long steps
        and hardly ever on short ones.
        """
        drafter = self._make(sampling, generator)
        limit = 2 * TIMED_ROUNDS + gamma
        room = max(self._decoder.max_tokens - max(slots_needed(0, limit, gamma, len(prompts)), PLAIN_STEPS), 1)
        prompts = prompts[:, -room:]
        named: dict[str, Any] = {"gamma": gamma, "sampling": sampling, "max_new_tokens": limit, "generator": generator}
        blocks = []
        for _ in range(_BLOCKS):
            plain = warm_gaps(stream(self._decoder, prompts, sampling=sampling, max_new_tokens=PLAIN_STEPS))
            every = _whole(rounds(self._decoder, drafter, prompts, **named), gamma)
            if not every:
                fixed = _Fixed(gamma, self._decoder.vocabulary, drawn=not sampling.greedy and drafter.name != "lookup")
                every = _whole(rounds(self._decoder, fixed, prompts, **named), gamma)
            blocks.append(
                [
                    statistics.fmean(plain),
                    statistics.fmean(done.draft_seconds for done in every),
                    statistics.fmean(done.verify_seconds for done in every),
                ]
            )
        plain_step, draft_round, verify_step = (min(kind) for kind in zip(*blocks, strict=True))
        return StepSeconds(plain_step, draft_round / gamma, verify_step)


def _whole(every: Iterator[Round], gamma: int) -> list[Round]:
    """Rounds with a draft of full length, the first of all left out, as many as are timed."""
    return list(islice((done for done in islice(every, 1, None) if max(map(len, done.drafted)) == gamma), TIMED_ROUNDS))


class _Fixed:
    """Drafts that cost nothing and are next to never right."""

    name = "fixed"
    calls = 0

    def __init__(self, gamma: int, vocabulary: int, *, drawn: bool) -> None:
        self._gamma, self._vocabulary, self._drawn = gamma, vocabulary, drawn

    def begin(self, prompt: Tensor, real: Tensor | None = None) -> None:
        del real
        tokens = torch.full((len(prompt), self._gamma), self._vocabulary - 1, device=prompt.device)
        law = torch.zeros(*tokens.shape, self._vocabulary, dtype=torch.float64, device=prompt.device)
        law[..., -1] = 1.0
        self._proposal = Proposal(tokens, None, law if self._drawn else None)

    def propose(self, gamma: int) -> Proposal:
        if gamma == self._gamma:
            return self._proposal
        whole = self._proposal
        return Proposal(whole.tokens[:, :gamma], None, None if whole.probabilities is None else whole.probabilities[:, :gamma])

    def accept(self, emitted: Sequence[Sequence[int]]) -> None:
        del emitted


def warm_gaps(steps: Iterator[Any]) -> list[float]:
    """Seconds between what an iterator yields, without the first, which are cold."""
    stamps = [time.perf_counter() for _ in steps]
    gaps = [later - earlier for earlier, later in pairwise(stamps)]
    return gaps[_COLD:] or gaps
