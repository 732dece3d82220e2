"""The speculative loop: draft, verify in one forward of the target, keep what is accepted, roll both caches back."""

from __future__ import annotations

import time
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from core.errors import RequestError, RunFailed
from core.runtime.decoder import Decoder
from core.runtime.prefill import prefill
from core.runtime.sampling import Sampling, SeenTokens, penalized, warp
from core.speculate.bench.shape import slots_needed
from core.speculate.drafters.base import Drafter, Proposal
from core.speculate.verify import verify_rows

Finish = Literal["stop", "length"]


@dataclass(slots=True)
class Round:
    """What one round did to each row of the batch. The first has no drafts: its tokens are those that the prompts' own forward gave."""

    drafted: list[list[int]]
    accepted: list[int]
    """How many of a row's drafts stand in the text."""
    emitted: list[list[int]]
    """What was added: empty for a row that was over before."""
    over: list[Finish | None]
    """Why a row ended in this round."""
    draft_seconds: float = 0.0
    verify_seconds: float = 0.0
    candidates: int = 0
    """Drafts that the target looked at, where that is more than `drafted` shows: the nodes of a tree."""


def rounds(
    decoder: Decoder,
    drafter: Drafter,
    prompts: Tensor,
    *,
    gamma: int,
    sampling: Sampling | None = None,
    max_new_tokens: int = 256,
    stop_tokens: Collection[int] = (),
    generator: torch.Generator | None = None,
    real: Tensor | None = None,
) -> Iterator[Round]:
    """Continue prompts, a round at a time: what `core.runtime.generate.stream` would do, in fewer forwards of the target.

    Args:
        decoder: of the target; is reset.
        drafter: guesses; begins anew.
        prompts: int64 [B, n].
        gamma: drafts a round, at most.
        sampling: default: the likeliest token, compared and not drawn.
        max_new_tokens: of each row.
        stop_tokens: end a row, also inside an accepted draft.
        generator: source of the draws, on the decoder's device.
        real: bool [B, n], False for padding on the left.

    Raises:
        RequestError: an empty prompt, or prompts and answers that do not fit the cache.
        RunFailed: the target or the draft model answers with NaN; the step is named.
    """
    chosen = sampling or Sampling()
    needed = slots_needed(prompts.shape[1], max_new_tokens, gamma, len(prompts))
    if needed > decoder.max_tokens:
        raise RequestError(
            f"prompts of {prompts.shape[1]} tokens, {max_new_tokens} new ones and a batch of {len(prompts)} may "
            f"need {needed} slots, but the cache has {decoder.max_tokens}: use fewer tokens or a smaller batch"
        )
    if gamma < 1 or max_new_tokens < 1:
        raise RequestError(f"gamma {gamma} and {max_new_tokens} new tokens are invalid: each must be at least 1")
    return _Loop(decoder, drafter, prompts.to(decoder.device), chosen, max_new_tokens, frozenset(stop_tokens), generator, real).run(gamma)


