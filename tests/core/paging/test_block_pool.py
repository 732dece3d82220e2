"""The block pool against a naive model: a memory that is really written, copied and read back through the tables."""

from __future__ import annotations

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, consumes, initialize, invariant, multiple, rule, run_state_machine_as_test

from core.errors import RequestError
from core.paging.block_pool import BlockPool, OutOfBlocks, PoolChange, Writes

VOCABULARY = 3
OPERATIONS = 10_000

prompts = st.lists(st.integers(0, VOCABULARY - 1), min_size=1, max_size=24)


class PoolMachine(RuleBasedStateMachine):
    """Random operations. What a sequence reads through its table must be its own tokens, whatever the others do."""

    sequences = Bundle("sequences")
    operations = 0

    @initialize(blocks=st.integers(1, 40), size=st.integers(1, 5))
    def begin(self, blocks: int, size: int) -> None:
        self.changes: list[PoolChange] = []
        self.pool = BlockPool(blocks, size, on_change=self.changes.append)
        self.memory: list[int | None] = [None] * (blocks * size)
        self.texts: dict[int, list[int]] = {}
        self.prefixes: dict[int, tuple[int, ...]] = {}
        self.next_id = 0

    @rule(target=sequences, tokens=prompts)
    def admit(self, tokens: list[int]) -> object:
        expected_hits, needed, free = self.pool.lookup(tokens), self.pool.needed(tokens), self.pool.free_blocks
        assert expected_hits == self.naive_lookup(tokens)
        before = self.state()
        name = self.new_id()
        try:
            admission = self.pool.admit(name, tokens)
        except OutOfBlocks:
            assert needed > free
            assert self.state() == before
            return multiple()
        assert needed <= free
        assert self.pool.free_blocks == free - needed
        assert admission.hits == expected_hits
        assert not admission.writes.copies
        self.write(admission.writes, tokens[admission.hits :])
        self.texts[name] = list(tokens)
        self.remember(name)
        return name

    @rule(sequence=sequences, tokens=st.lists(st.integers(0, VOCABULARY - 1), max_size=9))
    def append(self, sequence: int, tokens: list[int]) -> None:
        before, free, table = self.state(), self.pool.free_blocks, list(self.pool.table(sequence))
        length, size = len(self.texts[sequence]), self.pool.block_size
        fresh = -(-(length + len(tokens)) // size) - len(table)
        copy = bool(tokens) and length % size != 0 and self.holders(table[-1]) > 1
        assert self.pool.needed_to_append(sequence, len(tokens)) == fresh + copy
        try:
            writes = self.pool.append(sequence, tokens)
        except OutOfBlocks:
            assert fresh + copy > free
            assert self.state() == before
            return
        assert fresh + copy <= free
        assert len(writes.copies) == copy, "a block is copied when it is shared and written, and only then"
        assert self.pool.free_blocks == free - fresh - copy
        self.write(writes, tokens)
        self.texts[sequence] += tokens
        self.remember(sequence)

    @rule(target=sequences, sequence=sequences)
    def fork(self, sequence: int) -> int:
        name, free = self.new_id(), self.pool.free_blocks
        self.pool.fork(sequence, name)
        assert self.pool.free_blocks == free, "a fork takes no block"
        self.texts[name] = list(self.texts[sequence])
        return name

    @rule(sequence=sequences, share=st.floats(0, 1))
    def truncate(self, sequence: int, share: float) -> None:
        count = round(share * len(self.texts[sequence]))
        self.pool.truncate(sequence, count)
        del self.texts[sequence][len(self.texts[sequence]) - count :]

    @rule(sequence=consumes(sequences))
    def free(self, sequence: int) -> None:
        expected = sum(1 for block in self.pool.table(sequence) if self.holders(block) == 1)
        free = self.pool.free_blocks
        self.pool.free(sequence)
        del self.texts[sequence]
        assert self.pool.free_blocks == free + expected

    @invariant()
    def holds(self) -> None:
        if not hasattr(self, "pool"):
            return
        PoolMachine.operations += 1
        self.pool.check()
        size = self.pool.block_size
        for sequence, text in self.texts.items():
            table = self.pool.table(sequence)
            assert [self.memory[table[index // size] * size + index % size] for index in range(len(text))] == text
        blocks = {block for sequence in self.texts for block in self.pool.table(sequence)}
        assert self.pool.used_blocks == len(blocks)
        assert set(self.pool.sequences) == set(self.texts)

    def write(self, writes: Writes, tokens: list[int]) -> None:
        size = self.pool.block_size
        for source, target in writes.copies:
            self.memory[target * size : (target + 1) * size] = self.memory[source * size : (source + 1) * size]
        assert len(writes.slots) == len(tokens)
        for slot, token in zip(writes.slots, tokens, strict=True):
            self.memory[slot] = token

    def naive_lookup(self, tokens: list[int]) -> int:
        """The longest beginning of whole blocks that findable blocks were written with, and the last token is never found."""
        findable = {self.prefixes[block] for block in range(self.pool.blocks) if self.pool.cached(block)}
        known, size = 0, self.pool.block_size
        while known + size < len(tokens) and tuple(tokens[: known + size]) in findable:
            known += size
        return known

    def remember(self, sequence: int) -> None:
        """What each full block of the sequence stands for: everything up to its end."""
        size, text = self.pool.block_size, self.texts[sequence]
        for index, block in enumerate(self.pool.table(sequence)[: len(text) // size]):
            self.prefixes[block] = tuple(text[: (index + 1) * size])

    def holders(self, block: int) -> int:
        return sum(block in self.pool.table(sequence) for sequence in self.texts)

    def state(self) -> tuple[object, ...]:
        pool = self.pool
        tables = {sequence: (list(pool.table(sequence)), pool.length(sequence)) for sequence in pool.sequences}
        cached = [pool.cached(block) for block in range(pool.blocks)]
        return tables, list(pool.references), list(pool.filled), cached, list(pool._free), len(self.changes), pool.copies, pool.reused

    def new_id(self) -> int:
        self.next_id += 1
        return self.next_id


def test_the_pool_holds_under_ten_thousand_random_operations() -> None:
    PoolMachine.operations = 0
    run_state_machine_as_test(
        PoolMachine,
        settings=settings(max_examples=215, stateful_step_count=60, deadline=None, suppress_health_check=list(HealthCheck), derandomize=True),
    )
    assert PoolMachine.operations >= OPERATIONS


def test_a_common_beginning_is_shared_and_never_copied() -> None:
    pool = BlockPool(16, 4)
    system = list(range(8))
    pool.admit(1, [*system, 50, 51])
    admission = pool.admit(2, [*system, 60])
    assert admission.hits == 8
    assert pool.table(2)[:2] == pool.table(1)[:2]
    assert pool.used_blocks == 4
    assert [pool.references[block] for block in pool.table(2)] == [2, 2, 1]
    pool.append(2, [61, 62, 63, 64])
    assert pool.copies == 0, "full blocks are never written, so nothing shared had to be copied"


def test_equal_tokens_behind_different_beginnings_are_not_shared() -> None:
    pool = BlockPool(16, 4)
    pool.admit(1, [1, 2, 3, 4, 9, 9, 9, 9, 0])
    assert pool.lookup([5, 6, 7, 8, 9, 9, 9, 9, 0]) == 0
    assert pool.lookup([1, 2, 3, 4, 9, 9, 9, 9, 0]) == 8


def test_the_last_token_of_a_prompt_is_always_computed() -> None:
    pool = BlockPool(16, 4)
    pool.admit(1, [1, 2, 3, 4, 5, 6, 7, 8])
    assert pool.lookup([1, 2, 3, 4, 5, 6, 7, 8]) == 4


def test_freed_blocks_are_found_again_until_they_are_taken_the_longest_unused_first() -> None:
    pool = BlockPool(4, 2)
    pool.admit(1, [1, 1, 1, 1])
    pool.admit(2, [2, 2, 2, 2])
    pool.free(1)
    pool.free(2)
    assert pool.lookup([1, 1, 1, 1, 0]) == 4
    pool.admit(3, [3, 3])
    assert pool.lookup([1, 1, 1, 1, 0]) == 2, "the end of the sequence that was freed first went first"
    assert pool.lookup([2, 2, 2, 2, 0]) == 4
    assert pool.reused == 1


def test_a_fork_is_copied_by_the_first_of_the_two_that_writes() -> None:
    changes: list[PoolChange] = []
    pool = BlockPool(8, 4, on_change=changes.append)
    pool.admit(1, [1, 2, 3, 4, 5])
    pool.fork(1, 2)
    tail = pool.table(1)[-1]
    writes = pool.append(2, [6])
    assert writes.copies == [(tail, pool.table(2)[-1])]
    assert pool.append(1, [7]).copies == [], "the other has the block to itself now"
    assert pool.table(1)[0] == pool.table(2)[0]
    assert PoolChange("copy", 2, pool.table(2)[-1], tail) in changes


def test_a_block_that_was_known_is_not_found_with_other_tokens_in_it() -> None:
    pool = BlockPool(8, 2)
    pool.admit(1, [1, 2, 3])
    pool.truncate(1, 2)
    pool.append(1, [9, 9])
    assert pool.lookup([1, 2, 3]) == 0
    assert pool.lookup([1, 9, 3]) == 2


def test_out_of_blocks_says_what_is_missing_and_changes_nothing() -> None:
    pool = BlockPool(3, 4)
    pool.admit(1, [0] * 8)
    with pytest.raises(OutOfBlocks, match="2 more blocks of 4 tokens are needed, but 1 of 3 are free"):
        pool.admit(2, [1] * 7)
    pool.check()
    assert pool.sequences == (1,)
    pool.grow(1)
    pool.admit(2, [1] * 7)
    pool.check()


def test_without_sharing_tokens_are_only_counted() -> None:
    pool = BlockPool(8, 4, sharing=False)
    pool.admit(1, range(9))
    assert pool.admit(2, range(9)).hits == 0
    assert pool.used_blocks == 6
    pool.check()


@pytest.mark.parametrize(("blocks", "size"), [(4, 0), (4, -1), (-1, 4)])
def test_a_pool_of_nothing_is_refused(blocks: int, size: int) -> None:
    with pytest.raises(RequestError, match="is too small"):
        BlockPool(blocks, size)


def test_blocks_that_nobody_can_find_are_taken_before_those_that_can_be() -> None:
    pool = BlockPool(3, 2)
    pool.admit(1, [1, 1])
    pool.admit(2, [2])
    unknown = pool.table(2)[0]
    pool.free(2)
    pool.free(1)
    pool.admit(3, [3, 3, 3])
    assert unknown in pool.table(3)
    assert pool.lookup([1, 1, 0]) == 2
