"""A training loop that can be stopped at any step and goes on from its last checkpoint."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from core.training.schedule import warmup_stable_decay

Objective = Callable[[Tensor], Tensor]
Batches = Callable[[int], Tensor]
OnStep = Callable[["Step"], None]


@dataclass(frozen=True)
class Settings:
    """How long and how fast to train. Learning rates are peaks of the warm-up, plateau, decay schedule."""

    steps: int
    matrix_lr: float = 0.02
    other_lr: float = 3e-3
    weight_decay: float = 0.05
    warmup: int = 50
    decay_from: float = 0.65
    clip_norm: float = 1.0
    checkpoint_every: int = 100
    autocast: bool = True
    muon: bool = True
    """False: AdamW moves matrices too, for weights that are to stay near where they are."""


@dataclass(frozen=True)
class Step:
    """What one step measured; `tokens_per_second` covers this step alone."""

    step: int
    steps: int
    loss: float
    lr_factor: float
    tokens_per_second: float


class Trainer:
    """Trains the parameters of a model that require gradients.

    Hidden matrices are moved by Muon (orthogonalized momentum, kellerjordan.github.io/posts/muon), all
    else (embeddings, norms, biases) by AdamW. The state after each `checkpoint_every` steps is one
    safetensors file, or nothing without a place for it; batches and dropout-free objectives are functions of the step, so that a resumed
    training takes the same path as an uninterrupted one.
    """

    def __init__(self, model: nn.Module, objective: Objective, batches: Batches, settings: Settings, checkpoint: Path | None) -> None:
        self.model = model
        self.objective = objective
        self.batches = batches
        self.settings = settings
        self.checkpoint = checkpoint
        self.step = 0
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

        Returns:
            True when all steps are done, False when `stop` asked for an end (the state is saved).
        """
        self._load()
        for report in self._steps():
            on_step(report)
            asked = stop()
            if asked or self.step % self.settings.checkpoint_every == 0 or self.step == self.settings.steps:
                self._save()
            if asked:
                return False
        return True

    def _steps(self) -> Iterator[Step]:
        while self.step < self.settings.steps:
            began = time.perf_counter()
            batch = self.batches(self.step)
            factor = warmup_stable_decay(self.step, self.settings.steps, self.settings.warmup, self.settings.decay_from)
            with torch.autocast(batch.device.type, dtype=torch.bfloat16, enabled=self.settings.autocast):
                loss = self.objective(batch)
            loss.backward()  # type: ignore[no-untyped-call]
            nn.utils.clip_grad_norm_(self._named.values(), self.settings.clip_norm)
            for _, optimizer, lr in self._groups:
                for group in optimizer.param_groups:
                    group["lr"] = lr * factor
                optimizer.step()
                optimizer.zero_grad(set_to_none=True)
            self.step += 1
            yield Step(self.step, self.settings.steps, loss.item(), factor, batch.numel() / (time.perf_counter() - began))

    def _save(self) -> None:
        if self.checkpoint is None:
            return
        tensors = {f"model.{name}": parameter.detach() for name, parameter in self._named.items()}
        for names, optimizer, _ in self._groups:
            for name in names:
                for key, value in optimizer.state[self._named[name]].items():
                    tensors[f"optimizer.{key}.{name}"] = torch.as_tensor(value).detach().clone()
        self.checkpoint.parent.mkdir(parents=True, exist_ok=True)
        temporary = self.checkpoint.with_suffix(".tmp")
        save_file(tensors, temporary, metadata={"training": json.dumps({"step": self.step})})
        temporary.replace(self.checkpoint)

    def _load(self) -> None:
        if self.checkpoint is None or not self.checkpoint.exists():
            return
        with self.checkpoint.open("rb") as file:
            header = json.loads(file.read(int.from_bytes(file.read(8), "little")))
        self.step = json.loads(header["__metadata__"]["training"])["step"]
        tensors = load_file(self.checkpoint)
        with torch.no_grad():
            for name, parameter in self._named.items():
                parameter.copy_(tensors[f"model.{name}"])
        for names, optimizer, _ in self._groups:
            for name in names:
                optimizer.state[self._named[name]] = {
                    key.split(".")[1]: value for key, value in tensors.items() if key.startswith("optimizer.") and key.split(".", 2)[2] == name
                }
