"""Several sequences decoded together on one block pool, with a twin on contiguous caches that is fed the same tokens."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from core.kvcache.pages.events import Change
from core.kvcache.pages.ragged import Memory, Pages, Rows, forward
from core.kvcache.pages.requests import Request
from core.models.kv_geometry import Geometry
from core.paging.block_pool import BlockPool, Writes
from core.runtime.generate import check_finite
from core.runtime.sampling import Sampling, choose

if TYPE_CHECKING:
    from transformers import PreTrainedModel

_CHUNK = 512
_SEED_STRIDE, _MOST_SAMPLES = 1_000_003, 64


@dataclass(eq=False)
class Running:
    """One sequence."""

    id: int
    name: str
    request: Request
    tokens: list[int]
    """Prompt and answer; the last of them is not in the cache yet."""
    prompt: int
    generator: torch.Generator
    parent: int | None = None
    hits: int = 0
    hit_tokens: int = 0
    """Prompt tokens found at its first admission."""
    row: int = -1
    """In the contiguous memory."""
    waited: int = 0
    """Steps between arrival and admission."""
    again: bool = False
    """Whether it was preempted and is to be computed again."""
    blocks: int = 0
    shared: int = 0

    @property
    def cached(self) -> int:
        """Tokens whose keys and values are in the cache."""
        return len(self.tokens) - 1


@dataclass
class Compared:
    """What the twin found."""

    tokens: int = 0
    differing: int = 0
    largest: float = 0.0


@dataclass
class Usage:
    """Of each step: used blocks, stored tokens, tokens of all sequences, sequences."""

    used: list[int] = field(default_factory=list)
    stored: list[int] = field(default_factory=list)
    tokens: list[int] = field(default_factory=list)
    running: list[int] = field(default_factory=list)


class PagedDecode:
    """Requests in, tokens out: first come first served, prompts one at a time, then one token a step of every running sequence.

    A sequence for which no block is left makes the youngest wait again; what it computed is found in the pool as long as nobody takes it.

    Args:
        model: a transformers causal LM whose blocks all keep keys and values of the whole text.
        geometry: of the model.
        requests: the common beginning, and the requests.
        blocks: of the pool.
        block_size: tokens of a block.
        at_once: most sequences that run together.
        sampling: how tokens are chosen.
        seed: of every sequence's own draws.
        stops: tokens that end a sequence.
        longest: tokens that a sequence can have at most.
        compare: whether the twin runs along.
        on_step: called after each admission and each step.
    """

    def __init__(
        self,
        model: PreTrainedModel,
        geometry: Geometry,
        requests: tuple[Sequence[int], Sequence[Request]],
        *,
        blocks: int,
        block_size: int,
        at_once: int,
        sampling: Sampling,
        seed: int,
        stops: frozenset[int],
        longest: int,
        compare: bool,
        on_step: Callable[[PagedDecode], None],
    ) -> None:
        self.changes: list[Change] = []
        self.pool = BlockPool(blocks, block_size, on_change=lambda change: self.changes.append(Change(*change)))
        self.pages = Pages(geometry, blocks, block_size, model.dtype, model.device)
        self.rows = Rows(geometry, at_once, longest, model.dtype, model.device) if compare else None
        self.system = tuple(requests[0])
        self.arrived = list(requests[1])
        self.waiting: deque[Request | Running] = deque(requests[1])
        self.running: list[Running] = []
        self.finished: list[Running] = []
        self.usage, self.compared = Usage(), Compared()
        self.step, self.seconds, self.phase, self.preemptions, self.prompt_tokens = 0, 0.0, "prefill", 0, 0
        self._model, self._at_once, self._sampling, self._seed = model, at_once, sampling, seed
        self._stops, self._on_step = stops, on_step
        self._free_rows = list(range(at_once))
        self._next_id = 0

    def run(self) -> None:
        """Until every request is done. Raises RunFailed when the model's predictions are not numbers."""
        while self.waiting or self.running:
            while self._admit_next():
                self._on_step(self)
            self._decode_step()
            self._on_step(self)
        self.phase = "done"
        self._on_step(self)

    # -- admission

    def _admit_next(self) -> bool:
        """Take in the first that may come; later ones may pass a follow-up whose text is not complete."""
        for place, entry in enumerate(self.waiting):
            if isinstance(entry, Request) and self._text_of(entry) is None:
                continue
            if not self._fits(entry):
                return False
            del self.waiting[place]
            self.phase = "prefill"
            self._readmit(entry) if isinstance(entry, Running) else self._admit(entry)
            return True
        return False

    def _text_of(self, request: Request) -> list[int] | None:
        """Its prompt; None while the text that it follows is not complete."""
        if request.follows is None:
            return [*self.system, *request.tokens]
        done = next((sequence for sequence in self.finished if sequence.request.index == request.follows and sequence.parent is None), None)
        return None if done is None else [*done.tokens, *request.tokens]

    def _fits(self, entry: Request | Running) -> bool:
        samples = entry.samples if isinstance(entry, Request) else 1
        if len(self.running) + samples > self._at_once:
            return False
        tokens = self._text_of(entry) if isinstance(entry, Request) else entry.tokens[:-1]
        assert tokens is not None
        spare = len(self.running) + samples if self.running else 0
        return self.pool.needed(tokens) + spare <= self.pool.free_blocks

    def _admit(self, request: Request) -> None:
        tokens = self._text_of(request)
        assert tokens is not None
        first = self._sequence(request, tokens, None)
        self.prompt_tokens += len(tokens)
        logits, twin = self._prefill(first, tokens)
        first.hit_tokens = first.hits
        group = [first]
        for _ in range(1, request.samples):
            child = self._sequence(request, tokens, first)
            self.pool.fork(first.id, child.id)
            if self.rows is not None:
                child.row = self._free_rows.pop()
                self.rows.copy(first.row, child.row)
            group.append(child)
        self.running += group
        for sequence in group:
            self._take(sequence, logits[0], None if twin is None else twin[0])
        self._retire()

    def _readmit(self, sequence: Running) -> None:
        """Compute again what is no longer found; its last token is fed by the next step."""
        self._prefill(sequence, sequence.tokens[:-1])
        self.running.append(sequence)

    def _sequence(self, request: Request, tokens: list[int], parent: Running | None) -> Running:
        identity = self._next_id
        self._next_id += 1
        number = 0 if parent is None else identity - parent.id
        seed = (self._seed * _SEED_STRIDE + request.index * _MOST_SAMPLES + number) % 2**63
        generator = torch.Generator(self._model.device).manual_seed(seed)
        sample = "" if request.samples == 1 else f" sample {number + 1}"
        return Running(
            identity,
            f"prompt {request.index + 1}{sample}",
            request,
            list(tokens),
            len(tokens),
            generator,
            None if parent is None else parent.id,
            waited=self.step,
        )

    def _prefill(self, sequence: Running, tokens: list[int]) -> tuple[Tensor, Tensor | None]:
        began = time.perf_counter()
        admission = self.pool.admit(sequence.id, tokens)
        sequence.hits = admission.hits
        table, slots = self.pool.table(sequence.id), admission.writes.slots
        logits = torch.empty(0)
        for first in range(admission.hits, len(tokens), _CHUNK):
            last = min(first + _CHUNK, len(tokens))
            chunk = slots[first - admission.hits : last - admission.hits]
            self.pages.prepare([Writes(chunk, [])], [table[: -(-last // self.pool.block_size)]], [last])
            logits = self._forward(self.pages, [tokens[first:last]], [first])
        self.seconds += time.perf_counter() - began
        if self.rows is None:
            return logits, None
        sequence.row = self._free_rows.pop()
        twin = torch.empty(0)
        for first in range(0, len(tokens), _CHUNK):
            part = tokens[first : first + _CHUNK]
            self.rows.prepare([sequence.row], [first], len(part))
            twin = self._forward(self.rows, [part], [first])
        return logits, twin

    # -- one step

    def _decode_step(self) -> None:
        began = time.perf_counter()
        batch = self._room_for_all()
        if not batch:
            return
        self.phase = "decode"
        self.step += 1
        sequences, writes = [sequence for sequence, _ in batch], [write for _, write in batch]
        first = [sequence.cached for sequence in sequences]
        self.pages.prepare(writes, [self.pool.table(sequence.id) for sequence in sequences], [length + 1 for length in first])
        tokens = [sequence.tokens[-1:] for sequence in sequences]
        logits = self._forward(self.pages, tokens, first)
        self.seconds += time.perf_counter() - began
        twin = None
        if self.rows is not None:
            self.rows.prepare([sequence.row for sequence in sequences], first, 1)
            twin = self._forward(self.rows, tokens, first)
        self._note_usage()
        for index, sequence in enumerate(sequences):
            self._take(sequence, logits[index], None if twin is None else twin[index])
        self._retire()

    def _room_for_all(self) -> list[tuple[Running, Writes]]:
        """A slot for the last token of every running sequence; the youngest wait again where there is none.

        Who waits is settled before any slot is given: a block that is full counts as known from then on, and must be written in this step.
        """
        while sum(self.pool.needed_to_append(sequence.id, 1) for sequence in self.running) > self.pool.free_blocks:
            self._preempt(self.running[-1])
        return [(sequence, self.pool.append(sequence.id, sequence.tokens[-1:])) for sequence in self.running]

    def _preempt(self, sequence: Running) -> None:
        self.changes.append(Change("preempt", sequence.id))
        self._let_go(sequence)
        self.preemptions += 1
        self.waiting.appendleft(sequence)

    def _let_go(self, sequence: Running) -> None:
        self.running.remove(sequence)
        self.pool.free(sequence.id)
        if self.rows is not None:
            self._free_rows.append(sequence.row)

    def _take(self, sequence: Running, logits: Tensor, twin: Tensor | None) -> None:
        """Choose the next token; the twin chooses by the same draw."""
        began = time.perf_counter()
        check_finite(logits[None], self.step)
        before = sequence.generator.get_state()
        token = int(choose(logits, self._sampling, generator=sequence.generator))
        self.seconds += time.perf_counter() - began
        sequence.tokens.append(token)
        if twin is not None:
            again = torch.Generator(sequence.generator.device)
            again.set_state(before)
            self.compared.tokens += 1
            self.compared.differing += int(choose(twin, self._sampling, generator=again)) != token
            self.compared.largest = max(self.compared.largest, float((logits - twin).abs().amax()))

    def _retire(self) -> None:
        for sequence in list(self.running):
            new = len(sequence.tokens) - sequence.prompt
            if new < sequence.request.new_tokens and sequence.tokens[-1] not in self._stops:
                continue
            table = self.pool.table(sequence.id)
            sequence.blocks, sequence.shared = len(table), sum(1 for block in table if self.pool.references[block] > 1)
            self._let_go(sequence)
            self.finished.append(sequence)

    def _note_usage(self) -> None:
        self.usage.used.append(self.pool.used_blocks)
        self.usage.stored.append(self.pool.stored_tokens)
        self.usage.tokens.append(sum(self.pool.length(sequence.id) for sequence in self.running))
        self.usage.running.append(len(self.running))

    def _forward(self, memory: Memory, tokens: list[list[int]], first: list[int]) -> Tensor:
        return forward(self._model, memory, torch.tensor(tokens, device=self._model.device), first)
