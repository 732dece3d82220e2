"""Train a pruned model until it answers as the original does (knowledge distillation by KL divergence), masks held."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from core.errors import Cancelled, RequestError, RunFailed
from core.formats.writing.copy_rest import copy_rest
from core.formats.writing.shards import ShardWriter
from core.models.disk.files import read_object
from core.models.load import load_model
from core.models.stream.stored_dtypes import stored_dtypes
from core.models.stream.streaming import StreamedModel
from core.prune.spec import PruneSpec
from core.runs.steps import Steps
from core.sanitize import clean
from core.training.batches import window_batches
from core.training.divergences import forward_kl
from core.training.objective import Loss
from core.training.schedule import cosine
from core.training.trainer import Settings, Step, Trainer

if TYPE_CHECKING:
    from transformers import PreTrainedModel

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
    held = list(_masks(student))
    trained, held_out = windows[:-_HELD_OUT], windows[-_HELD_OUT:].to(device)
    rows = max(spec.recover_tokens // windows.shape[1], 1)
    draw = window_batches(trained, rows, spec.seed)

    def divergence(tokens: Tensor) -> Tensor:
        with torch.no_grad():
            target = _predictions(teacher, tokens)
        return forward_kl(target, _predictions(student, tokens)).mean()

    def mask(_step: int = 0) -> None:
        for weight, zeros in held:
            weight.masked_fill_(zeros, 0)

    trainer = Trainer(
        student,
        lambda batch: Loss(divergence(batch.tokens)),
        lambda step: draw(step).to(device),
        _settings(spec, device),
        steps.store.path_for("recovery.safetensors"),
        held_out=lambda: _mean(divergence, held_out),
        after_step=mask,
    )
    with torch.no_grad():
        before = _mean(divergence, held_out)
    _fit(trainer, steps)
    best = trainer.best
    if best is None or best.held_out >= before:
        return Recovered(before, before, 0)
    trainer.restore_best()
    with torch.no_grad():
        mask()
    steps.say("writing the recovered model")
    _write(student, pruned, out, steps)
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


def _predictions(model: PreTrainedModel, tokens: Tensor) -> Tensor:
    """Log-probabilities float32 [B, T, V]."""
    logits: Tensor = model(input_ids=tokens, use_cache=False).logits
    return logits.float().log_softmax(-1)


def _mean(divergence: Callable[[Tensor], Tensor], windows: Tensor) -> float:
    return sum(float(divergence(window[None])) for window in windows) / len(windows)


def _masks(model: nn.Module) -> Iterator[tuple[Tensor, Tensor]]:
    """(weight, where it is zero) of every linear that has zeros."""
    for module in model.modules():
        if isinstance(module, nn.Linear):
            weight = module.weight.detach()
            zeros = weight == 0
            if bool(zeros.any()):
                yield weight, zeros


def _fit(trainer: Trainer, steps: Steps) -> None:
    cancelled: list[Cancelled] = []
    begun = False

    def on_step(step: Step) -> None:
        nonlocal begun
        if step.loss != step.loss:
            raise RunFailed(f"the loss of recovery step {step.step} is NaN or Inf: lower recover-rate")
        if not begun:
            steps.skip(step.step - 1)
            begun = True
        steps.measured("recovery_loss", step.loss, step.step, "")
        try:
            steps.step(f"recovering: step {min(step.step + 1, step.steps)} of {step.steps}, {step.loss:.4f} nats per token from the original")
        except Cancelled as error:  # only once the state of the training is safe
            cancelled.append(error)

    steps.say("recovering")
    trainer.fit(on_step, stop=lambda: bool(cancelled))
    if cancelled:
        raise cancelled[0]


def _write(student: nn.Module, pruned: Path, out: Path, steps: Steps) -> None:
    """The student's parameters under their names in the checkpoint and in its dtypes; the rest is copied."""
    with StreamedModel.open(pruned) as streamed, ShardWriter(out) as writer:
        stored, usual = stored_dtypes(streamed)
        done: set[str] = set()
        for name, parameter in student.named_parameters():
            inside = streamed.checkpoint_name(name)
            if inside not in stored:
                raise RunFailed(f"{clean(name, limit=200)} is not stored as it is, and a recovered one could not be written: set recover-steps to 0")
            writer.add(inside, parameter.detach().to(stored.get(inside, usual)).cpu())
            done.add(inside)
        tied = {streamed.checkpoint_name(name) for name, _ in student.named_parameters(remove_duplicate=False)}
        copy_rest(writer, streamed, done | tied, steps.check_cancelled)
        writer.finish(read_object(pruned / "config.json"), pruned)
