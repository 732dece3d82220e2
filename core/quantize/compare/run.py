"""One model quantized in several ways: sizes, errors, perplexities and divergences side by side, with the data of four charts."""

from __future__ import annotations

import time
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from statistics import fmean

from torch import Tensor

from core.calibration.blocks import calibrated_blocks
from core.context import RunContext
from core.errors import RequestError
from core.evaluate.compared import Evaluation
from core.evaluate.result import Divergence
from core.formats.writing.scratch import scratch_folder
from core.measure.peak_memory import peak_rss_bytes
from core.models.card import ModelCard
from core.models.disk.headers import model_tensors
from core.models.resolve import resolve
from core.models.source import require_folder
from core.models.stream.arithmetic import arithmetic
from core.models.stream.streaming import StreamedModel
from core.models.structure import find_linears
from core.numerics.errors import OutputError, WeightError, output_error, weight_error
from core.numerics.widths import packed_words
from core.quantize.compare.charts import granularity_errors, histogram, memory_bars, scatter
from core.quantize.compare.check import check
from core.quantize.compare.result import Charts, CompareRow, Histogram, QuantizeCompareResult, Scatter
from core.quantize.compare.scratch import write_e5m2
from core.quantize.compare.spec import PICTURES, Pictures, QuantizeCompareSpec, Variant
from core.quantize.pipeline.checkpoint import check_weights, write_checkpoint
from core.quantize.pipeline.inputs import calibration_windows_of
from core.quantize.pipeline.written import Written
from core.quantize.result import LayerFigures
from core.quantize.spec import INTEGER
from core.runs.steps import Steps
from core.sanitize import clean


@dataclass
class _Made:
    """One variant, on disk for as long as the comparison lasts."""

    written: Written
    seconds: float
    of_weights: list[WeightError] = field(default_factory=list)
    of_outputs: list[OutputError] = field(default_factory=list)


def run(spec: QuantizeCompareSpec, context: RunContext) -> QuantizeCompareResult:
    """Quantize, measure and compare; the checkpoints are removed at the end.

    Raises:
        RequestError: the request does not fit the model; found before any long work.
        RunFailed: the work could not be finished.
        Cancelled: by the user.
    """
    began = time.monotonic()
    source = resolve(spec.model)
    card, folder = source.card(), require_folder(source)
    variants = spec.variants
    linears = max(fit.linears for fit in check(spec, card))
    evaluation = Evaluation.prepare(source, spec.text, spec.eval_tokens, spec.context)
    windows, calibration = calibration_windows_of(spec.of(variants[0]), source)
    steps = Steps(context, linears * (len(variants) + 1) + evaluation.steps(len(variants) + 1, card.layers))
    with scratch_folder(context.artifacts) as scratch, StreamedModel.open(source, arithmetic(card, context.device), context.device) as original:
        shown = _shown_linear(spec, original)
        check_weights(original, steps)
        made = {variant: _make(spec, variant, original, windows, scratch, steps) for variant in variants}
        with ExitStack() as stack:
            opened = {variant: stack.enter_context(found.written.open(original)) for variant, found in made.items()}
            pictures = _measure_errors(spec, original, windows, made, opened, shown, steps)
            measured = evaluation.measure(original, {variant.name: model for variant, model in opened.items()}, steps.step)
    weights = {f"{layer.name}.weight" for layer in made[variants[0]].written.layers}
    kept = sum(location.info.nbytes for name, location in model_tensors(folder).items() if name not in weights)
    rows = tuple(_row(spec, variant, found, measured.others[variant.name], card, kept) for variant, found in made.items())
    for row in rows:
        for name in ("ppl", "kl_mean", "relative_error", "output_cosine", "bytes"):
            context.metric(name, getattr(row, name), label=row.title)
    return QuantizeCompareResult(
        set=spec.set,
        model=source.title,
        parameters=card.parameters,
        bytes_before=card.file_bytes,
        ppl_before=measured.original.ppl,
        ppl_before_se=measured.original.ppl_se,
        rows=rows,
        charts=_charts(PICTURES[spec.set], made, rows, pictures, card.file_bytes, kept),
        evaluation=measured.convention,
        calibration=calibration,
        seconds=time.monotonic() - began,
        peak_rss_bytes=peak_rss_bytes(),
        notes=tuple(f"{variant.title(spec.group_size)}: {note}" for variant, found in made.items() for note in found.written.notes),
    )


def _shown_linear(spec: QuantizeCompareSpec, original: StreamedModel) -> str:
    """Full name of the linear whose weights are drawn."""
    names = [f"{original.block_prefix(index)}{name}" for index, block in enumerate(original.blocks.modules) for name in find_linears(block)]
    if spec.linear is None:
        return names[0]
    if spec.linear not in names:
        raise RequestError(f"the model has no linear {clean(spec.linear, limit=80)!r}: its names look like {names[0]}")
    return spec.linear


