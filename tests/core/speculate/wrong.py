"""Five ways to get speculative sampling wrong, as they are found in the wild, beside the right one.

Each is a rule (as `core.speculate.verify.verify_rows`) and its tables: [V, V] distributions of the next token by the token before it.
Rules that look at unwarped distributions are given rows [warped, raw] of twice the width.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from core.runtime.sampling import Sampling, draw, warp
from core.speculate.lossless.toy import Toy, Verify
from core.speculate.verify import residual, verify_rows


@dataclass(frozen=True)
class Variant:
    """A rule with its tables."""

    target: Tensor
    drawn: Tensor
    claimed: Tensor | None
    verify: Verify = verify_rows


def _finish(stands: Tensor, instead: Tensor, target: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """From each draft's own test, the replacement [N, k, V] at each position and the target [N, k + 1, V]."""
    accepted = stands.cumprod(1, dtype=torch.int64).sum(1)
    rows = torch.arange(len(accepted))
    everywhere = torch.cat((instead, target[:, -1:]), 1)
    return accepted, draw(everywhere[rows, accepted], generator)


def _stands(tokens: Tensor, q: Tensor, p: Tensor, generator: torch.Generator) -> Tensor:
    chosen = tokens[:, :, None]
    uniform = torch.rand(tokens.shape, dtype=torch.float64, generator=generator)
    return uniform * q.gather(2, chosen)[:, :, 0] < p[:, :-1].gather(2, chosen)[:, :, 0]


def unwarped_ratio(tokens: Tensor, q: Tensor | None, p: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Accepts by the ratio of raw probabilities, draws replacements from warped ones."""
    assert q is not None
    size = q.shape[-1] // 2
    return _finish(_stands(tokens, q[..., size:], p[..., size:], generator), residual(p[:, :-1, :size], q[..., :size]), p[..., :size], generator)


def resampling_from_p(tokens: Tensor, q: Tensor | None, p: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Draws a replacement from p and not from the residual."""
    assert q is not None
    return _finish(_stands(tokens, q, p, generator), p[:, :-1], p, generator)


def q_of_the_wrong_position(tokens: Tensor, q: Tensor | None, p: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Subtracts the draft's distribution at the next position in the residual."""
    assert q is not None
    return _finish(_stands(tokens, q, p, generator), residual(p[:, :-1], q.roll(-1, dims=1)), p, generator)


def wide(warped: Tensor, raw: Tensor) -> Tensor:
    """Rows [warped, raw]."""
    return torch.cat((warped, raw), -1)


def variants(toy: Toy, sampling: Sampling) -> dict[str, Callable[[], Variant]]:
    """The wrong ones by name."""
    p, q = warp(toy.target, sampling), warp(toy.draft, sampling)
    raw_p, raw_q = toy.target.softmax(-1), toy.draft.softmax(-1)
    greedy = warp(toy.draft, Sampling())
    return {
        "unwarped ratio": lambda: Variant(wide(p, raw_p), q, wide(q, raw_q), unwarped_ratio),
        "resampling from p": lambda: Variant(p, q, q, resampling_from_p),
        "q of the wrong position": lambda: Variant(p, q, q, q_of_the_wrong_position),
        "target warped, draft raw": lambda: Variant(p, q, raw_q),
        "greedy draft taken for a drawn one": lambda: Variant(p, greedy, q),
    }


def right(toy: Toy, sampling: Sampling) -> dict[str, Variant]:
    """The correct ones by name: a draft that draws, and one that does not."""
    p = warp(toy.target, sampling)
    q = warp(toy.draft, sampling)
    return {"drawn draft": Variant(p, q, q), "greedy draft": Variant(p, warp(toy.draft, Sampling()), None)}
