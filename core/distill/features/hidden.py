"""Hidden states after blocks: their mean squared difference as a share of the teacher's mean square, block by block.

Without that share a few channels of huge values would be all that counts. Both sides are taken before the final norm.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn
from torch.nn import functional


def hidden_loss(target: Mapping[str, Tensor], found: Mapping[str, Tensor], counted: Tensor, projections: nn.ModuleDict) -> Tensor:
    """The mean over blocks, float32 [].

    Args:
        target: the teacher's hidden states [B, T, H] by name.
        found: the student's [B, T, h] under the same names.
        counted: positions that count, bool [B, T].
        projections: linears from h to H by name, where widths differ; empty where they agree.
    """
    losses = []
    for name, states in found.items():
        wanted, given = target[name][counted].float(), states[counted]
        if name in projections:
            given = projections[name](given.float())
        losses.append(functional.mse_loss(given.float(), wanted) / wanted.square().mean())
    return torch.stack(losses).mean()


@torch.no_grad()
def fitted_projection(target: Tensor, found: Tensor) -> nn.Linear:
    """The linear without bias that maps the student's states [n, h] nearest to the teacher's [n, H], by least squares."""
    solution = torch.linalg.lstsq(found.double(), target.double(), driver="gelsd").solution
    projection = nn.Linear(found.shape[1], target.shape[1], bias=False, device=found.device)
    projection.weight.copy_(solution.T.float())
    return projection
