"""Self-speculation: the target drafts for itself with some of its blocks left out (Zhang et al., arXiv 2309.08168), over the same weights."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, TypeVar, cast

from torch import nn

from core.models.structure import find_blocks

if TYPE_CHECKING:
    from transformers import PreTrainedModel

Module = TypeVar("Module", bound=nn.Module)

_DEPTHS = ("num_hidden_layers", "n_layer", "num_layers", "n_layers")


def with_blocks(model: PreTrainedModel, kept: Sequence[int]) -> PreTrainedModel:
    """A model of some of the blocks of another, in their order, that shares its weights.

    Modules are copied as shells around the same parameters, so that each block may count its place in the cache anew.
    """
    shared = _share(cast(nn.Module, model), {})
    found = find_blocks(shared)
    blocks = nn.ModuleList(found.modules[index] for index in kept)
    parent, _, name = found.path.rpartition(".")
    setattr(shared.get_submodule(parent), name, blocks)
    for place, block in enumerate(blocks):
        for module in block.modules():
            if hasattr(module, "layer_idx"):
                cast(Any, module).layer_idx = place
    _shorten(shared, kept)
    return cast("PreTrainedModel", shared)


def _share(module: Module, known: dict[int, nn.Module]) -> Module:
    """Copies of a module and all inside it, around the same parameters and buffers; what occurs twice is copied once."""
    if id(module) not in known:
        shell = copy.copy(module)
        known[id(module)] = shell
        shell._modules = {name: None if child is None else _share(child, known) for name, child in module._modules.items()}
    return cast(Module, known[id(module)])


def _shorten(model: nn.Module, kept: Sequence[int]) -> None:
    """Tell every module of the configuration that there are fewer blocks, each of the kind that it was."""
    copies: dict[int, Any] = {}
    for module in model.modules():
        config = getattr(module, "config", None)
        if config is None:
            continue
        if id(config) not in copies:
            copies[id(config)] = _shorter(config, kept)
        module.config = copies[id(config)]


def _shorter(config: Any, kept: Sequence[int]) -> Any:
    shorter = copy.deepcopy(config)
    text = shorter.get_text_config(decoder=True) if hasattr(shorter, "get_text_config") else shorter
    kinds = getattr(text, "layer_types", None)
    if kinds:
        text.layer_types = [kinds[index] for index in kept]
    for name in _DEPTHS:
        if isinstance(getattr(text, name, None), int):
            setattr(text, name, len(kept))
    return shorter
