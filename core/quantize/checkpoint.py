"""Write what was quantized as a checkpoint, and open it again block by block."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

import torch
from torch import Tensor, nn

from core.errors import RunFailed
from core.formats.compressed_tensors import CompressedTensors, CompressedWeights
from core.formats.shards import ShardWriter
from core.models.files import read_object
from core.models.source import ModelSource
from core.models.streaming import StreamedModel
from core.models.structure import find_linears
from core.numerics.activations import round_tokens
from core.quantize.result import LayerFigures
from core.quantize.spec import QuantizeSpec
from core.quantize.steps import Steps
from core.quantize.stream import quantized_linears


@dataclass
class Written:
    """A checkpoint on disk and what making it showed."""

    folder: Path
    scheme: CompressedTensors
    layers: list[LayerFigures] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    bytes: int = 0
    """Of all tensors."""


def scheme_of(spec: QuantizeSpec) -> CompressedTensors:
    """How the checkpoint stores what a spec asks for."""
    group_size = spec.group_size if spec.granularity == "group" else None
    return CompressedTensors(spec.bits, spec.symmetric, spec.granularity, group_size, spec.activation_bits, spec.act_order)


def write_checkpoint(spec: QuantizeSpec, streamed: StreamedModel, windows: Tensor | None, out: Path, steps: Steps, *, whole: bool = True) -> Written:
    """Quantize block by block and write each linear as soon as it is finished; then copy all other tensors as they are.

    Args:
        spec: the request.
        streamed: the original model.
        windows: calibration tokens, None for a method that needs none.
        out: folder that receives the checkpoint.
        steps: told of every linear.
        whole: False leaves out the tensors that are not quantized, for a checkpoint that is only measured.
    """
    scheme = scheme_of(spec)
    written = Written(out, scheme)
    steps.say("checking the weights")
    streamed.check_linears()
    streamed.check_weights(steps.check_cancelled)
    steps.say("calibrating" if windows is not None else "reading")
    with ShardWriter(out) as writer:
        done: set[str] = set()
        for index, linear in enumerate(quantized_linears(streamed, spec, windows, steps)):
            if not scheme.can_compress(linear.tensor):
                raise RunFailed(f"{linear.figures.name} cannot be stored as {scheme.format}: report this with the spec.json of the run")
            for name, tensor in scheme.compress(linear.name, linear.tensor).items():
                writer.add(name, tensor.cpu())
            done.add(f"{linear.name}.weight")
            written.layers.append(linear.figures)
            written.notes += [f"{linear.figures.name}: {note}" for note in linear.tensor.notes]
            steps.layer(index, linear.figures)
        for name in _all_tensors(streamed) if whole else ():
            if name not in done:
                steps.check_cancelled()
                writer.add(name, streamed.read_tensor(name))
        own_linears = any(type(linear) is not nn.Linear for block in streamed.blocks.modules for linear in find_linears(block).values())
        stored_as = scheme.config(_kept_linears(streamed, done), dequantize=own_linears)
        config = read_object(streamed.folder / "config.json") | {"quantization_config": stored_as}
        steps.say("writing")
        writer.finish(config, streamed.folder)
        written.bytes = writer.nbytes
    return written


def check_weights(streamed: StreamedModel, steps: Steps) -> None:
    """Read every weight once, so that a damaged one is found before the long work and not in the middle of it.

    Raises:
        RequestError: a tensor holds NaN or Inf, or the blocks hold weights that are not linears and would be missed.
    """
    for block in streamed.blocks.modules:
        find_linears(block)
    steps.say("checking the weights")
    for name in _all_tensors(streamed):
        steps.check_cancelled()
        streamed.read_tensor(name)


def open_quantized(source: ModelSource, written: Written, original: StreamedModel) -> StreamedModel:
    """The written checkpoint as a streamed model, its linears read from the files and dequantized as they are needed."""
    overlay = CompressedWeights(written.folder, written.scheme, torch.float32, original.checkpoint_name)
    streamed = StreamedModel.open(source, original.dtype, str(original.device), overlay)
    if written.scheme.activation_bits == 8:
        for block in streamed.blocks.modules:
            for linear in find_linears(block).values():
                linear.register_forward_pre_hook(lambda _module, arguments: (round_tokens(arguments[0]), *arguments[1:]))
    return streamed


def _all_tensors(streamed: StreamedModel) -> Iterable[str]:
    for index in range(streamed.n_blocks):
        yield from streamed.block_tensors(index)
    yield from streamed.non_block_tensors()


def _kept_linears(streamed: StreamedModel, quantized: set[str]) -> list[str]:
    linears = (name for name, module in streamed.model.named_modules() if isinstance(module, nn.Linear))
    return [name for name in linears if streamed.checkpoint_name(f"{name}.weight") not in quantized]
