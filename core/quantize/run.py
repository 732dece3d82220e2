"""`llmopt quantize`: from a request to a checkpoint and its quality loss."""

from __future__ import annotations

import time
from pathlib import Path

from core.context import RunContext
from core.evaluate.compared import Evaluation, Measured
from core.formats.writing.readme import write_readme
from core.formats.writing.shards import check_output
from core.measure.peak_memory import peak_rss_bytes
from core.models.card import ModelCard
from core.models.resolve import resolve
from core.models.source import require_folder
from core.models.stream.arithmetic import arithmetic
from core.models.stream.streaming import StreamedModel
from core.quantize.check import check
from core.quantize.methods import METHODS
from core.quantize.naming import checkpoint_folder
from core.quantize.pipeline.checkpoint import check_weights, finished_checkpoint, remember_checkpoint, write_checkpoint
from core.quantize.pipeline.inputs import calibration_arithmetic, calibration_windows_of
from core.quantize.pipeline.kept_zeros import notes_on_zeros, sparsity_of
from core.quantize.pipeline.readme import readme
from core.quantize.pipeline.written import Written
from core.quantize.result import MixedFigures, QuantizeMetrics, QuantizeResult
from core.quantize.spec import QuantizeSpec
from core.quantize.whole.mixed import PLAN
from core.runs.checkpoint_room import make_room
from core.runs.identity import identity_of
from core.runs.resume_store import ResumeStore, was_stopped
from core.runs.state.saved import versions
from core.runs.steps import Steps


def run(spec: QuantizeSpec, context: RunContext) -> QuantizeResult:
    """Quantize, write the checkpoint, measure it against the original, and put a README with the figures into it.

    Raises:
        RequestError: the request does not fit the model; found before any long work.
        RunFailed: the work could not be finished; no unfinished checkpoint is left under its final name.
        Cancelled: by the user.
    """
    began = time.monotonic()
    source = resolve(spec.model)
    card, folder = source.card(), require_folder(source)
    spec = spec.settled(card)
    method, request = METHODS[spec.method], spec.request
    stopped = was_stopped(context.kept)
    # A run that was stopped while it evaluated has its checkpoint already.
    fit = check(spec.model_copy(update={"out": None}) if stopped else spec, card)
    out = Path(spec.out).expanduser() if spec.out else context.artifacts / checkpoint_folder(source, spec)
    if not stopped:
        check_output(out)
    evaluation = Evaluation.prepare(source, spec.text, spec.eval_tokens, spec.context) if spec.eval_tokens else None
    windows, calibration = calibration_windows_of(spec, source) if spec.calibrates else (None, None)
    calibrating = calibration_arithmetic(spec, card, context.device)
    identity = identity_of(spec.model_dump(mode="json"), folder, windows, calibrating, context.device, versions())
    store = ResumeStore(context.kept, identity, context.log)
    quantizing = fit.linears + method.extra_steps(request, fit.linears)
    steps = Steps(context, quantizing + (evaluation.steps(2, card.layers) if evaluation else 0), store)
    for warning in fit.warnings:
        context.log(warning)

    with StreamedModel.open(source, calibrating, context.device) as streamed:
        written = finished_checkpoint(spec, store, out)
        if written is not None:
            steps.skip(quantizing)
        else:
            make_room(store, out, context.artifacts, context.log)
            check_weights(streamed, steps)
            written = write_checkpoint(spec, streamed, windows, out, steps)
            remember_checkpoint(store, written)
    quantized_at = time.monotonic()
    measured = None
    if evaluation is not None:
        evaluation = evaluation.cut_by(written.own.tokenizer() if written.own else None)
        with StreamedModel.open(source, arithmetic(card, context.device), context.device) as original, written.open(original) as quantized:
            measured = evaluation.measure(original, {"quantized": quantized}, steps.step)
        if written.own is not None:
            steps.say("comparing with the engine")
            written.notes += written.own.notes(evaluation.windows.tokens, measured.nll["quantized"], lambda _: steps.check_cancelled())
    written.notes += notes_on_zeros(written.layers)
    bits, group_size = method.nominal(request)
    result = QuantizeResult(
        model=source.title,
        method=spec.method,
        bits=bits,
        granularity=spec.granularity,
        group_size=group_size,
        symmetric=spec.symmetric,
        format=written.format,
        scheme=written.scheme,
        description=method.description(request),
        out=str(out.absolute()),
        parameters=card.parameters,
        calibration=calibration,
        error_of="outputs" if windows is not None and method.measures_outputs else "weights",
        metrics=_metrics(
            card, folder, written, measured, store.seconds_before + quantized_at - began, store.seconds_before + time.monotonic() - began
        ),
        evaluation=measured.convention if measured else None,
        layers=tuple(written.layers),
        mixed=MixedFigures.model_validate(plan) if (plan := store.get(PLAN)) is not None else None,
        notes=tuple(written.notes),
    )
    write_readme(out, readme(result))
    context.artifact(out, "checkpoint")
    for name, value in result.metrics.model_dump(exclude_none=True).items():
        context.metric(name, value)
    return result


def _metrics(
    card: ModelCard, folder: Path, written: Written, measured: Measured | None, seconds_quantizing: float, seconds: float
) -> QuantizeMetrics:
    after = sum(file.stat().st_size for pattern in ("*.safetensors", "model*.gguf") for file in written.folder.glob(pattern))
    weights = sum(layer.rows * layer.columns for layer in written.layers)
    figures: dict[str, float] = {}
    if measured is not None:
        found = measured.others["quantized"]
        figures = {"ppl_before": found.ppl_ref, "ppl_after": found.ppl} | measured.quality_of("quantized")
    return QuantizeMetrics(
        **figures,
        bytes_before=card.file_bytes or sum(file.stat().st_size for file in folder.glob("*.safetensors")),
        bytes_after=after,
        bits_per_weight=8 * written.bytes / card.parameters,
        bits_per_quantized_weight=8 * sum(layer.bytes for layer in written.layers) / weights,
        sparsity=sparsity_of(written.layers),
        layer_error_mean=sum(layer.error for layer in written.layers) / len(written.layers),
        seconds=seconds,
        seconds_quantizing=seconds_quantizing,
        seconds_evaluating=seconds - seconds_quantizing if measured else 0.0,
        peak_rss_bytes=peak_rss_bytes(),
    )
