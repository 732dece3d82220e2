"""`llmopt quantize`: from a request to a checkpoint and what it cost."""

from __future__ import annotations

import resource
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path

import torch
from torch import Tensor, nn

from core import text
from core.calibration.windows import calibration_windows
from core.errors import RunFailed
from core.formats.compressed_tensors import CompressedTensors, CompressedWeights
from core.formats.shards import ShardWriter, check_output
from core.models.card import ModelCard
from core.models.files import read_object
from core.models.resolve import resolve
from core.models.source import ModelSource, require_folder
from core.models.streaming import StreamedModel, load_tokenizer
from core.models.structure import find_linears
from core.numerics.activations import round_tokens
from core.quantize.check import check
from core.quantize.evaluation import Evaluation, Measured
from core.quantize.methods import METHODS
from core.quantize.naming import checkpoint_folder
from core.quantize.readme import write_readme
from core.quantize.result import LayerFigures, QuantizeMetrics, QuantizeResult
from core.quantize.spec import QuantizeSpec
from core.quantize.steps import Steps
from core.quantize.stream import quantized_linears
from core.runs.context import RunContext


@dataclass
class Written:
    """A checkpoint on disk and what making it showed."""

    folder: Path
    scheme: CompressedTensors
    layers: list[LayerFigures] = field(default_factory=list)
    cosines: list[float] = field(default_factory=list)
    """Of the outputs of each linear, where they were measured."""
    notes: list[str] = field(default_factory=list)
    bytes: int = 0
    """Of all tensors."""


def run(spec: QuantizeSpec, context: RunContext) -> QuantizeResult:
    """Quantize, write the checkpoint, measure it beside the original, and put a README with the figures into it.

    Raises:
        RequestError: the request does not fit the model; found before any long work.
        RunFailed: the work could not be finished; no unfinished checkpoint is left under its final name.
        Cancelled: by the person.
    """
    began = time.monotonic()
    source = resolve(spec.model)
    card, folder = source.card(), require_folder(source)
    fit = check(spec, card)
    out = Path(spec.out) if spec.out else context.artifacts / checkpoint_folder(source, spec)
    check_output(out)
    evaluation = Evaluation.prepare(source, spec.text, spec.eval_tokens, spec.context) if spec.eval_tokens else None
    windows, calibration = calibration_of(spec, source)
    steps = Steps(context, fit.linears + (evaluation.steps(2, card.layers) if evaluation else 0))
    for warning in fit.warnings:
        context.log(warning)

    dtype = arithmetic(card, context.device)
    with StreamedModel.open(source, dtype, context.device) as streamed:
        written = write_checkpoint(spec, streamed, windows, out, steps)
        quantized_at = time.monotonic()
        measured = None
        if evaluation is not None:
            with open_quantized(source, written, streamed) as quantized:
                measured = evaluation.measure(streamed, {"quantized": quantized}, steps.step)
    result = QuantizeResult(
        model=source.title,
        method=spec.method,
        bits=spec.bits,
        granularity=spec.granularity,
        group_size=written.scheme.group_size,
        symmetric=spec.symmetric,
        format=written.scheme.format,
        out=str(out.absolute()),
        parameters=card.parameters,
        calibration=calibration,
        error_of="weights" if windows is None else "outputs",
        metrics=_metrics(card, folder, written, measured, quantized_at - began, time.monotonic() - began),
        evaluation=measured.convention if measured else None,
        layers=tuple(written.layers),
        notes=tuple(written.notes),
    )
    write_readme(out, result)
    context.artifact(out, "checkpoint")
    for name, value in result.metrics.model_dump(exclude_none=True).items():
        context.metric(name, value)
    return result


def scheme_of(spec: QuantizeSpec) -> CompressedTensors:
    """How the checkpoint stores what a spec asks for."""
    group_size = spec.group_size if spec.granularity == "group" else None
    return CompressedTensors(spec.bits, spec.symmetric, spec.granularity, group_size, spec.activation_bits, spec.act_order)


def arithmetic(card: ModelCard, device: str) -> torch.dtype:
    """Float32 on a CPU, where it costs little; the checkpoint's own elsewhere."""
    return torch.float32 if device == "cpu" else {"float16": torch.float16, "float32": torch.float32}.get(card.dtype, torch.bfloat16)


