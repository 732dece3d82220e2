"""Scales moved between what makes a feature and the linears that read it: where, how, and what a choice of them costs.

Used by AWQ and SmoothQuant, which differ only in how they choose the scales.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from core.calibration.blocks import CalibratedBlock, ModuleCall
from core.calibration.norm_groups import Recipe, ScaleGroup
from core.errors import RequestError
from core.models.disk.headers import model_tensors
from core.models.disk.tensors import TORCH_DTYPES
from core.models.stream.streaming import StreamedModel
from core.numerics.grid import Grid
from core.numerics.products import product_nt
from core.sanitize import clean

RoundInputs = Callable[[Tensor], Tensor]
"""What happens to the inputs of the readers at run time, for inputs and outputs on the original scale."""


@dataclass(frozen=True)
class LoadedGroup:
    """A scale group with the modules of a loaded block."""

    names: ScaleGroup
    source: nn.Module
    readers: tuple[nn.Linear, ...]
    parent: nn.Module

    @property
    def weights(self) -> list[Tensor]:
        """The readers' weights [out, in] in float32; not copies where they are float32 already."""
        return [reader.weight.detach().to(torch.float32) for reader in self.readers]


def family_of(streamed: StreamedModel) -> str:
    """`model_type` of a model's text decoder."""
    return str(streamed.config.get_text_config().model_type)


def stored_dtypes(block: CalibratedBlock, streamed: StreamedModel) -> dict[str, torch.dtype]:
    """Dtype in the checkpoint of a block's parameters, by their name in the block; their dtype in memory where several tensors make one."""
    files, prefix = model_tensors(streamed.folder), streamed.block_prefix(block.index)
    found: dict[str, torch.dtype] = {}
    for name, parameter in block.module.named_parameters():
        location = files.get(streamed.checkpoint_name(f"{prefix}{name}"))
        found[name] = parameter.dtype if location is None else TORCH_DTYPES[location.info.dtype]
    return found


def load_groups(block: CalibratedBlock, groups: Sequence[ScaleGroup], recipe: Recipe, family: str) -> list[LoadedGroup]:
    """Find the modules of a family's groups in a block and check that the block is built as the table says.

    A linear that makes fewer features than its readers read (values with grouped queries), and one whose activation is not a ReLU, cannot
    take scales: its group is left out.

    Raises:
        RequestError: a module is missing or has another shape, something else reads the features, or the readers do not read them.
    """
    for attribute, value in recipe.required:
        if getattr(block.module, attribute, value) is not value:
            raise _unexpected(family, f"its {attribute} is {not value}")
    loaded = [_load(block, group, family) for group in groups]
    kept = [group for group in loaded if _takes_scales(block, group)]
    _check_flow(block, [group for group in kept if group.names.maker != "linear"], family)
    return kept


def fold(group: LoadedGroup, scales: Tensor, stored: Mapping[str, torch.dtype]) -> list[str]:
    """Divide the features of a group by scales [in] > 0 where they are made, and multiply the columns that read them.

    What stays in the checkpoint as it is (a norm's weight, a bias) is rounded to its stored dtype here, and the readers are multiplied by
    what the division came to after rounding, so that rounding cancels.

    Args:
        group: of a loaded block, which is changed in place.
        scales: float32 [in].
        stored: dtype in the checkpoint of the source's parameters, by their name in the block.

    Returns:
        Names in the block of the parameters other than weights of linears that were changed.
    """
    source, name = group.source, group.names.source
    linear = group.names.maker == "linear"
    effective = _divide_rows(source, scales) if linear else _divide_norm(source, scales, group.names.maker, stored[f"{name}.weight"])
    changed = [] if linear else [f"{name}.weight"]
    bias = getattr(source, "bias", None)
    if isinstance(bias, Tensor):
        part = bias.data[-len(effective) :]
        part.copy_((part.float() / effective).to(stored[f"{name}.bias"]))
        changed.append(f"{name}.bias")
    for reader in group.readers:
        reader.weight.data.mul_(effective.to(reader.weight.dtype))
    return changed


def rounded(weight: Tensor, grid: Grid) -> Tensor:
    """A weight float32 [out, in] rounded to nearest on a grid and back."""
    grouped = weight.reshape(len(weight), -1, grid.span(weight.shape[1]))
    scales, zeros = grid.fit(grouped, dim=-1)
    return grid.decode(grid.encode(grouped, scales, zeros), scales, zeros).view_as(weight)


class ParentLoss:
    """Squared error of a parent's outputs, over a sample of its inputs, when its readers get other weights.

    Of a parent that is the reader itself the error is tr(ΔW H ΔWᵀ), with no forward pass.

    Args:
        group: with the weights that count as right.
        calls: what the parent is given.
    """

    def __init__(self, group: LoadedGroup, calls: Sequence[ModuleCall]) -> None:
        self._group, self._calls = group, calls
        self._linear = group.parent is group.readers[0]
        if self._linear:
            inputs = torch.cat([call.args[0].reshape(-1, group.readers[0].in_features) for call in calls]).to(torch.float32)
            self._tall = len(inputs) > inputs.shape[1]
            self._inputs = product_nt(inputs.t().contiguous(), inputs.t().contiguous()) if self._tall else inputs
        self._right: list[Tensor] | None = None

    @torch.no_grad()
    def __call__(self, weights: Sequence[Tensor], round_inputs: RoundInputs | None = None) -> float:
        """The error with these weights [out, in], one a reader, and the readers' inputs passed through `round_inputs`."""
        if self._linear and round_inputs is None:
            return self._of_linear(weights[0] - self._group.weights[0])
        if self._right is None:
            self._right = [call(self._group.parent).to(torch.float32) for call in self._calls]
        with _replaced(self._group.readers, weights, round_inputs):
            outputs = [call(self._group.parent).to(torch.float32) for call in self._calls]
        return sum(float((found - right).square_().sum(dtype=torch.float64)) for found, right in zip(outputs, self._right, strict=True))

    def _of_linear(self, difference: Tensor) -> float:
        product = product_nt(difference, self._inputs)
        return float((product * difference if self._tall else product.square_()).sum(dtype=torch.float64))


