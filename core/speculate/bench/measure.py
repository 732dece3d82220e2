"""Plain and speculative decoding of the same prompts, in turns."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial

import torch
from torch import Tensor

from core.runtime.generate import stream
from core.runtime.prefill import prefill
from core.runtime.sampling import Sampling
from core.sanitize import clean
from core.speculate.bench.loop import Round
from core.speculate.bench.speculator import Speculator, StepSeconds, Target
from core.speculate.bench.tally import Tally
from core.speculate.result import SpeculateRow
from core.speculate.simulate.simulate import Costs, speedup_of_rounds

OnRounds = Callable[[int, int, Sequence[Round], bool], None]
"""Called during a batch, a few times per second, and when it is over: the repeat, the batch's number, its rounds so far,
whether that is all. No rounds yet: plain decoding is in progress. May raise Cancelled; its own time is not counted."""
_LOOK_EVERY = 0.3
Look = Callable[[Sequence[Round], bool], None]


class _Pauses:
    """Lets somebody look a few times per second while tokens come, and counts how long that took."""

    def __init__(self, look: Look | None) -> None:
        self._look = look
        self._last = time.perf_counter()
        self.seconds = 0.0

    def take(self, rounds: Sequence[Round]) -> None:
        """Between two tokens or rounds: let look when it is time again."""
        began = time.perf_counter()
        if self._look is None or began - self._last < _LOOK_EVERY:
            return
        self._look(rounds, False)
        self._last = time.perf_counter()
        self.seconds += self._last - began


@dataclass
class Pass:
    """One pass over all prompts."""

    tokens: list[list[int]] = field(default_factory=list)
    seconds: float = 0.0
    prompt_seconds: float = 0.0
    calls: int = 0
    draft_calls: int = 0
    loop_rounds: int = 0
    tally: Tally = field(default_factory=Tally)

    @property
    def rate(self) -> float:
        """Tokens a second, those of the prompts' own forwards neither counted nor timed."""
        return sum(len(row) - 1 for row in self.tokens) / max(self.seconds, 1e-9)


