"""`llmopt prune`: from a request to a smaller or sparser checkpoint, its quality loss and its speed."""

from __future__ import annotations

import shutil
import time
from dataclasses import dataclass
from pathlib import Path

from torch import Tensor

from core.calibration.windows import windows_for
from core.context import RunContext
from core.evaluate.compared import Evaluation, Measured
from core.formats.writing.output import check_output
from core.formats.writing.readme import write_readme
from core.measure.peak_memory import peak_rss_bytes
from core.models.card import ModelCard
from core.models.resolve import resolve
from core.models.source import ModelSource, require_folder
from core.models.stream.arithmetic import arithmetic
from core.models.stream.streaming import StreamedModel
from core.prune.check import FitCheck, check
from core.prune.methods import METHODS
from core.prune.naming import checkpoint_folder
from core.prune.pipeline.figures import metrics_of, speed_note
from core.prune.pipeline.readme import readme
from core.prune.pipeline.sparse_kernel import sparse_kernel_speedup
from core.prune.pipeline.speed import Speed, measure_speed
from core.prune.pipeline.writer import Written, finished_checkpoint, remember_checkpoint, writer_of, writing_arithmetic
from core.prune.recovery.recover import recover, windows_needed
from core.prune.result import PruneResult
from core.prune.spec import PruneSpec
from core.runs.checkpoint_room import make_room
from core.runs.identity import identity_of
from core.runs.resume_store import ResumeStore, was_stopped
from core.runs.state.saved import versions
from core.runs.steps import Steps

_PROMPT = 128


def run(spec: PruneSpec, context: RunContext) -> PruneResult:
    """Prune, recover where asked to, write the checkpoint, measure quality and speed next to the original, and put a README into it.

    Raises:
        RequestError: the request does not fit the model; found before any long work.
        RunFailed: the work could not be finished; no unfinished checkpoint is left under its final name.
        Cancelled: by the user.
    """
    return _Run(spec, context).carry_out()


@dataclass(frozen=True)
class _Times:
    """Seconds since the first start of the run."""

    pruned: float
    recovered: float
    done: float