@contextmanager
def _replaced(readers: Sequence[nn.Linear], weights: Sequence[Tensor], round_inputs: RoundInputs | None) -> Iterator[None]:
    originals = [reader.weight.data for reader in readers]
    handles = []
    if round_inputs is not None:
        shared = _once_an_input(round_inputs)
        handles = [reader.register_forward_pre_hook(lambda _module, arguments: (shared(arguments[0]), *arguments[1:])) for reader in readers]
    try:
        for reader, weight, original in zip(readers, weights, originals, strict=True):
            reader.weight.data = weight.to(original.dtype)
        yield
    finally:
        for handle in handles:
            handle.remove()
        for reader, original in zip(readers, originals, strict=True):
            reader.weight.data = original


def _once_an_input(round_inputs: RoundInputs) -> RoundInputs:
    """The same rounding, done once for readers that are given the same tensor one after the other."""
    last: list[tuple[Tensor, Tensor]] = []

    def shared(inputs: Tensor) -> Tensor:
        if not last or last[0][0] is not inputs:
            last[:] = [(inputs, round_inputs(inputs))]
        return last[0][1]

    return shared


def _load(block: CalibratedBlock, group: ScaleGroup, family: str) -> LoadedGroup:
    modules = dict(block.module.named_modules())
    missing = next((name for name in (group.source, *group.readers, group.parent) if name not in modules), None)
    if missing is not None:
        raise _unexpected(family, f"it has no {missing}")
    readers = tuple(module for name in group.readers if isinstance(module := modules[name], nn.Linear))
    widths = {reader.in_features for reader in readers}
    if len(readers) < len(group.readers) or len(widths) > 1:
        raise _unexpected(family, f"{', '.join(group.readers)} are not linears of one width")
    source = modules[group.source]
    weight = getattr(source, "weight", None)
    is_linear = isinstance(source, nn.Linear)
    if not isinstance(weight, Tensor) or is_linear != (group.maker == "linear") or (not is_linear and weight.shape != (*widths,)):
        raise _unexpected(family, f"{group.source} has no weight that scales could be moved into")
    return LoadedGroup(group, source, readers, modules[group.parent])


def _takes_scales(block: CalibratedBlock, group: LoadedGroup) -> bool:
    names = group.names
    if names.through and not isinstance(block.module.get_submodule(names.through), nn.ReLU):
        return False
    return not isinstance(group.source, nn.Linear) or group.source.out_features == names.parts * group.readers[0].in_features


def _check_flow(block: CalibratedBlock, groups: Sequence[LoadedGroup], family: str) -> None:
    """Run one window and see that the readers, and no other linears, read what the norms put out."""
    outputs: dict[str, Tensor] = {}
    handles = [
        group.source.register_forward_hook(lambda _module, _arguments, output, name=group.names.source: outputs.setdefault(name, output))
        for group in groups
    ]
    try:
        inputs = block.sample([group.names.readers[0] for group in groups], tokens=1)
    finally:
        for handle in handles:
            handle.remove()
    for group in groups:
        source, readers = group.names.source, group.names.readers
        calls = inputs[readers[0]]
        if source not in outputs or len(calls) != 1 or not torch.equal(outputs[source].flatten(), calls[0].args[0].flatten()):
            raise _unexpected(family, f"{readers[0]} does not read the output of {source}")
        others = {name for found in block.groups if readers[0] in found.names for name in found.names}
        if others != set(readers):
            raise _unexpected(family, f"{source} feeds {', '.join(sorted(others))}")


def _divide_norm(norm: nn.Module, scales: Tensor, maker: str, stored: torch.dtype) -> Tensor:
    """Divide a norm's weight; returns what the division came to after rounding, 1 where it cannot be done."""
    parameter = norm.get_parameter("weight").data
    offset = 1.0 if maker == "norm+1" else 0.0
    before = parameter.float() + offset
    weight = (before / scales - offset).to(stored).float()
    effective = before / (weight + offset)
    possible = torch.isfinite(effective) & (effective > 0)
    parameter.copy_(torch.where(possible, weight, parameter.float()))
    return torch.where(possible, effective, 1.0)


def _divide_rows(linear: nn.Module, scales: Tensor) -> Tensor:
    """Divide the last rows of a linear's weight, as many as there are scales."""
    rows = linear.get_parameter("weight").data[-len(scales) :]
    rows.div_(scales.to(rows.dtype)[:, None])
    return scales


def _unexpected(family: str, what: str) -> RequestError:
    return RequestError(
        f"this checkpoint of the family {clean(family, limit=80)} differs in structure from others ({what}): choose method gptq or rtn"
    )
