"""Write what was quantized as a checkpoint, and open it again block by block."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path

from torch import Tensor, nn

from core.errors import RunFailed
from core.formats.base import Format
from core.formats.layouts.awq import Awq
from core.formats.layouts.compressed_tensors.mixed_widths import MixedWidths
from core.formats.layouts.gptq import Gptq
from core.formats.registry import read_format
from core.formats.writing.copy_rest import copy_rest
from core.formats.writing.shards import ShardWriter
from core.models.disk.files import read_object
from core.models.stream.streaming import StreamedModel
from core.models.structure import find_linears
from core.quantize.pipeline.items import BlockFacts, BlockPassed, ChangedTensor, Item, QuantizedLinear
from core.quantize.pipeline.schemes import scheme_of
from core.quantize.pipeline.solvers import CheckpointWriter, ModelSolver, solver_of
from core.quantize.pipeline.stream import quantized_linears
from core.quantize.pipeline.written import Written, written_as
from core.quantize.progress import report_layer
from core.quantize.result import LayerFigures
from core.quantize.spec import QuantizeSpec
from core.runs.checkpoint_room import remember, remembered
from core.runs.resume_store import KeptBlock, ResumeStore
from core.runs.steps import Steps

_CHECKPOINT = "checkpoint"


def write_checkpoint(spec: QuantizeSpec, streamed: StreamedModel, windows: Tensor | None, out: Path, steps: Steps, *, whole: bool = True) -> Written:
    """Quantize block by block and write each linear as soon as it is finished; then copy all other tensors as they are.

    Args:
        spec: the request.
        streamed: the original model.
        windows: calibration tokens, None for a method that needs none.
        out: folder that receives the checkpoint.
        steps: reports every linear.
        whole: False leaves out the tensors that are not changed, for a checkpoint that is only measured.
    """
    solver = solver_of(spec.method)
    if isinstance(solver, CheckpointWriter):
        return solver.write(spec, streamed, windows, out, steps)
    items = solver.items if isinstance(solver, ModelSolver) else quantized_linears
    scheme = scheme_of(spec)
    written = written_as(out, scheme)
    check_weights(streamed, steps)
    steps.say("calibrating" if windows is not None else "reading")
    with ShardWriter(out) as writer:
        done = _write_blocks(writer, written, items(streamed, spec, windows, steps), scheme, steps)
        if whole:
            copy_rest(writer, streamed, done, steps.check_cancelled)
        own_linears = any(type(linear) is not nn.Linear for block in streamed.blocks.modules for linear in find_linears(block).values())
        stored_as = scheme.config(_kept_linears(streamed, done), dequantize=own_linears)
        config = read_object(streamed.folder / "config.json") | {"quantization_config": stored_as}
        steps.say("writing")
        writer.finish(config, streamed.folder)
        written.bytes = writer.nbytes
    return written


def _write_blocks(writer: ShardWriter, written: Written, items: Iterable[Item], scheme: Format, steps: Steps) -> set[str]:
    """Write what changed as it comes, and keep every finished block; returns the names of the parameters that need not be copied any more."""
    done: set[str] = set()
    kept = KeptBlock({}, BlockFacts())
    for item in items:
        match item:
            case QuantizedLinear():
                stored = {name: tensor.cpu() for name, tensor in _compressed(item, scheme).items()}
                notes = [f"{item.figures.name}: {note}" for note in item.tensor.notes]
                figures = _as_stored(item.figures, stored, scheme)
                _write(writer, written, stored, [figures], notes, steps)
                done.add(f"{item.name}.weight")
                if steps.store.active:
                    kept.tensors.update(stored)
                    kept.facts.linears.append(item.name)
                    kept.facts.layers.append(figures)
                    kept.facts.notes += notes
            case ChangedTensor():
                stored = {item.name: item.tensor.cpu()}
                _write(writer, written, stored, [], [], steps)
                done.add(item.name)
                if steps.store.active:
                    kept.tensors.update(stored)
                    kept.facts.changed.append(item.name)
            case KeptBlock():
                if isinstance(scheme, MixedWidths):
                    scheme.learn(item.facts.linears, item.tensors)
                _write(writer, written, item.tensors, item.facts.layers, item.facts.notes, steps)
                done.update(item.facts.changed, (f"{name}.weight" for name in item.facts.linears))
            case BlockPassed():
                steps.store.save_block(item.index, kept, item.hidden, item.left)
                kept = KeptBlock({}, BlockFacts())
    return done


def _as_stored(figures: LayerFigures, stored: Mapping[str, Tensor], scheme: Format) -> LayerFigures:
    """With the bytes of formats that keep zero points and group indices also where none are needed."""
    if not isinstance(scheme, Gptq | Awq):
        return figures
    return figures.model_copy(update={"bytes": sum(tensor.nbytes for tensor in stored.values())})


def _compressed(linear: QuantizedLinear, scheme: Format) -> dict[str, Tensor]:
    if not scheme.can_compress(linear.tensor):
        reason = scheme.refusal(linear.tensor) if isinstance(scheme, Gptq | Awq) else None
        raise RunFailed(
            f"{linear.figures.name} cannot be stored as {scheme.name} {scheme.scheme}: {reason or 'report this with the spec.json of the run'}"
        )
    return scheme.compress(linear.name, linear.tensor)


def _write(
    writer: ShardWriter, written: Written, tensors: Mapping[str, Tensor], layers: Iterable[LayerFigures], notes: Iterable[str], steps: Steps
) -> None:
    for name, tensor in tensors.items():
        writer.add(name, tensor)
    for figures in layers:
        report_layer(steps, len(written.layers), figures)
        written.layers.append(figures)
    written.notes += notes


def remember_checkpoint(store: ResumeStore, written: Written) -> None:
    """Keep what a finished checkpoint was like, for a run that is stopped while it evaluates."""
    if written.folder.is_dir():
        layers = [layer.model_dump(mode="json") for layer in written.layers]
        remember(store, _CHECKPOINT, written.folder, {"layers": layers, "notes": written.notes, "bytes": written.bytes})


def finished_checkpoint(spec: QuantizeSpec, store: ResumeStore, folder: Path) -> Written | None:
    """The checkpoint that the run had finished before it was stopped; None when there is none, or it was changed since."""
    kept = remembered(store, _CHECKPOINT, folder)
    if kept is None:
        return None
    solver = solver_of(spec.method)
    if isinstance(solver, CheckpointWriter):
        written = solver.reopen(folder)
    else:
        written = written_as(folder, read_format(read_object(folder / "config.json")["quantization_config"], folder))
    written.layers, written.notes, written.bytes = [LayerFigures.model_validate(layer) for layer in kept["layers"]], kept["notes"], kept["bytes"]
    return written


def check_weights(streamed: StreamedModel, steps: Steps) -> None:
    """Read every weight once, so that a damaged one is found before the long work and not in the middle of it.

    Raises:
        RequestError: a tensor holds NaN or Inf, or the blocks hold weights that are not linears and would be missed.
    """
    streamed.check_linears()
    steps.say("checking the weights")
    streamed.check_weights(steps.check_cancelled)


def _kept_linears(streamed: StreamedModel, quantized: set[str]) -> list[str]:
    linears = (name for name, module in streamed.model.named_modules() if isinstance(module, nn.Linear))
    return [name for name in linears if streamed.checkpoint_name(f"{name}.weight") not in quantized]
