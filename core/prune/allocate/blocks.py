"""What every rule that gives each block a sparsity of its own needs: its linears, and counts that keep the total."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from core.models.stream.streaming import StreamedModel
from core.models.structure import find_linears
from core.prune.weights.pattern import Scope

Shape = tuple[int, int]
"""[out, in] of a linear."""


def block_linears(streamed: StreamedModel) -> list[dict[str, Shape]]:
    """Shape of every linear by its name in the checkpoint, without `.weight`, block by block; nothing is read."""
    return [
        {
            streamed.checkpoint_name(f"{streamed.block_prefix(index)}{name}.weight").removesuffix(".weight"): (
                linear.out_features,
                linear.in_features,
            )
            for name, linear in find_linears(block).items()
        }
        for index, block in enumerate(streamed.blocks.modules)
    ]


def weights_of(linears: Sequence[Mapping[str, Shape]]) -> list[int]:
    """Weights of the linears of each block."""
    return [sum(rows * columns for rows, columns in of_block.values()) for of_block in linears]


def by_linear(shares: Sequence[float], linears: Sequence[Mapping[str, Shape]], scope: Scope) -> dict[str, float]:
    """The sparsity of every linear, near that of its block and such that whole counts add up to the total.

    A row loses a whole number of weights: what one linear loses too few or too many, the next makes up for.

    Args:
        shares: sparsity of each block.
        linears: of each block.
        scope: what counts are exact over: each row, or the whole matrix.

    Returns:
        Sparsities that times the weights of a row or matrix, rounded down, are the counts.
    """
    found: dict[str, float] = {}
    owed = 0.0
    for share, of_block in zip(shares, linears, strict=True):
        for name, (rows, columns) in of_block.items():
            size, times = (columns, rows) if scope == "row" else (rows * columns, 1)
            count = min(max(round((share * rows * columns + owed) / times), 0), size - 1)
            owed += share * rows * columns - count * times
            found[name] = (count + 0.25) / size if count else 0.0
    return found