def calibration_of(spec: QuantizeSpec, source: ModelSource, *, always: bool = False) -> tuple[Tensor | None, str | None]:
    """Calibration tokens [N, T] and where they are from; None when the method looks at none, unless `always`."""
    if not (always or METHODS[spec.method].calibrated):
        return None, None
    corpus = text.load(spec.calibration, split="train")
    windows = calibration_windows(corpus, load_tokenizer(source), spec.calibration_samples, spec.calibration_length, spec.seed)
    return windows, f"{corpus.name}, {len(windows)} x {spec.calibration_length} tokens, seed {spec.seed}"


def write_checkpoint(spec: QuantizeSpec, streamed: StreamedModel, windows: Tensor | None, out: Path, steps: Steps) -> Written:
    """Quantize block by block and write each linear as soon as it is finished; then copy all other tensors as they are."""
    scheme = scheme_of(spec)
    written = Written(out, scheme)
    steps.say("calibrating" if windows is not None else "reading")
    with ShardWriter(out) as writer:
        done: set[str] = set()
        for index, linear in enumerate(quantized_linears(streamed, spec, windows, steps.check_cancelled)):
            if not scheme.can_compress(linear.tensor):
                raise RunFailed(f"{linear.figures.name} cannot be stored as {scheme.format}: report this with the spec.json of the run")
            for name, tensor in scheme.compress(linear.name, linear.tensor).items():
                writer.add(name, tensor.cpu())
            done.add(f"{linear.name}.weight")
            written.layers.append(linear.figures)
            written.notes += [f"{linear.figures.name}: {note}" for note in linear.tensor.notes]
            if linear.output_cosine is not None:
                written.cosines.append(linear.output_cosine)
            steps.layer(index, linear.figures)
        in_blocks = (name for index in range(streamed.n_blocks) for name in streamed.block_tensors(index))
        for name in (*in_blocks, *streamed.non_block_tensors()):
            if name not in done:
                steps.check_cancelled()
                writer.add(name, streamed.read_tensor(name))
        config = read_object(streamed.folder / "config.json") | {"quantization_config": scheme.config(_kept_linears(streamed, done))}
        steps.say("writing")
        writer.finish(config, streamed.folder)
        written.bytes = writer.nbytes
    return written


def open_quantized(source: ModelSource, written: Written, original: StreamedModel) -> StreamedModel:
    """The written checkpoint as a streamed model, its linears read from the files and dequantized as they are needed."""
    overlay = CompressedWeights(written.folder, written.scheme, torch.float32, original.checkpoint_name)
    streamed = StreamedModel.open(source, original.dtype, str(original.device), overlay)
    if written.scheme.activation_bits == 8:
        for block in streamed.blocks.modules:
            for linear in find_linears(block).values():
                linear.register_forward_pre_hook(lambda _module, arguments: (round_tokens(arguments[0]), *arguments[1:]))
    return streamed


def _kept_linears(streamed: StreamedModel, quantized: set[str]) -> list[str]:
    linears = (name for name, module in streamed.model.named_modules() if isinstance(module, nn.Linear))
    return [name for name in linears if streamed.checkpoint_name(f"{name}.weight") not in quantized]


def _metrics(
    card: ModelCard, folder: Path, written: Written, measured: Measured | None, seconds_quantizing: float, seconds: float
) -> QuantizeMetrics:
    after = sum(file.stat().st_size for file in written.folder.glob("*.safetensors"))
    weights = sum(layer.rows * layer.columns for layer in written.layers)
    figures: dict[str, float] = {}
    if measured is not None:
        found = measured.others["quantized"]
        shared = ("ppl_ratio", "ln_ppl_ratio", "ln_ppl_ratio_se", "kl_mean", "kl_se", "top1_agreement", "top1_se")
        figures = {"ppl_before": found.ppl_ref, "ppl_after": found.ppl} | {name: getattr(found, name) for name in shared}
    return QuantizeMetrics(
        **figures,
        bytes_before=card.file_bytes or sum(file.stat().st_size for file in folder.glob("*.safetensors")),
        bytes_after=after,
        bits_per_weight=8 * written.bytes / card.parameters,
        bits_per_quantized_weight=8 * sum(layer.bytes for layer in written.layers) / weights,
        layer_error_mean=sum(layer.error for layer in written.layers) / len(written.layers),
        seconds=seconds,
        seconds_quantizing=seconds_quantizing,
        seconds_evaluating=seconds - seconds_quantizing if measured else 0.0,
        peak_rss_bytes=peak_rss_bytes(),
    )


def peak_rss_bytes() -> int:
    """Largest resident set of this process so far."""
    try:
        for line in Path("/proc/self/status").read_text().splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024
    except OSError:
        pass
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)