def _make(spec: QuantizeCompareSpec, variant: Variant, original: StreamedModel, windows: Tensor, scratch: Path, steps: Steps) -> _Made:
    began = time.monotonic()
    if variant.fp8_format == "e5m2":
        return _Made(write_e5m2(spec.of(variant), original, scratch / variant.name, steps), time.monotonic() - began)
    needed = windows if spec.of(variant).calibrates else None
    written = write_checkpoint(spec.of(variant), original, needed, scratch / variant.name, steps, whole=False)
    return _Made(written, time.monotonic() - began)


def _measure_errors(
    spec: QuantizeCompareSpec,
    original: StreamedModel,
    windows: Tensor,
    made: dict[Variant, _Made],
    opened: dict[Variant, StreamedModel],
    shown: str,
    steps: Steps,
) -> tuple[Histogram, Scatter]:
    """Walk the original once; compare every linear with all variants on the same inputs; draw the one that is shown."""
    pictures: tuple[Histogram, Scatter] | None = None
    for block in calibrated_blocks(original, windows, steps.check_cancelled):
        for group in block.groups:
            hessian = block.statistics(group).hessian
            for name in group.names:
                full = f"{original.block_prefix(block.index)}{name}"
                weight = block.linears[name].weight.detach().float()
                found = {variant: model.overlay[f"{full}.weight"].to(weight.device) for variant, model in opened.items()}
                for variant, approximation in found.items():
                    made[variant].of_weights.append(weight_error(weight, approximation))
                    made[variant].of_outputs.append(output_error(weight, approximation, hessian))
                if full == shown:
                    drawn = PICTURES[spec.set]
                    series = {variant.title(spec.group_size): found[variant] for variant in drawn.scatter}
                    title = drawn.histogram.title(spec.group_size)
                    pictures = histogram(full, weight, found[drawn.histogram], title), scatter(full, weight, series, spec.seed)
                steps.step(f"measured {full}")
    assert pictures is not None
    return pictures


def _row(spec: QuantizeCompareSpec, variant: Variant, made: _Made, found: Divergence, card: ModelCard, kept: int) -> CompareRow:
    layers = made.written.layers
    packed = sum(layer.bytes for layer in layers)
    return CompareRow(
        name=variant.name,
        title=variant.title(spec.group_size),
        method=variant.method,
        bits=variant.bits,
        granularity=variant.granularity,
        group_size=spec.group_size if variant.granularity == "group" else None,
        fp8_format=variant.fp8_format,
        activation_bits=variant.activation_bits,
        bytes=packed + kept,
        ratio=card.file_bytes / (packed + kept),
        bits_per_weight=8 * (packed + kept) / card.parameters,
        bits_per_quantized_weight=8 * packed / sum(layer.rows * layer.columns for layer in layers),
        mean_error=fmean(error.mean_absolute for error in made.of_weights),
        max_error=max(error.maximum_absolute for error in made.of_weights),
        relative_error=fmean(error.relative for error in made.of_weights),
        output_error=fmean(error.relative for error in made.of_outputs),
        output_cosine=fmean(error.cosine for error in made.of_outputs),
        ppl=found.ppl,
        ppl_ratio=found.ppl_ratio,
        kl_mean=found.kl_mean,
        kl_se=found.kl_se,
        top1_agreement=found.top1_agreement,
        top1_se=found.top1_se,
        seconds=made.seconds,
    )


def _charts(
    drawn: Pictures, made: dict[Variant, _Made], rows: tuple[CompareRow, ...], pictures: tuple[Histogram, Scatter], before: int, kept: int
) -> Charts:
    scales = {variant.name: sum(layer.bytes - _code_bytes(variant, layer) for layer in found.written.layers) for variant, found in made.items()}
    names = [layer.name for layer in made[drawn.per_channel].written.layers]
    channel, tensor = ([error.relative for error in made[variant].of_weights] for variant in (drawn.per_channel, drawn.per_tensor))
    return Charts(
        histogram=pictures[0],
        scatter=pictures[1],
        granularity=granularity_errors(drawn.per_channel.bits, names, channel, tensor),
        memory=memory_bars(before, kept, rows, scales),
    )


def _code_bytes(variant: Variant, layer: LayerFigures) -> int:
    """Integers fill whole words a row, all else is dense."""
    if variant.method in INTEGER:
        return 4 * layer.rows * packed_words(layer.columns, variant.bits)
    return -(-layer.rows * layer.columns * variant.bits // 8)
