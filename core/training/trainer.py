"""A training loop that can be stopped at any step and continues from its last checkpoint."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import torch
from torch import Tensor, nn

from core.training.batches import Batches
from core.training.objective import Objective, accumulate
from core.training.recompute import recomputed
from core.training.schedule import Schedule, warmup_stable_decay
from core.training.state import load_record, load_tensors, save_state

OnStep = Callable[["Step"], None]


@dataclass(frozen=True)
class Settings:
    """How long and how fast to train. Learning rates are peaks of the schedule."""

    steps: int
    matrix_lr: float = 0.02
    other_lr: float = 3e-3
    weight_decay: float = 0.05
    warmup: int = 50
    schedule: Schedule = warmup_stable_decay
    clip_norm: float = 1.0
    checkpoint_every: int = 100
    autocast: bool = True
    muon: bool = True
    """False: AdamW moves matrices too, for weights that are to stay near where they are."""
    micro_rows: int | None = None
    """Rows of a batch that go through the model at once; None: all."""
    evaluate_every: int = 0
    """Steps between held-out evaluations, where there is one; another follows the last step. 0: only that one."""


@dataclass(frozen=True)
class Step:
    """What one step measured; `tokens_per_second` covers this step alone, without a held-out evaluation."""

    step: int
    steps: int
    loss: float
    lr_factor: float
    tokens_per_second: float
    parts: Mapping[str, float] = field(default_factory=dict)
    """The objective's named parts."""
    held_out: float | None = None
    """Loss on held-out text after this step, where it was measured."""


@dataclass(frozen=True)
class Best:
    """The step after which the held-out loss was lowest, and that loss."""

    step: int
    held_out: float


