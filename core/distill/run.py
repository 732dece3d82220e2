"""`llmopt distill`: from a teacher and a student to a better student, and how much of the gap between them was closed."""

from __future__ import annotations

import shutil
import time
from pathlib import Path

import torch

from core.context import RunContext
from core.distill.check import DistillFit, check
from core.distill.figures import STUDENT, UNTRAINED, held_out_of, metrics_of
from core.distill.naming import checkpoint_folder
from core.distill.readme import readme
from core.distill.result import DistillResult
from core.distill.spec import DistillSpec
from core.distill.student.start import new_student
from core.distill.student.text import TrainingText
from core.distill.student.train import Training
from core.distill.student.trained import Trained
from core.distill.teacher.cache import parts_of
from core.evaluate.compared import Evaluation, Measured
from core.formats.writing.output import check_output
from core.formats.writing.readme import write_readme
from core.formats.writing.trained import write_trained
from core.measure.peak_memory import peak_rss_bytes
from core.models.card import ModelCard
from core.models.load import load_model
from core.models.resolve import resolve
from core.models.source import ModelSource, require_folder
from core.models.stream.arithmetic import arithmetic
from core.models.stream.streaming import StreamedModel
from core.runs.checkpoint_room import make_room, remember, remembered
from core.runs.identity import identity_of, states
from core.runs.launch.finish import finish_asked
from core.runs.resume_store import ResumeStore, was_stopped
from core.runs.state.saved import versions
from core.runs.steps import Steps

_WRITTEN = "trained checkpoint"


def remember_checkpoint(store: ResumeStore, folder: Path, trained: Trained) -> None:
    """Keep what a finished checkpoint was like, for a run that is stopped while it evaluates."""
    remember(store, _WRITTEN, folder, {"trained": trained.model_dump(mode="json")})


def run(spec: DistillSpec, context: RunContext) -> DistillResult:
    """Make or take a student, train it, write its best step, and measure teacher, student before and student after on the same text.

    Raises:
        RequestError: the request does not fit the models; found before any long work.
        RunFailed: the work could not be finished; no unfinished checkpoint is left under its final name.
        Cancelled: by the user; the training resumes from where it was.
    """
    return _Run(spec, context).carry_out()


