"""Reports rounds to the live view, as events."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import TYPE_CHECKING

from torch import Tensor

from core.context import RunContext
from core.speculate.bench.loop import Round
from core.speculate.events import PromptEvent, RoundEvent, token_text

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

_PROMPT_TAIL = 1200
_MOST_ROUNDS = 4000


class RoundReporter:
    """Sends the rounds of a run as events, some thousands at most.

    Args:
        context: of the run.
        tokenizer: gives tokens their texts.
        drafter: its name.
    """

    def __init__(self, context: RunContext, tokenizer: PreTrainedTokenizerBase, drafter: str) -> None:
        self._context, self._tokenizer, self._drafter = context, tokenizer, drafter
        self._sent = 0
        self._batch: tuple[int, int, float] | None = None
        self._reported = 0
        self._text = lru_cache(maxsize=65536)(self._decoded)

    def report(self, prompts: Tensor, first_number: int, rounds: Sequence[Round], gamma: int, temperature: float) -> None:
        """The texts of a batch, whole or as far as they are: what was sent of the same batch before is not sent again.

        Args:
            prompts: int64 [B, n].
            first_number: of the first prompt in the run.
            rounds: all of them so far, the first included.
            gamma: of the setting.
            temperature: of the setting.
        """
        if not rounds:
            return
        if self._batch != (first_number, gamma, temperature):
            self._batch, self._reported = (first_number, gamma, temperature), 1
            for row, prompt in enumerate(prompts if self._sent <= _MOST_ROUNDS else ()):
                text = str(self._tokenizer.decode(prompt))[-_PROMPT_TAIL:]
                first = self._text(rounds[0].emitted[row][0])
                self._context.detail(
                    PromptEvent(
                        prompt=first_number + row, row=row, text=text, gamma=gamma, temperature=temperature, drafter=self._drafter, first=first
                    )
                )
        for row in range(len(prompts)):
            for count in range(self._reported, len(rounds)):
                if rounds[count].emitted[row] and self._sent <= _MOST_ROUNDS:
                    event_of_round = self._event(count - 1, row, first_number + row, rounds[count], gamma, temperature)
                    self._context.detail(event_of_round)
                    self._sent += 1
        self._reported = max(self._reported, len(rounds))

    def _event(self, count: int, row: int, number: int, done: Round, gamma: int, temperature: float) -> RoundEvent:
        drafted, accepted, emitted = done.drafted[row], done.accepted[row], done.emitted[row]
        last = self._text(emitted[accepted]) if len(emitted) > accepted else None
        refused = accepted < len(drafted)
        return RoundEvent(
            n=count,
            drafted=tuple(self._text(token) for token in drafted),
            accepted=accepted,
            corrected=last if refused else None,
            bonus=None if refused else last,
            prompt=number,
            row=row,
            gamma=gamma,
            temperature=temperature,
            drafter=self._drafter,
            candidates=done.candidates or len(drafted),
            ended=done.over[row] or "",
            draft_ms=1000 * done.draft_seconds,
            verify_ms=1000 * done.verify_seconds,
        )

    def _decoded(self, token: int) -> str:
        return token_text(str(self._tokenizer.decode([token])))
