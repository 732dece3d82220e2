"""The blocks of a paged KV cache (arXiv 2309.06180): who has which, which are free, which can be found again.

A sequence is a table of blocks. Full blocks are known by a hash of their tokens chained to the hash of the block before, so that a prompt that begins
alike shares them. A block that is to be written while another sequence has it too is copied first; full blocks are never written again.
Freed blocks keep their tokens and their hash until they are taken for others, the longest unused first.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Literal, NamedTuple

from core.errors import RequestError, RunFailed
from core.paging.prefix_index import PrefixIndex

ChangeKind = Literal["arrive", "hit", "take", "reuse", "fork", "copy", "free", "finish"]


class PoolChange(NamedTuple):
    """What happened to a block or a sequence; -1 is none.

    arrive: `sequence` was admitted. hit: it shares `block`, found by its hash. take: it took `block`, which held nothing. reuse: it took `block`,
    and what was cached in it is lost. fork: it shares every block of sequence `other`. copy: before it wrote, it copied block `other`, which was
    shared, to `block`. free: the last reference to `block` is gone. finish: `sequence` let its blocks go.
    """

    kind: ChangeKind
    sequence: int = -1
    block: int = -1
    other: int = -1


class OutOfBlocks(RunFailed):
    """Too few blocks are free; nothing was changed."""

    def __init__(self, needed: int, free: int, total: int, block_size: int) -> None:
        super().__init__(
            f"{needed} more blocks of {block_size} tokens are needed, but {free} of {total} are free: release a sequence, or give more blocks"
        )
        self.needed, self.free = needed, free


@dataclass(frozen=True, slots=True)
class Writes:
    """Where the keys and values of new tokens go."""

    slots: list[int]
    """Of each new token: block id x block size + place in the block."""
    copies: list[tuple[int, int]]
    """(from, to) block ids whose contents are to be copied before anything is written."""


@dataclass(frozen=True, slots=True)
class Admission:
    """How a prompt was taken in."""

    hits: int
    """Tokens at its beginning whose keys and values are in the pool already."""
    writes: Writes
    """For the tokens behind them."""


@dataclass(slots=True)
class _Table:
    blocks: list[int] = field(default_factory=list)
    length: int = 0
    tokens: list[int] = field(default_factory=list)
    """Empty where the pool does not share."""
    hashes: list[bytes] = field(default_factory=list)
    """Chained, of the full blocks."""


class BlockPool:
    """A fixed number of blocks, and the tables of the sequences that have them.

    Args:
        blocks: how many there are.
        block_size: tokens of each.
        sharing: whether full blocks are found again by their tokens; without, only forks share.
        on_change: called with every change.

    Raises:
        RequestError: a block size below 1, or no blocks.
    """

    def __init__(self, blocks: int, block_size: int, *, sharing: bool = True, on_change: Callable[[PoolChange], None] | None = None) -> None:
        if block_size < 1:
            raise RequestError(f"a block of {block_size} tokens is too small: give a block size of at least 1")
        if blocks < 0:
            raise RequestError(f"a pool of {blocks} blocks is too small: give at least 1")
        self.block_size, self.sharing = block_size, sharing
        self.references: list[int] = [0] * blocks
        self.filled: list[int] = [0] * blocks
        """Tokens written to each block since it was taken; a free one keeps what it had."""
        self.copies = self.reused = self.hit_tokens = 0
        """Since the beginning: blocks copied before a write, blocks taken that could still have been found, prompt tokens found."""
        self._index = PrefixIndex(block_size)
        self._free: OrderedDict[int, None] = OrderedDict.fromkeys(range(blocks))
        self._tables: dict[int, _Table] = {}
        self._stored = 0
        self._on_change = on_change

    @property
    def blocks(self) -> int:
        """How many blocks there are."""
        return len(self.references)

    @property
    def free_blocks(self) -> int:
        """Blocks that no sequence has; some can still be found by their tokens."""
        return len(self._free)

    @property
    def used_blocks(self) -> int:
        """Blocks that at least one sequence has."""
        return len(self.references) - len(self._free)

    @property
    def stored_tokens(self) -> int:
        """Tokens in the used blocks, shared ones counted once."""
        return self._stored

    @property
    def sequences(self) -> tuple[int, ...]:
        """Ids of the sequences, in order of admission."""
        return tuple(self._tables)

    def table(self, sequence: int) -> list[int]:
        """Block ids of a sequence in order. Read only."""
        return self._tables[sequence].blocks

    def length(self, sequence: int) -> int:
        """Tokens of a sequence."""
        return self._tables[sequence].length

    def cached(self, block: int) -> bool:
        """Whether a prompt can find the block by its tokens."""
        return self._index.knows(block)

    def lookup(self, tokens: Sequence[int]) -> int:
        """Tokens at the beginning of a prompt that are in the pool: whole blocks, and never all of the prompt, whose last token must be computed."""
        return len(self._find(tokens)[0]) * self.block_size

    def needed(self, tokens: Sequence[int]) -> int:
        """Free blocks that the admission of a prompt takes away."""
        found, _ = self._find(tokens)
        return -(-len(tokens) // self.block_size) - sum(1 for block in found if self.references[block])

    def needed_to_append(self, sequence: int, count: int) -> int:
        """Free blocks that an append of so many tokens takes away, a copy of a shared block among them."""
        table = self._tables[sequence]
        return -(-(table.length + count) // self.block_size) - len(table.blocks) + self._must_copy(table, count)

    def admit(self, sequence: int, tokens: Sequence[int]) -> Admission:
        """Take in a new sequence: share what is found of its tokens, take blocks for the rest.

        Raises:
            OutOfBlocks: nothing was changed.
            ValueError: the sequence exists, or has no tokens.
        """
        if sequence in self._tables:
            raise ValueError(f"sequence {sequence} is already in the pool")
        if not len(tokens):
            raise ValueError(f"sequence {sequence} has no tokens")
        found, hashes = self._find(tokens)
        self._require(-(-len(tokens) // self.block_size) - sum(1 for block in found if self.references[block]))
        hits = len(found) * self.block_size
        self._tell("arrive", sequence)
        for block in found:
            self._refer(block)
            self._tell("hit", sequence, block)
        self._tables[sequence] = _Table(found, hits, list(tokens[:hits]), hashes)
        self.hit_tokens += hits
        return Admission(hits, self.append(sequence, tokens[hits:]))

    def open(self, sequence: int) -> None:
        """A new sequence without tokens. Raises ValueError when it exists."""
        if sequence in self._tables:
            raise ValueError(f"sequence {sequence} is already in the pool")
        self._tables[sequence] = _Table()

    def append(self, sequence: int, tokens: Sequence[int]) -> Writes:
        """Make room for more tokens of a sequence. A pool that does not share looks at their number only. Raises OutOfBlocks: nothing was changed."""
        table = self._tables[sequence]
        first, last, size = table.length, table.length + len(tokens), self.block_size
        copies = self._make_room(sequence, table, first, last)
        slots: list[int] = []
        while first < last:
            index, offset = divmod(first, size)
            count = min(last - first, size - offset)
            block = table.blocks[index]
            slots.extend(range(block * size + offset, block * size + offset + count))
            self._write(block, offset + count)
            first += count
        table.length = last
        if self.sharing:
            table.tokens.extend(tokens)
            self._remember_full(table)
        return Writes(slots, copies)

    def fork(self, sequence: int, child: int) -> None:
        """Another sequence with the same tokens; all blocks are shared until one of the two writes. Raises ValueError: the child exists."""
        if child in self._tables:
            raise ValueError(f"sequence {child} is already in the pool")
        table = self._tables[sequence]
        for block in table.blocks:
            self.references[block] += 1
        self._tables[child] = _Table(table.blocks.copy(), table.length, table.tokens.copy(), table.hashes.copy())
        self._tell("fork", child, -1, sequence)

    def truncate(self, sequence: int, count: int) -> None:
        """Take the last `count` tokens of a sequence back. Raises ValueError: it has fewer."""
        table = self._tables[sequence]
        if not 0 <= count <= table.length:
            raise ValueError(f"sequence {sequence} has {table.length} tokens, of which {count} cannot be taken back")
        table.length -= count
        keep = -(-table.length // self.block_size)
        for block in reversed(table.blocks[keep:]):
            self._release(block)
        del table.blocks[keep:], table.tokens[table.length :], table.hashes[table.length // self.block_size :]

    def free(self, sequence: int) -> None:
        """Let a sequence go. Its blocks that no other has become free, the last of them to be taken first."""
        table = self._tables.pop(sequence)
        self._tell("finish", sequence)
        for block in reversed(table.blocks):
            self._release(block)

    def grow(self, blocks: int) -> None:
        """Add blocks."""
        first = self.blocks
        self.references += [0] * blocks
        self.filled += [0] * blocks
        self._free.update(dict.fromkeys(range(first, first + blocks)))

    def check(self) -> None:
        """Nothing, when every invariant holds. Raises AssertionError: which one does not."""
        held, known = [0] * self.blocks, self._index.items()
        for sequence, table in self._tables.items():
            _hold(len(table.blocks) == -(-table.length // self.block_size), f"sequence {sequence} has as many blocks as its tokens fill")
            _hold(len(set(table.blocks)) == len(table.blocks), f"no block is twice in the table of sequence {sequence}")
            if self.sharing:
                _hold(len(table.tokens) == table.length, f"the tokens of sequence {sequence} are known")
                _hold(table.hashes == self._index.chain(table.tokens), f"the hashes of sequence {sequence} are of its tokens")
            for index, block in enumerate(table.blocks):
                held[block] += 1
                _hold(
                    self.filled[block] >= min(table.length - index * self.block_size, self.block_size),
                    f"block {block} holds what sequence {sequence} has in it",
                )
                _hold(
                    index >= len(table.hashes) or known.get(block, table.hashes[index]) == table.hashes[index],
                    f"block {block} is known by its tokens",
                )
        _hold(held == self.references, "a block has as many references as tables have it")
        _hold({block for block, count in enumerate(held) if not count} == set(self._free), "a block is free when no table has it, and only then")
        _hold(all(0 <= count <= self.block_size for count in self.filled), "no block holds more tokens than it has slots")
        _hold(
            self._stored == sum(filled for filled, count in zip(self.filled, held, strict=True) if count),
            "the stored tokens are those of the used blocks",
        )
        _hold(all(self.filled[block] == self.block_size for block in known), "only full blocks are known by a hash")

    def _find(self, tokens: Sequence[int]) -> tuple[list[int], list[bytes]]:
        return self._index.find(tokens) if self.sharing else ([], [])

    def _make_room(self, sequence: int, table: _Table, first: int, last: int) -> list[tuple[int, int]]:
        size = self.block_size
        needed = -(-last // size) - len(table.blocks)
        copy = self._must_copy(table, last - first)
        self._require(needed + copy)
        copies: list[tuple[int, int]] = []
        if copy:
            source = table.blocks[-1]
            target = self._take(sequence)
            table.blocks[-1] = target
            self._release(source)
            self._write(target, first % size)
            self.copies += 1
            copies.append((source, target))
            self._tell("copy", sequence, target, source)
        table.blocks.extend(self._take(sequence) for _ in range(needed))
        return copies

    def _must_copy(self, table: _Table, count: int) -> bool:
        return count > 0 and table.length % self.block_size != 0 and self.references[table.blocks[-1]] > 1

    def _require(self, needed: int) -> None:
        if needed > len(self._free):
            raise OutOfBlocks(needed, len(self._free), self.blocks, self.block_size)

    def _take(self, sequence: int) -> int:
        """A free block, empty; the caller has seen that there is one."""
        block, _ = self._free.popitem(last=False)
        known = self._index.forget(block)
        self.references[block], self.filled[block] = 1, 0
        self.reused += known
        self._tell("reuse" if known else "take", sequence, block)
        return block

    def _refer(self, block: int) -> None:
        if not self.references[block]:
            del self._free[block]
            self._stored += self.filled[block]
        self.references[block] += 1

    def _release(self, block: int) -> None:
        self.references[block] -= 1
        if self.references[block]:
            return
        self._stored -= self.filled[block]
        self._free[block] = None
        if not self._index.knows(block):
            self._free.move_to_end(block, last=False)
        self._tell("free", -1, block)

    def _write(self, block: int, filled: int) -> None:
        """The block, which one sequence has, now holds `filled` tokens; what it was known by may be gone."""
        self._index.forget(block)
        self._stored += filled - self.filled[block]
        self.filled[block] = filled

    def _remember_full(self, table: _Table) -> None:
        """Make the blocks that have become full known."""
        size = self.block_size
        while (len(table.hashes) + 1) * size <= table.length:
            first, before = len(table.hashes) * size, table.hashes[-1] if table.hashes else None
            table.hashes.append(self._index.remember(table.blocks[len(table.hashes)], before, table.tokens[first : first + size]))

    def _tell(self, kind: ChangeKind, sequence: int, block: int = -1, other: int = -1) -> None:
        if self._on_change is not None:
            self._on_change(PoolChange(kind, sequence, block, other))


def _hold(condition: bool, invariant: str) -> None:
    if not condition:
        raise AssertionError(f"broken: {invariant}")
