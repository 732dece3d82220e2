"""One threshold for the magnitudes of all linears: the sparsity that it gives each of them."""

from __future__ import annotations

import torch
from torch import Tensor

from core.models.stream.streaming import StreamedModel
from core.models.structure import find_linears
from core.prune.spec import PruneSpec
from core.runs.steps import Steps

_KEPT = "shares of one threshold"
_LOW_BITS = 16


@torch.no_grad()
def shares(spec: PruneSpec, streamed: StreamedModel, windows: Tensor | None, steps: Steps) -> dict[str, float]:  # noqa: ARG001
    """The share of each linear's weights among the smallest `sparsity` of all linears' weights; of equal magnitudes those of earlier linears.

    Magnitudes are compared exactly, by the bits of their float32 values, which order as the values do: one pass over the model counts the
    upper bits, a second one the lower bits of those that share the threshold's upper bits.

    Returns:
        Sparsity by the linear's name in the checkpoint without `.weight`; times its weights, rounded down, these are exact counts.
    """
    if (kept := steps.store.get(_KEPT)) is not None:
        steps.skip(streamed.n_blocks)
        return {name: float(share) for name, share in kept.items()}
    upper: dict[str, Tensor] = {}
    sizes: dict[str, int] = {}
    for index in range(streamed.n_blocks):
        for name, bits in _magnitudes(streamed, index):
            upper[name] = torch.bincount((bits >> _LOW_BITS).flatten(), minlength=1 << _LOW_BITS)
            sizes[name] = bits.numel()
        steps.step(f"comparing magnitudes: block {index + 1} of {streamed.n_blocks}")
    wanted = int(sum(sizes.values()) * spec.sparsity + 1e-9)
    total = torch.stack(list(upper.values())).sum(dim=0).cumsum(dim=0)
    place = int(torch.searchsorted(total, wanted))
    below = {name: int(counts[:place].sum()) for name, counts in upper.items()}
    left = wanted - sum(below.values())
    lower: dict[str, Tensor] = {}
    for index in range(streamed.n_blocks):
        steps.check_cancelled()
        for name, bits in _magnitudes(streamed, index):
            same = bits[(bits >> _LOW_BITS) == place] & ((1 << _LOW_BITS) - 1)
            lower[name] = torch.bincount(same, minlength=1 << _LOW_BITS)
    total = torch.stack(list(lower.values())).sum(dim=0).cumsum(dim=0)
    last = int(torch.searchsorted(total, left))
    below = {name: below[name] + int(counts[:last].sum()) for name, counts in lower.items()}
    left = wanted - sum(below.values())
    for name, counts in lower.items():
        equal = min(left, int(counts[last])) if left else 0
        below[name] += equal
        left -= equal
    found = {name: (count + 0.25) / sizes[name] for name, count in below.items() if count}
    found |= {name: 0.0 for name, count in below.items() if not count}
    steps.store.put(_KEPT, found)
    return found


def _magnitudes(streamed: StreamedModel, index: int) -> list[tuple[str, Tensor]]:
    """(name in the checkpoint without `.weight`, bits of the magnitudes int32 [out, in]) of a block's linears."""
    block = streamed.load_block(index)
    prefix = streamed.block_prefix(index)
    found = [
        (streamed.checkpoint_name(f"{prefix}{name}.weight").removesuffix(".weight"), linear.weight.detach().float().abs().view(torch.int32))
        for name, linear in find_linears(block).items()
    ]
    streamed.release_block(index)
    return found
