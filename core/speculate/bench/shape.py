"""Sizes that a speculative run needs, and blocks that draft, from numbers alone."""

from __future__ import annotations

from collections.abc import Sequence

from core.errors import RequestError

TREE_SLOTS = 64
"""Slots that a cache has in addition to prompt and answer, for the candidates of a tree."""


def slots_needed(prompt: int, new: int, gamma: int, batch: int) -> int:
    """Slots of a cache that are enough for any outcome.

    A round takes as many slots as the row that accepts most; rows that accept fewer leave holes. Of one row there are none; of several, the
    sum of these greatest is at most that of all rows, and at most gamma + 1 for each of the rounds, of which there are fewer than new tokens.
    """
    if batch == 1:
        return prompt + new - 1
    return prompt + min(batch, gamma + 1) * (new - 1) + gamma


def kept_blocks(blocks: int, keep: int | None, skip: Sequence[int]) -> tuple[int, ...]:
    """Numbers of the blocks that draft.

    Args:
        blocks: of the target.
        keep: how many, from both ends: blocks in the middle do least that others do not; half of them when None.
        skip: blocks to leave out, in place of `keep`.

    Raises:
        RequestError: a block that is not there, none left, or none left out.
    """
    if skip:
        beyond = next((block for block in skip if not 0 <= block < blocks), None)
        if beyond is not None:
            raise RequestError(f"skip-layers names block {beyond}, and the model has blocks 0 to {blocks - 1}")
        kept = tuple(block for block in range(blocks) if block not in set(skip))
    else:
        count = min(max(blocks // 2, 1) if keep is None else keep, blocks)
        kept = (*range(count - count // 2), *range(blocks - count // 2, blocks))
    if not kept:
        raise RequestError(f"skip-layers leaves none of the {blocks} blocks to draft with: skip fewer")
    if len(kept) == blocks:
        raise RequestError(f"all {blocks} blocks would draft, which is the target itself: keep fewer than {blocks}")
    return kept