@dataclass(frozen=True)
class Bench:
    """What is measured: an opened target, a way to speculate, batches of prompts."""

    target: Target
    way: Speculator
    batches: Sequence[Tensor]
    new: int
    seed: int

    def setting(self, gamma: int, sampling: Sampling, repeats: int, on_rounds: OnRounds) -> SpeculateRow:
        """Measure one setting: plain and speculative passes in turns, then each cost by itself, as often as asked."""
        plain: list[Pass] = []
        fast: list[Pass] = []
        costs: list[StepSeconds] = []
        generator = torch.Generator(self.target.decoder.device)
        for repeat in range(repeats):
            one, other = Pass(), Pass()
            for number, prompts in enumerate(self.batches):
                look = partial(on_rounds, repeat, number)
                self._plain(one, prompts, sampling, number, look)
                rounds = self._fast(other, prompts, sampling, gamma, generator.manual_seed(self.seed + number), look)
                look(rounds, True)
            plain.append(one)
            fast.append(other)
            costs.append(self.way.step_seconds(self.batches[0], gamma=gamma, sampling=sampling, generator=generator))
        return self._row(gamma, sampling, plain, fast, costs)

    def warm_up(self, gamma: int, sampling: Sampling) -> None:
        """Have every buffer allocated and every kernel chosen."""
        generator = torch.Generator(self.target.decoder.device).manual_seed(self.seed)
        self._plain(Pass(), self.batches[0], sampling, 0, new=min(self.new, 12))
        self._fast(Pass(), self.batches[0], sampling, gamma, generator, new=min(self.new, 12))

    def _plain(self, into: Pass, prompts: Tensor, sampling: Sampling, number: int, look: Look | None = None, new: int | None = None) -> None:
        pauses = _Pauses(look)
        began = time.perf_counter()
        steps = stream(
            self.target.decoder, prompts, sampling=sampling, max_new_tokens=new or self.new, stop_tokens=self.target.stops, seed=self.seed + number
        )
        rows: list[list[int]] = [[] for _ in prompts]
        first = began
        for count, step in enumerate(steps):
            if not count:
                first = time.perf_counter()
            for row, token in enumerate(step.tokens):
                if token is not None:
                    rows[row].append(token)
            pauses.take(())
        into.seconds += time.perf_counter() - first - pauses.seconds
        into.prompt_seconds += first - began
        into.tokens += rows

    def _fast(
        self,
        into: Pass,
        prompts: Tensor,
        sampling: Sampling,
        gamma: int,
        generator: torch.Generator,
        look: Look | None = None,
        new: int | None = None,
    ) -> Sequence[Round]:
        pauses = _Pauses(look)
        began = time.perf_counter()
        every: list[Round] = []
        first = began
        for done in self.way.rounds(
            prompts, gamma=gamma, sampling=sampling, max_new_tokens=new or self.new, stop_tokens=self.target.stops, generator=generator
        ):
            if not every:
                first = time.perf_counter()
            every.append(done)
            pauses.take(every)
        into.seconds += time.perf_counter() - first - pauses.seconds
        into.prompt_seconds += first - began
        into.tokens += [[token for done in every for token in done.emitted[row]] for row in range(len(prompts))]
        into.calls += len(every)
        into.draft_calls += self.way.calls
        into.loop_rounds += len(every) - 1
        into.tally.add(every)
        return every

    def _row(self, gamma: int, sampling: Sampling, plain: Sequence[Pass], fast: Sequence[Pass], costs: Sequence[StepSeconds]) -> SpeculateRow:
        tally, best, base = fast[0].tally, max(fast, key=lambda each: each.rate), max(plain, key=lambda each: each.rate)
        draft = statistics.median(each.draft / each.plain for each in costs)
        verify = statistics.median(each.verify / each.plain for each in costs)
        ratios = [each.rate / other.rate for each, other in zip(fast, plain, strict=True)]
        difference = self._first_difference(plain[0].tokens, fast[0].tokens) if sampling.greedy else None
        return SpeculateRow(
            gamma=gamma,
            temperature=sampling.temperature,
            alpha=tally.alpha,
            acceptance_by_position=tally.by_position,
            judged_by_position=tuple(tally.judged),
            accepted_per_round=tally.accepted_per_round,
            tokens_per_round=tally.tokens_per_round,
            drafted_share=tally.drafted_share,
            drafted_per_round=tally.drafted_per_round,
            cost_ratio=draft,
            verification_ratio=verify,
            predicted_speedup=predicted(tally, gamma, draft, verify),
            speedup=best.rate / base.rate,
            speedup_range=(min(ratios), max(ratios)),
            tokens=sum(map(len, best.tokens)),
            rounds=best.loop_rounds,
            target_calls=best.calls,
            draft_calls=best.draft_calls,
            seconds=best.seconds,
            baseline_seconds=base.seconds,
            prompt_seconds=best.prompt_seconds,
            baseline_prompt_seconds=base.prompt_seconds,
            tokens_per_second=best.rate,
            baseline_tokens_per_second=base.rate,
            identical=difference is None if sampling.greedy else None,
            first_difference=difference,
        )

    def _first_difference(self, plain: Sequence[Sequence[int]], fast: Sequence[Sequence[int]]) -> str | None:
        """Where the first text departs, and how far apart the two tokens' logits are there: next to nothing where rounding decided."""
        number = next((number for number, (one, other) in enumerate(zip(plain, fast, strict=True)) if list(one) != list(other)), None)
        if number is None:
            return None
        one, other = plain[number], fast[number]
        place = next((place for place, (left, right) in enumerate(zip(one, other, strict=False)) if left != right), min(len(one), len(other)))
        if place in (len(one), len(other)):
            return f"prompt {number}: one text ends after token {place}"
        prompt = torch.cat(list(self.batches))[number]
        self.target.decoder.reset(1)
        logits = prefill(self.target.decoder, torch.cat((prompt, torch.tensor(one[:place], dtype=torch.int64)))[None].to(self.target.device))[0]
        left, right = (clean(repr(self.target.tokenizer.decode([token])), limit=40) for token in (one[place], other[place]))
        gap = float((logits[one[place]] - logits[other[place]]).abs())
        return f"prompt {number}, token {place}: plain {left}, speculative {right}; their logits are {gap:.1e} apart"


def predicted(tally: Tally, gamma: int, cost_ratio: float, verification_ratio: float) -> float:
    """The speed-up that acceptance and the two costs let expect; 1 where nothing was drafted."""
    if not tally.judged:
        return 1.0
    costs = Costs.measured(cost_ratio, verification_ratio, gamma)
    length = gamma if tally.trees else tally.drafted_per_round
    return speedup_of_rounds(tally.accepted_per_round, tally.drafted_share, length, gamma, costs)
