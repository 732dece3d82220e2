"""Train a pruned model until it answers as the original does (knowledge distillation by KL divergence), masks held."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from pathlib import Path

import torch
from torch import Tensor

from core.errors import RequestError
from core.formats.writing.trained import write_trained
from core.models.load import load_model
from core.models.predictor import Predictor
from core.prune.spec import PruneSpec
from core.runs.steps import Steps
from core.runs.training import fit
from core.training.batches import Batch, window_batches
from core.training.distillation import imitation, with_next_tokens
from core.training.objective import Objective
from core.training.schedule import cosine
from core.training.trainer import Settings, Trainer
from core.training.zeros import held_zeros

_HELD_OUT = 8
"""Windows that are not trained on and decide which step was best."""
_EVALUATIONS = 10
_KEEP_EVERY = 50


@dataclass(frozen=True)
class Recovered:
    """What the training reached, on held-out calibration text."""

    kl_before: float
    kl_after: float
    best_step: int
    """0: no step lowered it, and nothing was written."""


def windows_needed(spec: PruneSpec) -> int:
    """Windows of calibration length that give every step new text, held-out ones counted."""
    rows = max(spec.recover_tokens // spec.calibration_length, 1)
    return spec.recover_steps * rows + _HELD_OUT


def recover(spec: PruneSpec, original: Path, pruned: Path, out: Path, windows: Tensor, device: str, steps: Steps) -> Recovered:
    """Train the checkpoint `pruned` and write the result as `out`.

    Args:
        spec: the request; `recover_*` count.
        original: folder of the teacher.
        pruned: folder of the student; weights of its decoder's linears that are zero stay zero.
        out: folder that receives the result.
        windows: training text int64 [N, T]; the last few are held out.
        device: for both models.
        steps: reports each step; the state of the training is kept in its store.

    Raises:
        RequestError: the text is too short to hold some of it out.
        RunFailed: the loss is not a number, or the disk is full.
        Cancelled: by the user; what was trained so far is kept where the run has a place for it.
    """
    if len(windows) <= _HELD_OUT:
        raise RequestError(
            f"the recovery needs more than {_HELD_OUT} windows of {windows.shape[1]} tokens, got {len(windows)}: give a longer calibration text, or "
            "lower calibration-length"
        )
    steps.say("reading the original and the pruned model")
    teacher, student = (load_model(folder, torch.float32, device) for folder in (original, pruned))
    student.requires_grad_(True)
    mask = held_zeros(student)
    trained, held_out = windows[:-_HELD_OUT], windows[-_HELD_OUT:].to(device)
    rows = max(spec.recover_tokens // windows.shape[1], 1)
    draw = window_batches(trained, rows, spec.seed)
    divergence = imitation(Predictor.of(student), Predictor.of(teacher))
    trainer = Trainer(
        student,
        divergence,
        lambda step: with_next_tokens(draw(step).to(device)),
        _settings(spec, device),
        steps.store.path_for("recovery.safetensors"),
        held_out=lambda: _mean(divergence, held_out),
        after_step=lambda _step: mask(),
    )
    with torch.no_grad():
        before = _mean(divergence, held_out)
    steps.say("recovering")
    fit(
        trainer,
        steps,
        "recovery_loss",
        lambda step: f"recovering: step {min(step.step + 1, step.steps)} of {step.steps}, {step.loss:.4f} nats per token from the original",
        "lower recover-rate",
    )
    best = trainer.best
    if best is None or best.held_out >= before:
        return Recovered(before, before, 0)
    trainer.restore_best()
    with torch.no_grad():
        mask()
    steps.say("writing the recovered model")
    write_trained(student, pruned, out, steps.check_cancelled)
    return Recovered(before, best.held_out, best.step)


def _settings(spec: PruneSpec, device: str) -> Settings:
    return Settings(
        steps=spec.recover_steps,
        matrix_lr=spec.recover_rate,
        other_lr=spec.recover_rate,
        weight_decay=0.0,
        warmup=max(spec.recover_steps // 20, 1),
        schedule=partial(cosine, floor=0.05),
        checkpoint_every=_KEEP_EVERY,
        autocast=device.startswith("cuda"),
        muon=False,
        evaluate_every=max(spec.recover_steps // _EVALUATIONS, 1),
    )


def _mean(divergence: Objective, windows: Tensor) -> float:
    return sum(float(divergence(Batch(window[None])).total) for window in windows) / len(windows)
