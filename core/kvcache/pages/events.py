"""What the live view of the pages reads: one event holds the whole state, so that a view needs only the last one.

Detail event of kind "pages" (mode decode), `data`:

    step        int       decode steps so far
    seconds     float     since the decode began
    phase       str       prefill | decode | done | verify
    block_size  int       tokens a block
    blocks      [[references, filled, cached], ...]
                          by block id. references: sequences whose table has it, 0 = free; filled: tokens in it; cached: 1 when its hash is known,
                          so that a later prompt can share it (a free block keeps its tokens until it is reused)
    sequences   [{id, name, state, tokens, prompt, hits, parent, table: [block id, ...], text}, ...]
                          those running in order of admission, then those waiting (id -1 before the first admission). state: waiting | running;
                          prompt: tokens of the prompt; hits: tokens of it that were found in the pool; parent: id of the sequence that it was
                          forked from, or None; text: its end
    changes     [[kind, sequence, block, other], ...]
                          since the event before. kind: arrive | hit | take | reuse | fork | copy | free | preempt | finish (see `Change`); -1 = none
    used        int       blocks with at least one reference
    tokens      int       tokens of all running sequences together, shared ones counted for each sequence (what a contiguous cache would hold)
    stored      int       tokens in the used blocks, shared ones counted once
    waste       float     share of the used blocks' slots that hold no token
    reserved    int       tokens that contiguous caches pre-allocated to `reserved_each` would have set aside for the running sequences
    reserved_each int
    waste_contiguous float  share of `reserved` that holds no token
    totals      {hit_tokens, copies, reused, finished, waiting, preempted}   since the beginning (waiting: now)
    left_out    int       changes that found no room in this event
    total       int       blocks of the pool; of a large one `blocks` tells only the first
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import Any, ClassVar, NamedTuple

from core.sanitize import clean

KIND = "pages"
MOST_BYTES = 15 * 1024
"""Of an event's data as JSON; events.jsonl takes 16 KiB."""
MOST_CHANGES = 96
TEXT = 48
_FIGURES: dict[str, type[int] | type[float]] = dict.fromkeys(
    ("step", "block_size", "used", "tokens", "stored", "reserved", "reserved_each", "left_out"), int
)
_FIGURES |= dict.fromkeys(("seconds", "waste", "waste_contiguous"), float)
CHANGES = ("arrive", "hit", "take", "reuse", "fork", "copy", "free", "preempt", "finish")


@dataclass(frozen=True, slots=True)
class Block:
    """One block of the pool."""

    references: int
    filled: int
    cached: bool

    @property
    def free(self) -> bool:
        """Whether the pool may give it to anybody."""
        return self.references == 0


@dataclass(frozen=True, slots=True)
class Sequence:
    """One sequence with its block table."""

    id: int
    name: str
    state: str
    tokens: int
    prompt: int
    hits: int
    parent: int | None
    table: tuple[int, ...]
    text: str = ""


class Change(NamedTuple):
    """What happened to a block or a sequence, as `core.paging.block_pool.PoolChange` says; preempt: the sequence must wait again."""

    kind: str
    sequence: int = -1
    block: int = -1
    other: int = -1


@dataclass(frozen=True, slots=True)
class PageEvent:
    """The state of the pool at one step; the fields are told at the head of this module."""

    kind: ClassVar[str] = KIND
    step: int
    seconds: float
    phase: str
    block_size: int
    blocks: tuple[Block, ...]
    sequences: tuple[Sequence, ...]
    changes: tuple[Change, ...]
    used: int
    tokens: int
    stored: int
    waste: float
    reserved: int
    reserved_each: int
    waste_contiguous: float
    totals: Mapping[str, int] = field(default_factory=dict)
    left_out: int = 0
    total: int = 0
    """0: as many as `blocks` tells."""

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
        event = replace(self, changes=self.changes[-MOST_CHANGES:], left_out=self.left_out + max(len(self.changes) - MOST_CHANGES, 0))
        for smaller in (_same, _without_changes, _without_texts, _with_short_tables):
            event = smaller(event)
            plain = _plain(event)
            if len(json.dumps(plain)) <= MOST_BYTES:
                return plain
        most = len(event.blocks)
        while most > 1 and len(json.dumps(plain)) > MOST_BYTES:
            most = min(most // 2, 1024)
            plain |= {"blocks": plain["blocks"][:most], "sequences": plain["sequences"][: max(most // 16, 16)]}
        return plain


def parse(data: Mapping[str, Any]) -> PageEvent | None:
    """The event of a Detail's data; None for what no version of this program wrote. Its texts are safe to show."""
    try:
        figures: dict[str, Any] = {name: cast(data[name]) for name, cast in _FIGURES.items()}
        return PageEvent(
            **figures,
            phase=clean(str(data["phase"]), limit=20),
            total=int(data.get("total", 0)),
            blocks=tuple(Block(int(references), int(filled), bool(cached)) for references, filled, cached in data["blocks"]),
            sequences=tuple(_sequence(entry) for entry in data["sequences"]),
            changes=tuple(Change(kind, int(sequence), int(block), int(other)) for kind, sequence, block, other in data["changes"] if kind in CHANGES),
            totals={clean(str(name), limit=20): int(value) for name, value in data["totals"].items()},
        )
    except (KeyError, TypeError, ValueError, AttributeError, OverflowError):
        return None


def _sequence(entry: Mapping[str, Any]) -> Sequence:
    parent = entry["parent"]
    return Sequence(
        id=int(entry["id"]),
        name=clean(str(entry["name"]), limit=40),
        state=clean(str(entry["state"]), limit=20),
        tokens=int(entry["tokens"]),
        prompt=int(entry["prompt"]),
        hits=int(entry["hits"]),
        parent=None if parent is None else int(parent),
        table=tuple(int(block) for block in entry["table"]),
        text=clean(str(entry.get("text", "")), limit=TEXT),
    )


def _plain(event: PageEvent) -> dict[str, Any]:
    plain = asdict(event)
    plain["seconds"] = round(event.seconds, 3)
    plain["blocks"] = [[block.references, block.filled, int(block.cached)] for block in event.blocks]
    plain["changes"] = [[change.kind, change.sequence, change.block, change.other] for change in event.changes]
    plain["sequences"] = [{**asdict(sequence), "table": list(sequence.table)} for sequence in event.sequences]
    plain["totals"] = dict(event.totals)
    plain["total"] = event.pool
    return plain


def _same(event: PageEvent) -> PageEvent:
    return event


def _without_changes(event: PageEvent) -> PageEvent:
    kept = event.changes[-16:]
    return replace(event, changes=kept, left_out=event.left_out + len(event.changes) - len(kept))


def _without_texts(event: PageEvent) -> PageEvent:
    return replace(event, sequences=tuple(replace(sequence, text="") for sequence in event.sequences))


def _with_short_tables(event: PageEvent) -> PageEvent:
    return replace(event, sequences=tuple(replace(sequence, table=sequence.table[-24:]) for sequence in event.sequences))
