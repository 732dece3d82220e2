"""Train a student: life cycle of one distillation, from two loaded models to the parameters of its best step."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from functools import partial
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from core.distill.events import HeldOut
from core.distill.features.matching import FeatureMatching
from core.distill.measure.held_out import HeldOutText
from core.distill.spec import DistillSpec
from core.distill.student.text import TrainingText
from core.distill.student.trained import Trained
from core.distill.teacher.cache import TeacherCache, cache_folder
from core.distill.teacher.objective import kept_batches, kept_distillation
from core.models.predictor import Predictor
from core.models.structure import find_blocks
from core.runs.steps import Steps
from core.runs.training import fit
from core.training.batches import Batch, window_batches
from core.training.chunked import chunked_logits
from core.training.distillation import distillation, with_next_tokens
from core.training.divergences import DIVERGENCES
from core.training.mixture import Mixture
from core.training.precision import fast_bfloat16
from core.training.schedule import SCHEDULES
from core.training.trainer import Settings, Step, Trainer
from core.training.zeros import held_zeros

if TYPE_CHECKING:
    from transformers import PreTrainedModel

_KEEP_EVERY = 50
_CURVE = "held out"
"""Under which evaluations are kept for a run that is resumed."""
_FITTED_WINDOWS = 8
"""On which projections are fitted."""
_LEAST_ZEROS = 0.1
"""Share of zeros from which a linear counts as pruned."""


class Training:
    """One training.

    Args:
        spec: the request.
        teacher: in evaluation mode; its parameters stay as they are.
        student: its parameters are trained.
        teacher_files: states of the teacher's files, by which its predictions on disk are known.
        text: that is learned from; its last `spec.held_out` windows are held out.
        device: of both.
        report: receives every held-out evaluation.
        label: of the training, where a run has several.
    """

    def __init__(
        self,
        spec: DistillSpec,
        teacher: PreTrainedModel,
        student: PreTrainedModel,
        teacher_files: Mapping[str, object],
        text: TrainingText,
        device: str,
        report: Callable[[HeldOut], None],
        label: str = "",
    ) -> None:
        self._spec, self._student, self._report = spec, student, report
        self._teacher: PreTrainedModel | None = teacher
        teacher.requires_grad_(False)
        student.requires_grad_(True)
        self._from, self._to = Predictor.of(teacher), Predictor.of(student)
        words = self._vocabulary = min(text.vocabulary, self._from.words, self._to.words)
        self._windows = text.windows[: -spec.held_out]
        self._counted = None if text.counted is None else text.counted[: -spec.held_out]
        measured = None if text.counted is None else text.counted[-spec.held_out :]
        self._held_out = HeldOutText(text.windows[-spec.held_out :].to(device), self._from, self._to, words, text.tokenizer, measured)
        self._label, self._teacher_files = label, teacher_files
        self._curve: dict[int, HeldOut] = {}
        self._device = device

    def fit(self, steps: Steps, finish: Callable[[], bool] = lambda: False) -> Trained:
        """Train from where an earlier start stopped to the end; the student has the parameters of its best step then.

        Args:
            steps: reports every step, raises to cancel.
            finish: asked after each step: True ends the training with what it has.

        Raises:
            RunFailed: the loss is not a number.
            Cancelled: by the user; the state of the training was kept.
        """
        spec = self._spec
        hold = held_zeros(self._student, _LEAST_ZEROS) if spec.hold_zeros else lambda: None
        mixture = Mixture(DIVERGENCES[spec.divergence], spec.alpha, spec.temperature)
        paces: list[float] = []
        last: list[Step] = []
        self._curve = {event.step: event for event in map(HeldOut.model_validate, steps.store.get(_CURVE) or [])}
        cache = None if spec.teacher == "resident" else self._scored(steps)
        steps.say("measuring the untrained student")
        before = self._measure(0, steps)
        if cache is None:
            draw = window_batches(self._windows, spec.rows, spec.seed, self._counted)
            objective = distillation(self._to, self._from, mixture, self._vocabulary)
        else:
            draw = kept_batches(self._windows, spec.rows, spec.seed, cache, self._counted)
            objective = kept_distillation(self._to, cache.kind, spec.alpha, self._vocabulary)
        trained: nn.Module = self._student
        if spec.features != "none":
            matching = self._matching()
            objective = matching.added_to(objective, spec.feature_weight)
            if len(matching.projections):
                trained = nn.ModuleDict({"student": self._student, "projections": matching.projections})
        trainer = Trainer(
            trained,
            objective,
            lambda step: self._batch(draw(step)),
            self._settings(),
            steps.store.path_for("training.safetensors"),
            held_out=lambda: self._held_out.loss(self._measure(trainer.step, steps), spec.alpha),
            after_step=lambda _step: hold(),
            recompute=find_blocks(self._student).modules if spec.recompute else (),
        )

        def words(step: Step) -> str:
            paces.append(step.tokens_per_second)
            last[:] = [step]
            begin = f"{self._label}: " if self._label else ""
            return f"{begin}step {min(step.step + 1, step.steps)} of {step.steps}, loss {step.loss:.4f}"

        def enough() -> bool:
            if finish():
                return True
            best = trainer.best
            return bool(spec.patience and best and trainer.step - best.step >= spec.patience * spec.evaluate_every)

        steps.say("training")
        fit(trainer, steps, "distill_loss", words, "lower learning-rate", enough=enough)
        if trainer.step not in self._curve:
            trainer.evaluate()
        best, untrained = trainer.best, self._held_out.loss(before, spec.alpha)
        if best is not None and best.held_out < untrained:
            trainer.restore_best()
            with torch.no_grad():
                hold()
        else:
            best = None
        return Trained(
            best_step=best.step if best else 0,
            steps=trainer.step,
            tokens=self._learned(trainer.step),
            tokens_per_second=sorted(paces)[len(paces) // 2] if paces else 0.0,
            loss=dict(last[0].parts) if last else {},
            held_out=list(self._curve.values()),
            after=self._measured(best.step) if best else before,
        )

    def _learned(self, steps: int) -> int:
        """Predictions that counted in so many steps."""
        spec = self._spec
        if self._counted is None:
            return steps * spec.rows * (spec.length - 1)
        draw = window_batches(self._windows, spec.rows, spec.seed, self._counted)
        return sum(draw(step).count for step in range(steps))

    def _matching(self) -> FeatureMatching:
        assert self._teacher is not None
        tokens = self._windows[:_FITTED_WINDOWS].to(self._device)
        return FeatureMatching(self._spec.features, self._teacher, self._student, self._from, self._to, tokens)

    def _scored(self, steps: Steps) -> TeacherCache:
        """The teacher's predictions on disk; what is missing is scored now, then the teacher is given up."""
        spec, teacher = self._spec, self._from
        assert spec.teacher != "resident"
        folder = cache_folder(self._teacher_files, self._windows, spec.teacher, spec.kept_words, self._vocabulary, spec.seed)
        cache = TeacherCache(folder, self._windows, spec.teacher, spec.kept_words, spec.seed, self._vocabulary)
        missing = cache.missing
        steps.skip(cache.parts - len(missing))

        def predict(window: Tensor) -> Tensor:
            return chunked_logits(teacher.hidden(window[None].to(self._device))[0, :-1], teacher, self._vocabulary)

        for number, part in enumerate(missing, 1):
            steps.say(f"keeping the teacher's predictions, part {number} of {len(missing)}")
            cache.score(part, predict)
            steps.skip(1)
        self._teacher, self._from = None, self._from.head_alone()
        self._held_out.give_up_teacher(self._from, steps.check_cancelled)
        return cache

    def _batch(self, batch: Batch) -> Batch:
        return with_next_tokens(batch.to(self._device))

    def _measure(self, step: int, steps: Steps) -> HeldOut:
        began = time.monotonic()
        found = self._held_out.measure(step, check_cancelled=steps.check_cancelled if step == 0 else lambda: None)
        found = found.model_copy(update={"label": self._label})
        self._report(found)
        self._curve[step] = found.model_copy(update={"places": ()})
        steps.store.put(_CURVE, [event.model_dump(mode="json") for event in self._curve.values()])
        for name, value in (("held_out_kl", found.kl), ("held_out_top1", found.top1), ("gap_closed", found.gap_closed)):
            if value is not None:
                steps.measured(name, value, step, self._label)
        steps.measured("held_out_seconds", time.monotonic() - began, step, self._label)
        return found

    def _measured(self, step: int) -> HeldOut:
        training = self._student.training
        self._student.train(False)
        found = self._held_out.measure(step)
        self._student.train(training)
        return found

    def _settings(self) -> Settings:
        spec = self._spec
        bfloat16 = spec.precision == "bfloat16" or (spec.precision == "auto" and self._device.startswith("cuda") and fast_bfloat16(self._device))
        return Settings(
            steps=spec.steps,
            matrix_lr=spec.learning_rate,
            other_lr=spec.learning_rate,
            weight_decay=0.0,
            warmup=round(spec.warmup * spec.steps),
            schedule=partial(SCHEDULES[spec.schedule]),
            checkpoint_every=_KEEP_EVERY,
            autocast=bfloat16,
            muon=False,
            micro_rows=spec.micro_rows,
            evaluate_every=spec.evaluate_every,
        )
