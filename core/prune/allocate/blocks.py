"""What every rule that gives each block a sparsity of its own needs: its linears and how many weights they have."""

from __future__ import annotations

from collections.abc import Sequence

from core.models.stream.streaming import StreamedModel
from core.models.structure import find_linears


def block_linears(streamed: StreamedModel) -> list[dict[str, int]]:
    """Weights of every linear by its name in the checkpoint, without `.weight`, block by block; nothing is read."""
    return [
        {
            streamed.checkpoint_name(f"{streamed.block_prefix(index)}{name}.weight").removesuffix(".weight"): linear.weight.numel()
            for name, linear in find_linears(block).items()
        }
        for index, block in enumerate(streamed.blocks.modules)
    ]


def by_linear(shares: Sequence[float], linears: Sequence[dict[str, int]]) -> dict[str, float]:
    """The sparsity of every linear, that of its block."""
    return {name: share for share, of_block in zip(shares, linears, strict=True) for name in of_block}