class Trainer:
    """Trains the parameters of a model that require gradients.

    Hidden matrices are moved by Muon (orthogonalized momentum, kellerjordan.github.io/posts/muon), all
    else (embeddings, norms, biases) by AdamW. The state after each `checkpoint_every` steps is one
    safetensors file, or nothing without a place for it; batches and dropout-free objectives are functions of the step, so that a resumed
    training takes the same path as an uninterrupted one.

    Args:
        model: to train.
        objective: the mean loss over a batch, or over a part of one.
        batches: from the number of a step to its batch.
        settings: how long and how fast.
        checkpoint: file that is resumed from and saved to; the best state is kept next to it. None: both only in memory.
        held_out: loss on text that is not trained on, lower is better; called in evaluation mode and without gradients.
        after_step: called without gradients after each change of the parameters, with the number of finished steps: to keep pruned weights at
            zero, for example.
        recompute: decoder blocks that keep only their inputs for the backward pass (gradient checkpointing).
    """

    def __init__(
        self,
        model: nn.Module,
        objective: Objective,
        batches: Batches,
        settings: Settings,
        checkpoint: Path | None,
        *,
        held_out: Callable[[], float] | None = None,
        after_step: Callable[[int], None] = lambda _step: None,
        recompute: Iterable[nn.Module] = (),
    ) -> None:
        self.model = model
        self.objective = objective
        self.batches = batches
        self.settings = settings
        self.checkpoint = checkpoint
        self.step = 0
        self.best: Best | None = None
        self._held_out, self._after_step, self._recompute = held_out, after_step, tuple(recompute)
        self._best_file = None if checkpoint is None else checkpoint.with_suffix(".best.safetensors")
        self._best_tensors: dict[str, Tensor] = {}
        self._named = {name: parameter for name, parameter in model.named_parameters() if parameter.requires_grad}
        matrices = {name for name, parameter in self._named.items() if parameter.ndim == 2 and "embed" not in name and "lm_head" not in name}
        self._groups: list[tuple[list[str], torch.optim.Optimizer, float]] = []
        if matrices:
            names = sorted(matrices)
            self._groups.append((names, self._matrix_optimizer(names), settings.matrix_lr))
        if others := sorted(self._named.keys() - matrices):
            adam = torch.optim.AdamW([self._named[name] for name in others], lr=settings.other_lr, betas=(0.9, 0.95), weight_decay=0.0)
            self._groups.append((others, adam, settings.other_lr))

    def _matrix_optimizer(self, names: list[str]) -> torch.optim.Optimizer:
        matrices, settings = [self._named[name] for name in names], self.settings
        if settings.muon:
            return torch.optim.Muon(matrices, lr=settings.matrix_lr, weight_decay=settings.weight_decay, momentum=0.95)
        return torch.optim.AdamW(matrices, lr=settings.matrix_lr, betas=(0.9, 0.95), weight_decay=settings.weight_decay)

    def fit(self, on_step: OnStep, stop: Callable[[], bool] = lambda: False) -> bool:
        """Train from the last checkpoint, if any, to the end.

        Args:
            on_step: called with the figures of each step.
            stop: asked after each step, and before the first where a training continues; True ends the training there.

        Returns:
            True when all steps are done, False when `stop` asked for an end (the state is saved).

        Raises:
            RunFailed: a batch without a prediction that counts.
        """
        self._load()
        if self.step and stop():
            return False
        with recomputed(self._recompute):
            for report in self._steps():
                on_step(report)
                asked = stop()
                if asked or self.step % self.settings.checkpoint_every == 0 or self.step == self.settings.steps:
                    self._save()
                if asked:
                    return False
        return True

    def restore_best(self) -> None:
        """Give the parameters the values that they had after the `best` step; nothing where no held-out loss was measured."""
        if self.best is not None:
            self._put(self._best_tensors if self._best_file is None else load_tensors(self._best_file))

    def _steps(self) -> Iterator[Step]:
        settings = self.settings
        while self.step < settings.steps:
            began = time.perf_counter()
            batch = self.batches(self.step)
            factor = settings.schedule(self.step, settings.steps, settings.warmup)
            loss = accumulate(self.objective, batch, settings.micro_rows, autocast=settings.autocast)
            nn.utils.clip_grad_norm_(self._named.values(), settings.clip_norm)
            for _, optimizer, lr in self._groups:
                for group in optimizer.param_groups:
                    group["lr"] = lr * factor
                optimizer.step()
                optimizer.zero_grad(set_to_none=True)
            self.step += 1
            with torch.no_grad():
                self._after_step(self.step)
            total, parts = loss.total.item(), {name: part.item() for name, part in loss.parts.items()}
            pace = batch.tokens.numel() / (time.perf_counter() - began)
            yield Step(self.step, settings.steps, total, factor, pace, parts, self._evaluate())

    def _evaluate(self) -> float | None:
        """The held-out loss where it is due."""
        every = self.settings.evaluate_every
        return self.evaluate() if self.step == self.settings.steps or (every and self.step % every == 0) else None

    def evaluate(self) -> float | None:
        """The held-out loss of the parameters as they are, which are kept where they are the best so far; None without a held-out loss."""
        if self._held_out is None:
            return None
        training = self.model.training
        self.model.train(False)
        with torch.no_grad():
            found = self._held_out()
        self.model.train(training)
        if found == found and (self.best is None or found < self.best.held_out):
            self.best = Best(self.step, found)
            if self._best_file is None:
                self._best_tensors = {name: tensor.clone() for name, tensor in self._parameters().items()}
            else:
                save_state(self._best_file, self._parameters(), {"step": self.step, "held_out": found})
        return found

    def _parameters(self) -> dict[str, Tensor]:
        return {f"model.{name}": parameter.detach() for name, parameter in self._named.items()}

    @torch.no_grad()
    def _put(self, tensors: Mapping[str, Tensor]) -> None:
        for name, parameter in self._named.items():
            parameter.copy_(tensors[f"model.{name}"])

    def _save(self) -> None:
        if self.checkpoint is None:
            return
        tensors = self._parameters()
        for names, optimizer, _ in self._groups:
            for name in names:
                for key, value in optimizer.state[self._named[name]].items():
                    tensors[f"optimizer.{key}.{name}"] = torch.as_tensor(value).detach().clone()
        save_state(self.checkpoint, tensors, {"step": self.step})

    def _load(self) -> None:
        if self.checkpoint is None or not self.checkpoint.exists():
            return
        self.step = int(load_record(self.checkpoint)["step"])
        tensors = load_tensors(self.checkpoint)
        self._put(tensors)
        moments: dict[str, dict[str, Tensor]] = {}
        for path, value in tensors.items():
            kind, key, name = path.split(".", 2) if path.startswith("optimizer.") else ("", "", "")
            if kind:
                moments.setdefault(name, {})[key] = value
        for names, optimizer, _ in self._groups:
            for name in names:
                optimizer.state[self._named[name]] = dict(moments.get(name, {}))
        if self._best_file is not None and self._best_file.exists():
            record = load_record(self._best_file)
            self.best = Best(int(record["step"]), record["held_out"])
