"""One model pruned in several ways: sizes, perplexities, divergences and speeds side by side."""

from __future__ import annotations

import time
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from torch import Tensor

from core.calibration.windows import windows_for
from core.context import RunContext
from core.evaluate.compared import Evaluation
from core.evaluate.result import Divergence
from core.formats.writing.scratch import scratch_folder
from core.measure.peak_memory import peak_rss_bytes
from core.models.card import ModelCard
from core.models.resolve import resolve
from core.models.source import ModelSource, require_folder
from core.models.stream.arithmetic import arithmetic
from core.models.stream.streaming import StreamedModel
from core.prune.check import FitCheck
from core.prune.compare.check import judge
from core.prune.compare.result import PruneCompareResult, PruneRow
from core.prune.compare.spec import PruneCompareSpec
from core.prune.methods import METHODS
from core.prune.naming import scheme_name
from core.prune.pipeline.figures import metrics_of
from core.prune.pipeline.speed import Speed, measure_speed
from core.prune.pipeline.writer import Written, writer_of, writing_arithmetic
from core.prune.spec import PruneSpec
from core.runs.steps import Steps

_PROMPT = 128


@dataclass
class _Made:
    """One variant, on disk for as long as the comparison lasts."""

    spec: PruneSpec
    folder: Path
    written: Written
    seconds: float
    speed: Speed | None = None


def run(spec: PruneCompareSpec, context: RunContext) -> PruneCompareResult:
    """Prune, measure and compare; the checkpoints are removed at the end.

    Raises:
        RequestError: no variant fits the model; found before any long work.
        RunFailed: the work could not be finished.
        Cancelled: by the user.
    """
    began = time.monotonic()
    source = resolve(spec.model)
    card, folder = source.card(), require_folder(source)
    judged = judge(spec, card)
    requests = [spec.of(variant) for variant, fit in judged.items() if isinstance(fit, FitCheck)]
    notes = [f"{spec.of(variant).summary()} was left out: {refusal}" for variant, refusal in judged.items() if isinstance(refusal, str)]
    measurable = all(fit.speed_measured for fit in judged.values() if isinstance(fit, FitCheck))
    evaluation = Evaluation.prepare(source, spec.text, spec.eval_tokens, spec.context)
    windows, calibration = windows_for(source, spec.calibration, spec.calibration_samples, spec.calibration_length, spec.seed)
    dtype = arithmetic(card, context.device)
    with scratch_folder(context.artifacts) as scratch:
        with StreamedModel.open(source, dtype, context.device) as original:
            total = sum(writer_of(request.method).steps(request, original) for request in requests)
            blocks = sum(METHODS[request.method].layers_after(request.request, card) for request in requests)
            steps = Steps(context, total + evaluation.steps(1, card.layers) + blocks + len(requests))
            steps.say("checking the weights")
            original.check_weights(steps.check_cancelled)
            made = {scheme_name(request): _make(request, source, card, windows, scratch, steps, context.device) for request in requests}
            with ExitStack() as stack:
                opened = {name: stack.enter_context(StreamedModel.open(each.folder, dtype, context.device)) for name, each in made.items()}
                measured = evaluation.measure(original, opened, steps.step)
        for name, each in made.items():
            if spec.speed_tokens and measurable:
                steps.say(f"measuring the speed of {name}")
                tokens = min(spec.speed_tokens, card.context // 2)
                prompt = windows_for(source, spec.calibration, 1, min(_PROMPT, card.context - tokens), spec.seed)[0][0]
                each.speed = measure_speed(folder, each.folder, card, prompt, tokens, dtype, context.device, steps.say)
            steps.step(f"measured {name}")
        rows = tuple(_row(name, each, measured.others[name], card, folder) for name, each in made.items())
    for row in rows:
        for figure in ("ppl", "kl_mean", "bytes", "sparsity"):
            context.metric(figure, getattr(row, figure), label=row.title)
    return PruneCompareResult(
        model=source.title,
        parameters=card.parameters,
        bytes_before=card.file_bytes,
        ppl_before=measured.original.ppl,
        ppl_before_se=measured.original.ppl_se,
        rows=rows,
        evaluation=measured.convention,
        calibration=calibration,
        seconds=time.monotonic() - began,
        peak_rss_bytes=peak_rss_bytes(),
        notes=(*notes, *(f"{each.spec.summary()}: {note}" for each in made.values() for note in each.written.notes)),
    )


def _make(request: PruneSpec, source: ModelSource, card: ModelCard, windows: Tensor, scratch: Path, steps: Steps, device: str) -> _Made:
    began = time.monotonic()
    folder = scratch / scheme_name(request)
    needed = windows if request.calibrates else None
    with StreamedModel.open(source, writing_arithmetic(request.method, card, device), device) as original:
        written = writer_of(request.method).write(request, original, needed, folder, steps)
    return _Made(request, folder, written, time.monotonic() - began)


def _row(name: str, made: _Made, found: Divergence, card: ModelCard, folder: Path) -> PruneRow:
    metrics = metrics_of(card, folder, made.folder, made.written, None, made.speed, made.spec, 0)
    shared = ("decode_speedup", "decode_speedup_se", "prefill_speedup", "prefill_speedup_se", "sparsity", "bits_per_weight")
    return PruneRow(
        name=name,
        title=made.spec.summary(),
        method=made.spec.method,
        parameters=metrics.parameters_after,
        bytes=metrics.bytes_after,
        ppl=found.ppl,
        ppl_ratio=found.ppl_ratio,
        ln_ppl_ratio_se=found.ln_ppl_ratio_se,
        kl_mean=found.kl_mean,
        kl_se=found.kl_se,
        top1_agreement=found.top1_agreement,
        top1_se=found.top1_se,
        seconds=made.seconds,
        **{figure: getattr(metrics, figure) for figure in shared},
    )