class _Loop:
    def __init__(
        self,
        decoder: Decoder,
        drafter: Drafter,
        prompts: Tensor,
        sampling: Sampling,
        limit: int,
        stops: frozenset[int],
        generator: torch.Generator | None,
        real: Tensor | None,
    ) -> None:
        self._decoder, self._drafter, self._sampling = decoder, drafter, sampling
        self._prompts, self._real, self._stops, self._generator = prompts, real, stops, generator
        self._left = [limit] * len(prompts)
        """Tokens that each row may still get; 0 when it is over."""
        self._last = [0] * len(prompts)
        self._count = 0

    def run(self, gamma: int) -> Iterator[Round]:
        began = time.perf_counter()
        self._decoder.reset(len(self._prompts))
        self._seen = SeenTokens(self._prompts, self._decoder.vocabulary, self._sampling, self._real)
        logits = prefill(self._decoder, self._prompts, self._real)
        nothing = Proposal(self._prompts[:, :0])
        done = self._judge(logits[:, None], nothing)
        drafting = time.perf_counter()
        self._drafter.begin(self._prompts, self._real)
        self._drafter.accept(done.emitted)
        done.verify_seconds, done.draft_seconds = drafting - began, time.perf_counter() - drafting
        yield done
        while any(self._left):
            began = time.perf_counter()
            wanted = min(gamma, max(self._left) - 1)
            proposal = self._drafter.propose(wanted) if wanted else nothing
            drafted = time.perf_counter()
            done = self._verify(proposal)
            verified = time.perf_counter()
            self._drafter.accept(done.emitted)
            done.verify_seconds = verified - drafted
            done.draft_seconds = drafted - began + time.perf_counter() - verified
            yield done

    @torch.inference_mode()
    def _verify(self, proposal: Proposal) -> Round:
        """One forward over each row's last token and its drafts."""
        count = proposal.tokens.shape[1]
        last = torch.tensor(self._last, device=self._decoder.device)[:, None]
        tokens = torch.cat((last, proposal.tokens), 1) if count else last
        logits = self._decoder.forward(tokens, real=self._mask(proposal, count))
        done = self._judge(logits, proposal)
        self._decoder.keep([len(new) for new in done.emitted], count + 1)
        return done

    def _mask(self, proposal: Proposal, count: int) -> Tensor | None:
        """Which of the tokens are real, [B, count + 1]; None when all are."""
        if proposal.real is None and all(self._left):
            return None
        going = torch.tensor([left > 0 for left in self._left], device=self._decoder.device)[:, None]
        return going.expand(-1, count + 1) if proposal.real is None else torch.cat((going, proposal.real & going), 1)

    @torch.inference_mode()
    def _judge(self, logits: Tensor, proposal: Proposal) -> Round:
        """Accept drafts and choose the target's own token of each row, by its logits [B, k + 1, V]."""
        self._count += 1
        seen = self._seen_at(proposal.tokens)
        drafts, count = proposal.tokens, proposal.tokens.shape[1]
        if self._sampling.greedy:
            best, chosen = penalized(logits, self._sampling, seen).max(-1)
            answer = chosen.masked_fill_(~best.isfinite(), -1)
        else:
            accepted, final = verify_rows(drafts, proposal.probabilities, warp(logits, self._sampling, seen), self._generator, proposal.real)
            finite = logits.amax((1, 2)).isfinite()
            if proposal.probabilities is not None:
                finite &= proposal.probabilities.sum((1, 2)).isfinite()
            answer = torch.stack((accepted, final.masked_fill(~finite, -1)), 1)
        host: list[list[int]] = torch.cat((drafts, answer), 1).tolist() if count else answer.tolist()
        lengths = [count] * len(host) if proposal.real is None else proposal.real.sum(1).tolist()
        return self._take(host, count, lengths)

    def _take(self, host: Sequence[list[int]], count: int, lengths: Sequence[int]) -> Round:
        """The round of the rows [drafts, answer] that came from the device: cut at a stop token and at the limit."""
        done = Round([], [], [], [None] * len(host))
        for row, numbers in enumerate(host):
            if not self._left[row]:
                done.drafted.append([])
                done.accepted.append(0)
                done.emitted.append([])
                continue
            drafted, answer = numbers[: lengths[row]], numbers[count:]
            new = self._greedy(drafted, answer) if self._sampling.greedy else [*drafted[: answer[0]], answer[1]]
            if new[-1] < 0:
                raise RunFailed(f"logits contain NaN or Inf at round {self._count}: a checkpoint is damaged or overflows its dtype")
            accepted, over = len(new) - 1, self._cut(row, new)
            done.drafted.append(drafted)
            done.accepted.append(min(accepted, len(new)))
            done.emitted.append(new)
            done.over[row] = over
            self._last[row] = new[-1]
            if self._seen.mask is not None:
                self._seen.mask[row, new] = True
        return done

    @staticmethod
    def _greedy(drafted: list[int], best: list[int]) -> list[int]:
        """Drafts as long as they are the likeliest tokens, and the likeliest token behind them."""
        for position, token in enumerate(drafted):
            if token != best[position]:
                return best[: position + 1]
        return best[: len(drafted) + 1]

    def _cut(self, row: int, new: list[int]) -> Finish | None:
        """Shorten what a row gets where it ends, and count it."""
        over: Finish | None = None
        stop = next((place for place, token in enumerate(new) if token in self._stops), None) if self._stops else None
        if stop is not None and stop < self._left[row]:
            del new[stop + 1 :]
            over = "stop"
        elif len(new) >= self._left[row]:
            del new[self._left[row] :]
            over = "length"
        self._left[row] = 0 if over else self._left[row] - len(new)
        return over

    def _seen_at(self, drafts: Tensor) -> Tensor | None:
        """Which tokens stand in the text before each judged position, drafts counted: bool [B, k + 1, V]; None without a penalty."""
        if self._seen.mask is None:
            return None
        marks = [self._seen.mask]
        for position in range(drafts.shape[1]):
            marks.append(marks[-1].scatter(1, drafts[:, position, None], True))
        return torch.stack(marks, 1)
