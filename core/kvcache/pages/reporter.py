"""Reports a decode to its live view, no more often than anybody can read."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from core.context import RunContext
from core.kvcache.pages.decode import PagedDecode, Running
from core.kvcache.pages.events import MOST_BLOCKS, TEXT, Block, PageEvent, Sequence, Totals
from core.kvcache.pages.requests import Request
from core.sanitize import clean

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

_EVERY = 0.1
_TAIL = 24
"""Tokens of which the end of a text is shown."""


class DecodeReporter:
    """Sends the state of a decode as events.

    Args:
        context: of the run.
        tokenizer: gives the texts.
        reserved_each: tokens that a contiguous cache is pre-allocated to.
        total: tokens that will be generated at most.
    """

    def __init__(self, context: RunContext, tokenizer: PreTrainedTokenizerBase, reserved_each: int, total: int) -> None:
        self._context, self._tokenizer, self._reserved_each, self._total = context, tokenizer, reserved_each, total
        self._began, self._reported = time.monotonic(), 0.0

    def __call__(self, decode: PagedDecode) -> None:
        """After each admission and step. Raises `core.errors.Cancelled` when the user has cancelled the run."""
        self._context.check_cancelled()
        if time.monotonic() - self._reported < _EVERY and decode.phase != "done":
            return
        self._reported = time.monotonic()
        self._context.detail(self.event(decode))
        decode.changes.clear()
        done = sum(len(sequence.tokens) - sequence.prompt for sequence in (*decode.running, *decode.finished))
        self._context.progress(min(done, self._total), self._total, f"decoding {len(decode.running)} sequences, {len(decode.waiting)} waiting")

    def event(self, decode: PagedDecode) -> PageEvent:
        """The state now."""
        pool = decode.pool
        used, stored = pool.used_blocks, pool.stored_tokens
        tokens = sum(pool.length(sequence.id) for sequence in decode.running)
        reserved = len(decode.running) * self._reserved_each
        return PageEvent(
            step=decode.step,
            seconds=time.monotonic() - self._began,
            phase=decode.phase,
            block_size=pool.block_size,
            blocks=tuple(Block(pool.references[block], pool.filled[block], pool.cached(block)) for block in range(min(pool.blocks, MOST_BLOCKS))),
            sequences=(*(self._running(decode, sequence) for sequence in decode.running), *(self._waiting(entry) for entry in decode.waiting)),
            changes=tuple(decode.changes),
            used=used,
            tokens=tokens,
            stored=stored,
            waste=waste(stored, used * pool.block_size),
            reserved=reserved,
            reserved_each=self._reserved_each,
            waste_contiguous=waste(tokens, reserved),
            totals=Totals(
                hit_tokens=pool.hit_tokens,
                copies=pool.copies,
                reused=pool.reused,
                finished=len(decode.finished),
                waiting=len(decode.waiting),
                preempted=decode.preemptions,
            ),
            total=pool.blocks,
        )

    def text(self, tokens: list[int]) -> str:
        """The end of a text, safe to show."""
        return clean(str(self._tokenizer.decode(tokens[-_TAIL:])))[-TEXT:]

    def _running(self, decode: PagedDecode, sequence: Running) -> Sequence:
        return Sequence(
            id=sequence.id,
            name=sequence.name,
            state="running",
            tokens=decode.pool.length(sequence.id),
            prompt=sequence.prompt,
            hits=sequence.hits,
            parent=sequence.parent,
            table=tuple(decode.pool.table(sequence.id)),
            text=self.text(sequence.tokens),
        )

    def _waiting(self, entry: Running | Request) -> Sequence:
        if isinstance(entry, Running):
            return Sequence(id=entry.id, name=entry.name, state="waiting", tokens=len(entry.tokens), prompt=entry.prompt, parent=entry.parent)
        return Sequence(id=-1, name=f"prompt {entry.index + 1}", state="waiting", tokens=0, prompt=len(entry.tokens))


def waste(tokens: int, slots: int) -> float:
    """Share of the slots without a token; 0 of none."""
    return 1 - tokens / slots if slots else 0.0
