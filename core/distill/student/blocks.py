"""Which of a teacher's blocks a new student keeps."""

from __future__ import annotations


def kept_blocks(blocks: int, kept: int) -> tuple[int, ...]:
    """Numbers of blocks, evenly spread, the first and the last among them (DistilBERT's choice, arXiv 1910.01108, for any ratio).

    Args:
        blocks: of the teacher.
        kept: of the student, from 1 to `blocks`.
    """
    if kept == 1:
        return (0,)
    return tuple(round(index * (blocks - 1) / (kept - 1)) for index in range(kept))


def usual_blocks(blocks: int) -> int:
    """How many a student keeps when nobody says: two thirds."""
    return max(round(blocks * 2 / 3), 1)
