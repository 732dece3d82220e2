"""Find a decoder's blocks and their linears by how it is built, not by what it is called."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from torch import nn

from core.errors import RequestError
from core.sanitize import clean

_LANGUAGE_DEPTHS = ("num_hidden_layers", "n_layer", "num_layers", "n_layers")


@dataclass(frozen=True)
class Blocks:
    """The decoder blocks of a model."""

    path: str
    """Dotted path of the list, for example `model.layers`."""
    modules: nn.ModuleList

    def prefix(self, index: int) -> str:
        """Prefix of block `index` in the state dict, for example `model.layers.3.`."""
        return f"{self.path}.{index}."


def find_blocks(model: nn.Module) -> Blocks:
    """The list of decoder blocks: the outermost list of modules with matrices, as long as the configuration says.

    Of several lists the one inside the text decoder is taken, then one of the stated length, then the one with most parameters.

    Raises:
        RequestError: the model has no such list.
    """
    lists = {path: module for path, module in model.named_modules() if isinstance(module, nn.ModuleList) and _are_blocks(module)}
    outermost = {path: module for path, module in lists.items() if not any(path.startswith(f"{other}.") for other in lists)}
    if not outermost:
        raise RequestError(
            f"{type(model).__name__} has no list of decoder blocks: only decoders built of repeated blocks can be processed block by block"
        )
    decoder, depth = decoder_path(model), next(_depths(getattr(model, "config", None)), None)

    def preference(item: tuple[str, nn.ModuleList]) -> tuple[bool, bool, int]:
        path, module = item
        return f"{path}.".startswith(decoder), len(module) == depth, sum(parameter.numel() for parameter in module.parameters())

    return Blocks(*max(outermost.items(), key=preference))


def find_linears(block: nn.Module) -> dict[str, nn.Linear]:
    """The linears of a block by their name inside it, in the order in which they are defined.

    Raises:
        RequestError: the block has none, or keeps weights where a method that works on linears would silently miss them
            (GPT-2's transposed Conv1D, experts fused into one tensor).
    """
    for name, module in block.named_modules():
        if type(module).__name__ == "Conv1D":
            raise RequestError(f"{name} is a transposed Conv1D, as GPT-2 has them, and only linears can be compressed: choose another model")
        fused = [leaf for leaf, parameter in module.named_parameters(recurse=False) if parameter.ndim == 3]
        if fused and not isinstance(module, nn.Conv1d | nn.Conv2d):
            raise RequestError(f"{name} keeps its experts fused in {clean(fused[0])}, and only linears can be compressed: choose a dense model")
    linears = {name: module for name, module in block.named_modules() if isinstance(module, nn.Linear)}
    if not linears:
        raise RequestError(f"{type(block).__name__} has no linears to compress: choose another model")
    return linears


def decoder_path(model: nn.Module) -> str:
    """Prefix of the text decoder in the state dict, empty when that is the model itself."""
    get_decoder = getattr(model, "get_decoder", None)
    decoder = get_decoder() if callable(get_decoder) else None
    path = next((path for path, module in model.named_modules() if module is decoder), "")
    return f"{path}." if path else ""


def _are_blocks(modules: nn.ModuleList) -> bool:
    return len(modules) > 0 and all(any(parameter.ndim >= 2 for parameter in module.parameters()) for module in modules)


def _depths(config: object) -> Iterator[int]:
    get_text = getattr(config, "get_text_config", None)
    text = get_text() if callable(get_text) else config
    for name in _LANGUAGE_DEPTHS:
        value = getattr(text, name, None)
        if isinstance(value, int):
            yield value
