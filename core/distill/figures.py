"""From what was trained and measured to the figures of the result."""

from __future__ import annotations

from pathlib import Path

from core.distill.events import HeldOut
from core.distill.measure.gap import gap_closed
from core.distill.result import DistillMetrics, HeldOutFigures
from core.distill.student.trained import Trained
from core.evaluate.compared import Measured
from core.models.card import ModelCard
from core.models.disk.headers import weight_bytes

STUDENT, UNTRAINED = "student", "untrained"


def metrics_of(card: ModelCard, folder: Path, out: Path, parameters: int, trained: Trained, measured: Measured | None, memory: int) -> DistillMetrics:
    """Every figure but the times.

    Args:
        card: of the teacher.
        folder: of the teacher.
        out: of the student.
        parameters: of the student.
        trained: what the training reached.
        measured: quality, None where it was not measured.
        memory: peak resident set in bytes.
    """
    figures: dict[str, float] = {}
    if measured is not None:
        found, before = measured.others[STUDENT], measured.others[UNTRAINED]
        figures = {"ppl_teacher": found.ppl_ref, "ppl_after": found.ppl} | measured.quality_of(STUDENT)
        figures |= {"ppl_untrained": before.ppl, "kl_untrained": before.kl_mean, "top1_untrained": before.top1_agreement}
        gap = gap_closed(measured.original_nll, measured.nll[UNTRAINED], measured.nll[STUDENT])
        figures |= {} if gap is None else {"gap_closed": gap.closed, "gap_closed_se": gap.error}
    return DistillMetrics(
        **figures,
        bytes_teacher=card.file_bytes or weight_bytes(folder),
        bytes_after=weight_bytes(out),
        bits_per_weight=8 * weight_bytes(out) / card.parameters,
        parameters_teacher=card.parameters,
        parameters_after=parameters,
        parameters_ratio=parameters / card.parameters,
        best_step=trained.best_step,
        steps=trained.steps,
        tokens=trained.tokens,
        train_tokens_per_second=trained.tokens_per_second,
        seconds=0.0,
        seconds_training=0.0,
        seconds_evaluating=0.0,
        peak_rss_bytes=memory,
    )


def held_out_of(event: HeldOut) -> HeldOutFigures:
    """What stays of a held-out evaluation in the result."""
    return HeldOutFigures.model_validate(event.model_dump(include=set(HeldOutFigures.model_fields)))