class _Run:
    """One run: what is known before it works, then each part of the work."""

    def __init__(self, spec: DistillSpec, context: RunContext) -> None:
        self.spec, self.context = spec, context
        self.began = time.monotonic()
        self.source: ModelSource = resolve(spec.model)
        self.card: ModelCard = self.source.card()
        self.folder = require_folder(self.source)
        self.begun = resolve(spec.student) if spec.student is not None else None
        stopped = was_stopped(context.kept)
        # A run that was stopped while it evaluated has its checkpoint already.
        self.fit: DistillFit = check(spec.model_copy(update={"out": None}) if stopped else spec, self.card)
        self.out = Path(spec.out).expanduser() if spec.out else context.artifacts / checkpoint_folder(self.begun, self.source, self.fit.blocks, spec)
        if not stopped:
            check_output(self.out)
        self.start = require_folder(self.begun) if self.begun is not None else context.artifacts / f".{self.out.name}.untrained"
        self.dtype = arithmetic(self.card, context.device)
        self.evaluation = Evaluation.prepare(self.source, spec.text, spec.eval_tokens, spec.context) if spec.eval_tokens else None
        self.text = TrainingText.of(spec, self.source, self.begun)
        identity = identity_of(spec.model_dump(mode="json"), self.folder, self.text.windows, torch.float32, context.device, versions()) | (
            {"files_of_the_student": states(self.start)} if self.begun is not None else {}
        )
        self.store = ResumeStore(context.kept, identity, context.log)
        self.notes: list[str] = []

    def carry_out(self) -> DistillResult:
        """All parts in order."""
        for warning in self.fit.warnings:
            self.context.log(warning)
        steps = Steps(self.context, self._scoring_steps() + self.spec.steps + self._evaluation_steps(), self.store)
        if self.begun is None:
            new_student(self.source, self.fit.blocks, self.start, self.dtype, steps)
        trained = self._train(steps)
        trained_at = self._elapsed()
        measured = self._evaluate(steps)
        result = self._result(trained, measured, trained_at)
        write_readme(self.out, readme(result))
        if self.begun is None:
            shutil.rmtree(self.start, ignore_errors=True)
        self.context.artifact(self.out, "checkpoint")
        for name, value in result.metrics.model_dump(exclude_none=True).items():
            self.context.metric(name, value)
        return result

    def _elapsed(self) -> float:
        return self.store.seconds_before + time.monotonic() - self.began

    def _scoring_steps(self) -> int:
        return 0 if self.spec.teacher == "resident" else parts_of(len(self.text.windows) - self.spec.held_out)

    def _evaluation_steps(self) -> int:
        return 0 if self.evaluation is None else self.evaluation.steps(1, self.card.layers) + 2 * self.fit.blocks

    def _train(self, steps: Steps) -> Trained:
        if (kept := remembered(self.store, _WRITTEN, self.out)) is not None:
            steps.skip(self._scoring_steps() + self.spec.steps)
            return Trained.model_validate(kept["trained"])
        make_room(self.store, self.out, self.context.artifacts, self.context.log)
        device = self.context.device
        steps.say("reading teacher and student")
        student = load_model(self.start, torch.float32, device)
        teacher = load_model(self.folder, torch.float32, device)
        training = Training(self.spec, teacher, student, states(self.folder), self.text, device, self.context.detail)
        del teacher  # held by the training for as long as it needs it
        trained = training.fit(steps, lambda: finish_asked(self.context))
        steps.skip(self.spec.steps - trained.steps)
        steps.say("writing the student")
        if trained.best_step:
            write_trained(student, self.start, self.out, steps.check_cancelled)
        else:
            shutil.copytree(self.start, self.out)
        remember_checkpoint(self.store, self.out, trained)
        return trained

    def _evaluate(self, steps: Steps) -> Measured | None:
        if self.evaluation is None:
            return None
        device = self.context.device
        with (
            StreamedModel.open(self.source, self.dtype, device) as teacher,
            StreamedModel.open(self.start, self.dtype, device) as before,
            StreamedModel.open(self.out, self.dtype, device) as after,
        ):
            return self.evaluation.measure(teacher, {UNTRAINED: before, STUDENT: after}, steps.step)

    def _result(self, trained: Trained, measured: Measured | None, trained_at: float) -> DistillResult:
        spec = self.spec
        parameters = ModelCard.from_folder(self.out).parameters
        done = self._elapsed()
        metrics = metrics_of(self.card, self.folder, self.out, parameters, trained, measured, peak_rss_bytes()).model_copy(
            update={"seconds": done, "seconds_training": trained_at, "seconds_evaluating": done - trained_at}
        )
        return DistillResult(
            model=self.source.title,
            student=self.fit.student,
            objective=spec.objective,
            out=str(self.out.absolute()),
            train_text=self.text.name,
            metrics=metrics,
            loss=trained.loss,
            held_out=tuple(map(held_out_of, trained.held_out)),
            places=trained.after.places,
            evaluation=measured.convention if measured else None,
            notes=tuple(self._told(trained)),
        )

    def _told(self, trained: Trained) -> list[str]:
        notes = [*self.fit.warnings, *self.text.notes(self.spec)]
        if not trained.best_step:
            notes.append(
                "no step was better than the untrained student on held-out text, so the checkpoint is as it was before: lower learning-rate, "
                "or raise steps"
            )
        elif trained.steps < self.spec.steps:
            patience = f"{self.spec.patience} held-out evaluations without improvement"
            asked = finish_asked(self.context)
            notes.append(f"the training ended after {trained.steps} of {self.spec.steps} steps: {'it was asked to finish' if asked else patience}")
        return notes