class _Run:
    """One run: what is known before it works, then each part of the work."""

    def __init__(self, spec: PruneSpec, context: RunContext) -> None:
        self.spec, self.context = spec, context
        self.began = time.monotonic()
        self.source: ModelSource = resolve(spec.model)
        self.card: ModelCard = self.source.card()
        self.folder = require_folder(self.source)
        stopped = was_stopped(context.kept)
        # A run that was stopped while it evaluated has its checkpoint already.
        self.fit: FitCheck = check(spec.model_copy(update={"out": None}) if stopped else spec, self.card)
        self.out = Path(spec.out).expanduser() if spec.out else context.artifacts / checkpoint_folder(self.source, spec)
        if not stopped:
            check_output(self.out)
        self.pruned = context.artifacts / f".{self.out.name}.unrecovered" if spec.recover_steps else self.out
        self.dtype = arithmetic(self.card, context.device)
        self.evaluation = Evaluation.prepare(self.source, spec.text, spec.eval_tokens, spec.context) if spec.eval_tokens else None
        self.windows: Tensor | None = None
        self.calibration: str | None = None
        if spec.calibrates:
            self.windows, self.calibration = windows_for(self.source, spec.calibration, spec.calibration_samples, spec.calibration_length, spec.seed)
        identity = identity_of(
            spec.model_dump(mode="json"),
            self.folder,
            self.windows,
            writing_arithmetic(spec.method, self.card, context.device),
            context.device,
            versions(),
        )
        self.store = ResumeStore(context.kept, identity, context.log)

    def carry_out(self) -> PruneResult:
        """All parts in order."""
        for warning in self.fit.warnings:
            self.context.log(warning)
        with StreamedModel.open(self.source, writing_arithmetic(self.spec.method, self.card, self.context.device), self.context.device) as streamed:
            writing = writer_of(self.spec.method).steps(self.spec, streamed)
            steps = Steps(self.context, writing + self.spec.recover_steps + self._evaluation_steps(), self.store)
            written = self._write(streamed, steps, writing)
        pruned_at = self._elapsed()
        if self.spec.recover_steps:
            self._recover(written, steps)
        recovered_at = self._elapsed()
        measured = self._evaluate(steps)
        memory = peak_rss_bytes()
        speed = self._speed(steps, written)
        times = _Times(pruned_at, recovered_at, self._elapsed())
        result = self._result(written, measured, speed, times, memory)
        write_readme(self.out, readme(result))
        if self.pruned != self.out:
            shutil.rmtree(self.pruned, ignore_errors=True)
        self.context.artifact(self.out, "checkpoint")
        for name, value in result.metrics.model_dump(exclude_none=True).items():
            self.context.metric(name, value)
        return result

    def _elapsed(self) -> float:
        return self.store.seconds_before + time.monotonic() - self.began

    def _evaluation_steps(self) -> int:
        if self.evaluation is None:
            return 0
        smaller = METHODS[self.spec.method].layers_after(self.spec.request, self.card)
        return self.evaluation.steps(1, self.card.layers) + smaller * (1 + bool(self.spec.recover_steps))

    def _write(self, streamed: StreamedModel, steps: Steps, writing: int) -> Written:
        written = finished_checkpoint(self.store, self.pruned) or (
            finished_checkpoint(self.store, self.out, recovered=True) if self.pruned != self.out else None
        )
        if written is not None:
            steps.skip(writing)
            return written
        make_room(self.store, self.pruned, self.context.artifacts, self.context.log)
        streamed.check_linears()
        steps.say("checking the weights")
        streamed.check_weights(steps.check_cancelled)
        written = writer_of(self.spec.method).write(self.spec, streamed, self.windows, self.pruned, steps)
        remember_checkpoint(self.store, self.pruned, written)
        return written

    def _recover(self, written: Written, steps: Steps) -> None:
        if finished_checkpoint(self.store, self.out, recovered=True) is not None:
            steps.skip(self.spec.recover_steps)
            return
        make_room(self.store, self.out, self.context.artifacts, self.context.log)
        spec = self.spec
        windows, _ = windows_for(self.source, spec.calibration, windows_needed(spec), spec.calibration_length, spec.seed + 1)
        found = recover(spec, self.folder, self.pruned, self.out, windows, self.context.device, steps)
        work = f"{spec.recover_steps} steps of {spec.recover_tokens} tokens"
        if found.best_step:
            written.notes.append(
                f"recovered in {work}: KL divergence on held-out calibration text {found.kl_before:.4f} nats per token before, "
                f"{found.kl_after:.4f} at its best step, {found.best_step}, which was kept"
            )
        else:
            self.pruned.rename(self.out)
            written.notes.append(
                f"{work} of recovery did not lower the KL divergence on held-out calibration text ({found.kl_before:.4f} nats per token), so the "
                "model is as it was before: lower recover-rate, or raise recover-steps"
            )
        remember_checkpoint(self.store, self.out, written, recovered=True)

    def _evaluate(self, steps: Steps) -> Measured | None:
        if self.evaluation is None:
            return None
        device = self.context.device
        folders = {"pruned": self.out} | ({"unrecovered": self.pruned} if self.pruned.is_dir() and self.pruned != self.out else {})
        with StreamedModel.open(self.source, self.dtype, device) as original:
            others = {name: StreamedModel.open(folder, self.dtype, device) for name, folder in folders.items()}
            try:
                return self.evaluation.measure(original, others, steps.step)
            finally:
                for other in others.values():
                    other.close()

    def _speed(self, steps: Steps, written: Written) -> Speed | None:
        if not self.spec.speed_tokens:
            return None
        if not self.fit.speed_measured:
            written.notes.append("the speed was not measured: original and result do not fit in the free memory together")
            return None
        tokens = min(self.spec.speed_tokens, self.card.context // 2)
        length = min(_PROMPT, self.card.context - tokens)
        windows, _ = windows_for(self.source, self.spec.calibration, 1, length, self.spec.seed)
        return measure_speed(self.folder, self.out, self.card, windows[0], tokens, self.dtype, self.context.device, steps.say)

    def _kernel(self, written: Written) -> float | None:
        """Of torch's 2:4 product over the dense one, where there is one for this device."""
        if self.spec.request.keep != (2, 4) or not self.spec.speed_tokens:
            return None
        return sparse_kernel_speedup(self.out, {linear.name: (linear.rows, linear.columns) for linear in written.linears}, self.context.device)

    def _result(self, written: Written, measured: Measured | None, speed: Speed | None, times: _Times, memory: int) -> PruneResult:
        spec, method = self.spec, METHODS[self.spec.method]
        metrics = metrics_of(self.card, self.folder, self.out, written, measured, speed, spec, memory)
        metrics = metrics.model_copy(
            update={
                "seconds": times.done,
                "seconds_pruning": times.pruned,
                "seconds_recovering": times.recovered - times.pruned if spec.recover_steps else None,
                "seconds_evaluating": times.done - times.recovered,
                "sparse_kernel_speedup": self._kernel(written),
            }
        )
        return PruneResult(
            model=self.source.title,
            method=spec.method,
            criterion=spec.criterion,
            pattern=method.recipe(spec.request)[0],
            description=method.description(spec.request),
            out=str(self.out.absolute()),
            calibration=self.calibration,
            error_of="outputs" if self.windows is not None else "weights",
            metrics=metrics,
            evaluation=measured.convention if measured else None,
            linears=tuple(written.linears),
            kept=tuple(written.kept),
            importance=tuple(written.importance),
            blocks=tuple(written.blocks),
            agreement=tuple(written.agreement),
            speed_note=speed_note(metrics, method, spec.request),
            notes=tuple(written.notes),
        )
