"""Which tensors of a checkpoint make which parameters of a model, by transformers' own renaming and conversion tables."""

from __future__ import annotations

from collections.abc import Callable, Container, Iterable, Iterator, Mapping
from copy import deepcopy
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from torch import Tensor, nn

from core.errors import RequestError
from core.sanitize import clean

if TYPE_CHECKING:
    from transformers import PreTrainedModel

Read = Callable[[str], Tensor]


@dataclass
class Group:
    """Checkpoint tensors that together make one or more parameters."""

    target: str
    """The parameter, or the first of several."""
    converter: Any = None
    """transformers' converter, None when the one tensor is the parameter as it is."""
    pieces: list[tuple[str, str | None]] = field(default_factory=list)
    """(name in the checkpoint, pattern that it matched)."""

    def load(self, read: Read, model: PreTrainedModel) -> dict[str, Tensor]:
        """The parameters that this group makes."""
        if self.converter is None:
            return {self.target: read(self.pieces[0][0])}
        converter = deepcopy(self.converter)
        for name, pattern in self.pieces:
            converter.add_tensor(self.target, name, pattern, read(name))
        made = converter.convert(self.target, model=model, config=model.config)
        return {name: value[0] if isinstance(value, list) else value for name, value in made.items()}


class WeightPlan:
    """Groups of a whole checkpoint."""

    def __init__(self, groups: Iterable[Group], unexpected: Mapping[str, str] | None = None) -> None:
        self.groups = list(groups)
        self.unexpected = unexpected or {}
        """Tensors that no parameter takes: by the name that one would have, their name in the checkpoint."""
        self._names = {group.target: group.pieces[0][0] for group in self.groups if group.converter is None}

    def under(self, prefix: str) -> Iterator[Group]:
        """Groups whose parameters begin with `prefix`."""
        return (group for group in self.groups if group.target.startswith(prefix))

    def checkpoint_name(self, parameter: str) -> str:
        """Name in the checkpoint of a parameter that is stored as it is; the name itself otherwise."""
        return self._names.get(parameter, parameter)


def plan_weights(model: PreTrainedModel, names: Iterable[str]) -> WeightPlan:
    """Match a checkpoint's tensor names with a model's parameters and persistent buffers.

    Raises:
        RequestError: two tensors for one parameter.
    """
    from transformers.conversion_mapping import get_model_conversion_mapping
    from transformers.core_model_loading import WeightConverter, WeightRenaming, dot_natural_key, rename_source_key

    known = dict.fromkeys(model.state_dict(), True)
    transforms = get_model_conversion_mapping(model)
    renamings = [transform for transform in transforms if isinstance(transform, WeightRenaming)]
    converters = [transform for transform in transforms if isinstance(transform, WeightConverter)]
    by_pattern = {pattern: converter for converter in converters for pattern in converter.source_patterns}
    prefix = model.base_model_prefix
    groups: dict[str, Group] = {}
    unexpected: dict[str, str] = {}
    for name in sorted(names, key=dot_natural_key):
        target, pattern = rename_source_key(name, renamings, converters, prefix, known)
        if target not in known and name in known:
            target, pattern = rename_source_key(name, [], [], prefix, known)
        if target not in known:
            unexpected[target] = name
            continue
        converter = by_pattern[pattern] if pattern is not None else None
        group = groups.setdefault(target, Group(target, converter))
        if group.converter is None and group.pieces:
            raise RequestError(f"the checkpoint holds {clean(target, limit=200)!r} twice, once as {clean(name, limit=200)!r}: fetch it again")
        group.pieces.append((name, pattern))
    return WeightPlan(groups.values(), unexpected)


def missing_tensor(name: str, parameters: Container[str], stored: Iterable[str], where: str) -> RequestError:
    """The complaint about a parameter that no tensor makes; names the prefix under which the checkpoint holds the model, if it does.

    Args:
        name: of the parameter.
        parameters: of the model.
        stored: names in the checkpoint.
        where: names the checkpoint, fit to be shown.
    """
    sentence = f"the tensor {clean(name, limit=200)!r} is missing in {where}"
    for tensor in stored:
        parts = tensor.split(".")
        begin = next((at for at in range(1, len(parts)) if ".".join(parts[at:]) in parameters), None)
        if begin is not None and tensor not in parameters:
            prefix = clean(".".join(parts[:begin]), limit=200)
            return RequestError(f"{sentence}, whose tensors have the prefix {prefix!r}: fetch the config.json that belongs to them")
    return RequestError(f"{sentence}: fetch the model again")


def place(model: nn.Module, name: str, tensor: Tensor) -> None:
    """Put a tensor under a dotted name: as a parameter without gradient, or as the buffer that is there.

    Raises:
        RequestError: its shape is not the model's.
    """
    path, _, leaf = name.rpartition(".")
    module = model.get_submodule(path)
    present: Tensor | None = module._parameters.get(leaf)
    if present is None:
        present = module._buffers.get(leaf)
    if present is not None and present.shape != tensor.shape:
        raise RequestError(
            f"the tensor {clean(name, limit=200)!r} has the shape {list(tensor.shape)}, and config.json makes it {list(present.shape)}: "
            "the checkpoint does not belong to its config.json"
        )
    if leaf in module._buffers:
        module._buffers[leaf] = tensor
    else:
        module._parameters[leaf] = nn.Parameter(tensor, requires_grad=False)
