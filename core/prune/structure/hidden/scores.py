"""How important each hidden column is, summed over a walk through the model."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor, nn

from core.models.config.families import Family
from core.models.stream.streaming import BlockInputs, StreamedModel
from core.prune.structure.hidden.slices import is_hidden_norm
from core.prune.structure.inputs.activations import ActivationMeans

_CHUNK_TOKENS = 1024


class _Outputs:
    """Sizes of the columns that norms return."""

    def __init__(self, norms: Iterable[nn.Module], width: int) -> None:
        self._means: list[ActivationMeans] = []
        self._handles = [self._watch(norm, width) for norm in norms]

    def close(self) -> Tensor:
        """float32 [H]: the sizes, summed over norms."""
        for handle in self._handles:
            handle.remove()
        return torch.stack([means.size for means in self._means]).sum(dim=0)

    def _watch(self, norm: nn.Module, width: int) -> torch.utils.hooks.RemovableHandle:
        means = ActivationMeans(width, next(norm.parameters()).device)
        self._means.append(means)
        return norm.register_forward_hook(lambda _module, _inputs, output: means.add(output))


class _Energies:
    """Share of each column in the energy of what linears read: ‖W_j‖² E[x_j²] over its sum."""

    def __init__(self, linears: Iterable[nn.Linear]) -> None:
        self._linears = list(linears)
        self._squares = [torch.zeros(linear.in_features, dtype=torch.float64, device=linear.weight.device) for linear in self._linears]
        self._handles = [self._watch(linear, squares) for linear, squares in zip(self._linears, self._squares, strict=True)]

    def close(self) -> Tensor:
        """float32 [H]: the shares, summed over linears."""
        for handle in self._handles:
            handle.remove()
        energies = [
            linear.weight.detach().float().square().sum(dim=0).double() * squares
            for linear, squares in zip(self._linears, self._squares, strict=True)
        ]
        return torch.stack([energy / energy.sum().clamp_min(torch.finfo(torch.float64).tiny) for energy in energies]).sum(dim=0).float()

    def _watch(self, linear: nn.Linear, squares: Tensor) -> torch.utils.hooks.RemovableHandle:
        def take(_module: nn.Module, inputs: tuple[Tensor, ...]) -> None:
            squares.add_(inputs[0].detach().float().flatten(0, -2).square().sum(dim=0))

        return linear.register_forward_pre_hook(take)


@torch.no_grad()
def pass_and_score(streamed: StreamedModel, index: int, inputs: BlockInputs, row: Family, criterion: str) -> Tensor:
    """float32 [H]: what one block says of the columns. The hidden states in `inputs` become those after it.

    Args:
        streamed: the model.
        index: of the block.
        inputs: of all windows.
        row: names of the block's parts.
        criterion: minitron: sizes of what its norms return (arXiv 2407.14679); energy: shares in what its linears read.
    """
    block, width = streamed.load_block(index), inputs.hidden.shape[-1]
    if criterion == "minitron":
        norms = [name.removesuffix(".weight") for name, parameter in block.named_parameters() if is_hidden_norm(name, parameter, width)]
        watch: _Outputs | _Energies = _Outputs([block.get_submodule(name) for name in norms], width)
    else:
        watch = _Energies([linear for name in (*row.qkv, *row.gate_up) if isinstance(linear := block.get_submodule(name), nn.Linear)])
    hidden = inputs.hidden
    step = max(_CHUNK_TOKENS // hidden.shape[1], 1)
    for first in range(0, len(hidden), step):
        hidden[first : first + step] = streamed.run_block(block, hidden[first : first + step], index, inputs, first=first)
    found = watch.close()
    streamed.release_block(index)
    return found
