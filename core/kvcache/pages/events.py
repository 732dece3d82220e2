"""What the live view of the pages reads: one event holds the whole state, so that a view needs only the last one."""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import partial
from typing import Annotated, Any, ClassVar, NamedTuple

from pydantic import BaseModel, BeforeValidator, ConfigDict, PlainSerializer

from core.event import DetailEvent, shown

MOST_BYTES = 15 * 1024
"""Of an event's data as JSON; events.jsonl takes 16 KiB."""
MOST_BLOCKS = 2048
"""More than an event has room for."""
MOST_CHANGES = 96
TEXT = 48
CHANGES = ("arrive", "hit", "take", "reuse", "fork", "copy", "free", "preempt", "finish")
_Name = Annotated[str, shown(20)]


class Block(NamedTuple):
    """One block of the pool; a list in JSON."""

    references: int
    """Sequences whose table has it; 0: it is free, and keeps its tokens until it is reused."""
    filled: int
    """Tokens in it."""
    cached: bool
    """Whether its hash is known, so that a later prompt can share it."""

    @property
    def free(self) -> bool:
        """Whether the pool may give it to anybody."""
        return self.references == 0


class Change(NamedTuple):
    """What happened to a block or a sequence, as `core.paging.block_pool.PoolChange` says; preempt: the sequence must wait again. A list in JSON."""

    kind: str
    sequence: int = -1
    block: int = -1
    other: int = -1


class Sequence(BaseModel):
    """One sequence with its block table."""

    model_config = ConfigDict(frozen=True)

    id: int
    """-1 before the first admission."""
    name: Annotated[str, shown(40)]
    state: _Name
    """waiting or running."""
    tokens: int
    prompt: int
    """Tokens of the prompt."""
    hits: int = 0
    """Tokens of the prompt that were found in the pool."""
    parent: int | None = None
    """Id of the sequence that it was forked from."""
    table: tuple[int, ...] = ()
    """Block ids."""
    text: Annotated[str, shown(TEXT)] = ""
    """Its end."""


class Totals(BaseModel):
    """Counts since the decode began; `waiting` is of now."""

    model_config = ConfigDict(frozen=True)

    hit_tokens: int = 0
    copies: int = 0
    reused: int = 0
    finished: int = 0
    waiting: int = 0
    preempted: int = 0


def _known(changes: object) -> object:
    """Without the kinds of change that later versions know."""
    if not isinstance(changes, list | tuple):
        return changes
    return [change for change in changes if not (isinstance(change, list | tuple) and change and change[0] not in CHANGES)]


class PageEvent(DetailEvent):
    """The state of the pool at one step of a decode."""

    kind: ClassVar[str] = "pages"

    step: int
    """Decode steps so far."""
    seconds: Annotated[float, PlainSerializer(lambda seconds: round(seconds, 3))]
    """Since the decode began."""
    phase: _Name
    """prefill, decode, done or verify."""
    block_size: int
    """Tokens per block."""
    blocks: Annotated[tuple[Block, ...], PlainSerializer(lambda blocks: [[*map(int, block)] for block in blocks])]
    """By block id; of a large pool only the first."""
    sequences: tuple[Sequence, ...]
    """Those running in order of admission, then those waiting."""
    changes: Annotated[tuple[Change, ...], BeforeValidator(_known)]
    """Since the event before."""
    used: int
    """Blocks with at least one reference."""
    tokens: int
    """Of all running sequences together, shared ones counted for each sequence (what a contiguous cache would hold)."""
    stored: int
    """Tokens in the used blocks, shared ones counted once."""
    waste: float
    """Share of the used blocks' slots that hold no token."""
    reserved: int
    """Tokens that contiguous caches pre-allocated to `reserved_each` would have set aside for the running sequences."""
    reserved_each: int
    waste_contiguous: float
    """Share of `reserved` that holds no token."""
    totals: Totals = Totals()
    left_out: int = 0
    """Changes that found no room in this event."""
    total: int = 0
    """Blocks of the pool; 0: as many as `blocks` has."""

    @property
    def free(self) -> int:
        """Blocks without a reference."""
        return self.pool - self.used

    @property
    def pool(self) -> int:
        """Blocks that there are."""
        return self.total or len(self.blocks)

    @property
    def utilization(self) -> float:
        """Share of the pool's blocks that are in use."""
        return self.used / self.pool if self.pool else 0.0

    def data(self) -> dict[str, Any]:
        """At most `MOST_BYTES` as JSON: old changes are left out first, then texts, the tables' beginnings, last blocks and sequences."""
        event = self.model_copy(update={"total": self.pool})
        for smaller in _SMALLER:
            event = smaller(event)
            plain = event.model_dump(mode="json")
            if len(json.dumps(plain)) <= MOST_BYTES:
                return plain
        most = len(event.blocks)
        while most > 1 and len(json.dumps(plain)) > MOST_BYTES:
            most = min(most // 2, 1024)
            plain |= {"blocks": plain["blocks"][:most], "sequences": plain["sequences"][: max(most // 16, 16)]}
        return plain


def _last_changes(event: PageEvent, most: int) -> PageEvent:
    kept = event.changes[-most:]
    return event.model_copy(update={"changes": kept, "left_out": event.left_out + len(event.changes) - len(kept)})


def _without_texts(event: PageEvent) -> PageEvent:
    return event.model_copy(update={"sequences": tuple(sequence.model_copy(update={"text": ""}) for sequence in event.sequences)})


def _with_short_tables(event: PageEvent) -> PageEvent:
    return event.model_copy(update={"sequences": tuple(sequence.model_copy(update={"table": sequence.table[-24:]}) for sequence in event.sequences)})


_SMALLER: tuple[Callable[[PageEvent], PageEvent], ...] = (
    partial(_last_changes, most=MOST_CHANGES),
    partial(_last_changes, most=16),
    _without_texts,
    _with_short_tables,
)
