"""One student trained in several ways on the same text: what each loss is worth, side by side."""

from __future__ import annotations

import time
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import torch

from core.context import RunContext
from core.distill.compare.check import check
from core.distill.compare.result import DistillCompareResult, DistillRow
from core.distill.compare.spec import PROGRAMS, TEXT_ALONE, DistillCompareSpec, Variant
from core.distill.figures import UNTRAINED
from core.distill.measure.gap import gap_closed
from core.distill.naming import recipe_name
from core.distill.spec import DistillSpec
from core.distill.student.start import new_student
from core.distill.student.text import TrainingText
from core.distill.student.train import Training
from core.distill.student.trained import Trained
from core.evaluate.compared import Evaluation, Measured
from core.formats.writing.scratch import scratch_folder
from core.formats.writing.trained import write_trained
from core.measure.neighbours import mean_error
from core.measure.peak_memory import peak_rss_bytes
from core.models.card import ModelCard
from core.models.disk.headers import weight_bytes
from core.models.load import load_model
from core.models.resolve import resolve
from core.models.source import require_folder
from core.models.stream.arithmetic import arithmetic
from core.models.stream.streaming import StreamedModel
from core.runs.steps import Steps

if TYPE_CHECKING:
    from transformers import PreTrainedModel


@dataclass(frozen=True)
class _Made:
    folder: Path
    trained: Trained
    seconds: float


def run(spec: DistillCompareSpec, context: RunContext) -> DistillCompareResult:
    """Train, measure and compare; the checkpoints are removed at the end.

    Raises:
        RequestError: the request does not fit the models; found before any long work.
        RunFailed: the work could not be finished.
        Cancelled: by the user.
    """
    began = time.monotonic()
    source = resolve(spec.model)
    card, folder = source.card(), require_folder(source)
    begun = resolve(spec.student) if spec.student is not None else None
    fit = check(spec, card)
    first = spec.of(PROGRAMS[0])
    evaluation = Evaluation.prepare(source, spec.text, spec.eval_tokens, spec.context)
    text = TrainingText.of(first, source, begun)
    dtype = arithmetic(card, context.device)
    steps = Steps(context, len(PROGRAMS) * spec.steps + evaluation.steps(1, card.layers) + (1 + len(PROGRAMS)) * fit.blocks)
    with scratch_folder(context.artifacts) as scratch:
        start = require_folder(begun) if begun is not None else scratch / UNTRAINED
        if begun is None:
            new_student(source, fit.blocks, start, dtype, steps)
        teacher = load_model(folder, torch.float32, context.device)

        made = {variant.title: _make(spec.of(variant), scratch / variant.title, teacher, start, text, steps, context) for variant in PROGRAMS}
        del teacher
        with ExitStack() as stack:
            opened = {
                name: stack.enter_context(StreamedModel.open(path, dtype, context.device))
                for name, path in {UNTRAINED: start, **{name: each.folder for name, each in made.items()}}.items()
            }
            original = stack.enter_context(StreamedModel.open(source, dtype, context.device))
            measured = evaluation.measure(original, opened, steps.step)
        size, parameters = weight_bytes(start), ModelCard.from_folder(start).parameters
    rows = tuple(_row(spec, variant, made[variant.title], measured) for variant in PROGRAMS)
    for row in rows:
        for figure in ("ppl", "kl_mean", "gap_closed"):
            if getattr(row, figure) is not None:
                context.metric(figure, getattr(row, figure), label=row.title)
    return DistillCompareResult(
        model=source.title,
        student=fit.student,
        parameters_teacher=card.parameters,
        parameters=parameters,
        bytes=size,
        bits_per_weight=8 * size / card.parameters,
        ppl_teacher=measured.original.ppl,
        ppl_untrained=measured.others[UNTRAINED].ppl,
        kl_untrained=measured.others[UNTRAINED].kl_mean,
        tokens=next(iter(made.values())).trained.tokens,
        rows=rows,
        evaluation=measured.convention,
        train_text=text.name,
        seconds=time.monotonic() - began,
        peak_rss_bytes=peak_rss_bytes(),
        notes=tuple(text.notes(first)),
    )


def _make(request: DistillSpec, folder: Path, teacher: PreTrainedModel, start: Path, text: TrainingText, steps: Steps, context: RunContext) -> _Made:
    """Train one student and write it as the folder, which is called as the variant is."""
    began = time.monotonic()
    title = folder.name
    steps.say(f"training {title}")
    student = load_model(start, torch.float32, context.device)
    trained = Training(request, teacher, student, {}, text, context.device, context.detail, label=title).fit(steps)
    if trained.best_step:
        write_trained(student, start, folder, steps.check_cancelled)
    return _Made(folder if trained.best_step else start, trained, time.monotonic() - began)


def _row(spec: DistillCompareSpec, variant: Variant, made: _Made, measured: Measured) -> DistillRow:
    request = spec.of(variant)
    nll = measured.nll[variant.title]
    gap = gap_closed(measured.original_nll, measured.nll[UNTRAINED], nll)
    below = None if variant.title == TEXT_ALONE else measured.nll[TEXT_ALONE] - nll
    return DistillRow(
        name=recipe_name(request),
        title=variant.title,
        objective=request.objective,
        ppl=measured.others[variant.title].ppl,
        **measured.quality_of(variant.title),
        gap_closed=None if gap is None else gap.closed,
        gap_closed_se=None if gap is None else gap.error,
        over_text=None if below is None else float(below.mean()),
        over_text_se=None if below is None else mean_error(below.numpy()),
        best_step=made.trained.best_step,
        train_tokens_per_second=made.trained.tokens_per_second,
        seconds=made.seconds,
    )
