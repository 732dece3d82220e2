"""Open a model whether its weights are plain or quantized, a folder or a GGUF file, ours or anybody's: dequantized as it is read."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from core.errors import RequestError
from core.formats.gguf.read.opening import file_tokenizer, open_gguf
from core.formats.layouts.compressed_tensors.config_groups import ConfigGroups
from core.formats.registry import FORMATS, read_format
from core.formats.weights import QuantizedWeights
from core.models.config.quantization import quantization_of, stated_where
from core.models.consistency import of_the_cache
from core.models.disk.files import read_object, shown
from core.models.disk.headers import model_tensors
from core.models.disk.weight_plan import plan_weights
from core.models.load import load_model, load_tokenizer
from core.models.source import ModelSource, require_folder
from core.models.stream.skeleton import build_skeleton
from core.models.stream.streaming import Stored, StreamedModel
from core.models.structure import find_linears
from core.numerics.activations import ActivationQuantizer
from core.numerics.packed.linears import use_packed
from core.sanitize import clean

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

Activations = Callable[[str], ActivationQuantizer | None]
"""From a weight's name in the model to how the inputs of its linear are rounded."""


def open_streamed(
    source: ModelSource | Path, dtype: torch.dtype | None = None, device: str = "cpu", overlay: Mapping[str, Tensor] | None = None
) -> StreamedModel:
    """A model, plain or quantized, to be read block by block; arguments as of `StreamedModel.open`.

    The inputs of linears are rounded where the checkpoint says so.

    Raises:
        RequestError: a format that cannot be read, or weights that do not belong to config.json; names the tensor.
    """
    folder = source.path if isinstance(source, ModelSource) else source
    if folder.is_file():
        return open_gguf(folder, dtype, device, overlay)
    weights = quantized_weights(folder)
    if weights is None:
        return StreamedModel.open(folder, dtype, device, overlay)
    streamed = StreamedModel.open(folder, dtype, device, overlay, Stored(weights.tensors, weights))
    round_inputs(streamed, lambda parameter: weights.activations(streamed.checkpoint_name(parameter)))
    return streamed


def open_whole(source: ModelSource | Path, dtype: torch.dtype | None = None, device: str = "cpu") -> PreTrainedModel:
    """A whole model in evaluation mode, quantized linears dequantized; formats that are not known here are left to transformers.

    Raises:
        RequestError: as of `open_streamed`, or of `core.models.load.load_model`.
    """
    folder = source.path if isinstance(source, ModelSource) else source
    if folder.is_file():
        return open_gguf(folder, dtype, device).load_whole()
    config = quantization_of(read_object(folder / "config.json"), folder)
    if config is None or not can_read(config):
        return load_model(folder, dtype, device)
    return open_streamed(folder, dtype, device).load_whole()


def open_packed(source: ModelSource, dtype: torch.dtype | None = None, device: str = "cpu") -> tuple[PreTrainedModel, dict[str, str]]:
    """A whole quantized model whose linears stay packed where torch has a kernel for them; a plain model as it is.

    Returns:
        The model, and the kernel of each linear by its name; empty when nothing is quantized.

    Raises:
        RequestError: as of `open_whole`, a GGUF file, or a format that cannot be read; nothing was loaded then.
    """
    folder = require_folder(source)
    weights = quantized_weights(folder)
    model = open_whole(folder, dtype, device)
    if weights is None:
        return model, {}
    names = {name for name, module in model.named_modules() if isinstance(module, nn.Linear)}
    return model, use_packed(model, {name: weights.stored(name) for name in weights.linears if name in names})


def not_computed(source: ModelSource) -> str | None:
    """What a checkpoint asks of whoever runs it and figures here leave out, as a sentence: a scheme for its KV cache; None when there is nothing."""
    if source.kind == "gguf":
        return None
    config = quantization_of(read_object(source.path / "config.json"), source.path) or {}
    if not config.get("kv_cache_scheme") and not any(of_the_cache(name) for name in model_tensors(source.path)):
        return None
    return (
        f"{source.title} declares a scheme for its KV cache (kv_cache_scheme, k_scale), by which engines round keys and values: it is left out here"
    )


def can_read(config: Mapping[str, object]) -> bool:
    """Whether the method of a `quantization_config`, or of a GGUF file's card, is one that is dequantized here."""
    return config.get("quant_method") in (*FORMATS, "gguf")


def tokenizer_of(source: ModelSource) -> PreTrainedTokenizerBase:
    """The tokenizer of a model folder, or the one that a GGUF file describes. Raises RequestError: there is none that transformers can read."""
    if source.kind != "gguf":
        return load_tokenizer(source)
    return file_tokenizer(source.path)


def quantized_weights(folder: Path) -> QuantizedWeights | None:
    """The dequantized weights of a folder; None when they are plain.

    Raises:
        RequestError: a format that cannot be read, tensors of it that belong to no linear, or none at all.
    """
    contents = read_object(folder / "config.json")
    config = quantization_of(contents, folder)
    if config is None:
        return None
    weights = QuantizedWeights(folder, read_format(config, folder), torch.float32)
    if isinstance(weights.format, ConfigGroups) and weights.format.targets and not all(map(weights.format.named, weights.linears)):
        weights = QuantizedWeights(folder, replace(weights.format, modules=_modules(folder, weights.linears)), torch.float32)
    stray = weights.stray()
    if stray is not None:
        raise RequestError(
            f"the tensor {clean(stray, limit=200)!r} in {shown(folder)} does not belong to any quantized linear: "
            "parts of that linear are missing or stored twice, fetch the checkpoint again"
        )
    if not weights.linears:
        where = stated_where(contents, folder)
        raise RequestError(
            f"{shown(where)} says that the weights are quantized ({weights.format.name}), but no tensor is: "
            f"remove {'quantization_config from it' if where.name == 'config.json' else 'it'}, or fetch the checkpoint again"
        )
    return weights


def _modules(folder: Path, linears: Iterable[str]) -> dict[str, str]:
    """Linears by their name in the checkpoint -> the module that transformers makes of them, where that is called otherwise."""
    plan = plan_weights(build_skeleton(folder, torch.float32), [f"{linear}.weight" for linear in linears])
    made = {group.pieces[0][0].removesuffix(".weight"): group.target.removesuffix(".weight") for group in plan.groups if group.converter is None}
    return {linear: module for linear, module in made.items() if linear != module}


def round_inputs(streamed: StreamedModel, activations: Activations) -> None:
    """Have the linears of a model's blocks round their inputs as their weights say."""
    for index, block in enumerate(streamed.blocks.modules):
        for name, linear in _linears(block).items():
            linear.register_forward_pre_hook(_rounding(activations, f"{streamed.block_prefix(index)}{name}.weight"))


def _linears(block: nn.Module) -> dict[str, nn.Linear]:
    try:
        return find_linears(block)
    except RequestError:  # experts that are fused in memory keep their inputs as they are
        return {name: module for name, module in block.named_modules() if isinstance(module, nn.Linear)}


def _rounding(activations: Activations, parameter: str) -> Callable[[nn.Module, tuple[Tensor, ...]], tuple[Tensor, ...]]:
    """A hook that rounds a linear's inputs as its weight says."""

    def hook(_module: nn.Module, arguments: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        quantizer = activations(parameter)
        return arguments if quantizer is None else (quantizer(arguments[0]), *arguments[1:])

    return hook
