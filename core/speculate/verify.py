"""Speculative sampling: which drafted tokens stand, and what follows them, so that the text is distributed as the target's own.

A draft x is accepted with probability min(1, p(x) / q(x)). In place of a rejected one a token is drawn from norm(max(p - q, 0)) at that position;
behind a draft that was accepted whole one more is drawn from p (Leviathan et al., arXiv 2211.17192, algorithm 1; Chen et al., arXiv 2302.01318).
p and q are the distributions that are really sampled from: after temperature, top-k, top-p, min-p and penalties. A drafter that does not draw has
a q that is one-hot at its token.
"""

from __future__ import annotations

import torch
from torch import Tensor

from core.runtime.sampling import draw


def verify(draft_tokens: Tensor, draft_probs: Tensor | None, target_probs: Tensor, generator: torch.Generator | None = None) -> Tensor:
    """The tokens that one round adds to one text.

    Args:
        draft_tokens: int64 [k], k may be 0.
        draft_probs: [k, V], row i the distribution that draft i was drawn from; None for a drafter that does not draw.
        target_probs: [k + 1, V], row i the target's distribution at the place of draft i; the last follows the whole draft.
        generator: source of the draws.

    Returns:
        Int64 [1 to k + 1]: the accepted drafts and one token of the target.

    Raises:
        ValueError: shapes that do not belong together.
    """
    accepted, last = verify_rows(draft_tokens[None], None if draft_probs is None else draft_probs[None], target_probs[None], generator)
    return torch.cat((draft_tokens[: int(accepted)], last))


def verify_rows(
    draft_tokens: Tensor, draft_probs: Tensor | None, target_probs: Tensor, generator: torch.Generator | None = None, real: Tensor | None = None
) -> tuple[Tensor, Tensor]:
    """`verify` for the rows of a batch, each on its own.

    Args:
        draft_tokens: int64 [B, k].
        draft_probs: [B, k, V], or None.
        target_probs: [B, k + 1, V].
        generator: source of the draws.
        real: bool [B, k], False behind the end of a row's shorter draft; what follows the last real one is drawn from p as behind a whole draft.

    Returns:
        How many drafts each row accepts, int64 [B], and the target's token behind them, int64 [B].

    Raises:
        ValueError: shapes that do not belong together.
    """
    rows, count = draft_tokens.shape
    _check_shapes(draft_tokens, draft_probs, target_probs)
    if not count:
        return torch.zeros(rows, dtype=torch.int64, device=draft_tokens.device), draw(target_probs[:, 0], generator)
    stands = accept(draft_tokens, draft_probs, target_probs, generator)
    if real is not None:
        stands &= real
    accepted = stands.cumprod(1, dtype=torch.int64).sum(1)
    at = accepted.clamp(max=count - 1)[:, None]
    rejected = accepted[:, None] < count
    if real is not None:
        rejected &= real.gather(1, at)
    target = target_probs.gather(1, accepted[:, None, None].expand(-1, 1, target_probs.shape[-1]))[:, 0]
    if draft_probs is None:
        token = draft_tokens.gather(1, at)
        instead = target.scatter(1, token, 0.0)
    else:
        instead = residual(target, draft_probs.gather(1, at[:, :, None].expand(-1, 1, draft_probs.shape[-1]))[:, 0])
    return accepted, draw(torch.where(rejected, instead, target), generator)


def accept(draft_tokens: Tensor, draft_probs: Tensor | None, target_probs: Tensor, generator: torch.Generator | None = None) -> Tensor:
    """Whether each draft passes its own test, bool [B, k]: with probability min(1, p / q), by draws u from [0, 1) in float64.

    The test is u q < p, so that nothing of probability 0 passes, whatever u is.
    """
    token = draft_tokens[:, :, None]
    wanted = target_probs[:, :-1].gather(2, token)[:, :, 0].double()
    uniform = torch.rand(wanted.shape, dtype=torch.float64, generator=generator, device=wanted.device)
    return (uniform if draft_probs is None else uniform * draft_probs.gather(2, token)[:, :, 0]) < wanted


def residual(target: Tensor, draft: Tensor) -> Tensor:
    """norm(max(p - q, 0)), [..., V]: what a token is drawn from in place of a rejected draft.

    Where p nowhere exceeds q the two are the same distribution to rounding, a rejection had next to no chance, and p itself is taken.
    """
    excess = (target - draft).clamp_(min=0)
    total = excess.sum(-1, keepdim=True)
    return torch.where(total > 0, excess / total.clamp(min=torch.finfo(excess.dtype).tiny), target)


def _check_shapes(draft_tokens: Tensor, draft_probs: Tensor | None, target_probs: Tensor) -> None:
    rows, count = draft_tokens.shape
    if target_probs.shape[:2] != (rows, count + 1):
        raise ValueError(f"{count} drafts need {count + 1} target distributions a row, not {tuple(target_probs.shape)}")
    if draft_probs is not None and draft_probs.shape != (rows, count, target_probs.shape[-1]):
        raise ValueError(f"{count} drafts need as many draft distributions over {target_probs.shape[-1]} tokens, not {tuple(draft_probs.shape)}")
