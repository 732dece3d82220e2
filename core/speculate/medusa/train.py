"""Train Medusa heads on the spot: the target's hidden states are computed once, the heads learn from what is kept of them (Medusa-1).

Labels are the target's own likeliest tokens, not the text's: what is accepted is what the target says.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor
from torch.nn import functional

from core.calibration.windows import calibration_windows
from core.errors import RequestError, RunFailed
from core.speculate.medusa.heads import MedusaHeads
from core.speculate.medusa.place import HEADS, HIDDEN_BYTES, TRAINING_ROWS, TRAINING_TOKENS
from core.speculate.medusa.tree import MISSED, UNASKED, CandidateTree, grow, top_k
from core.text import Corpus, documents_of
from core.training import Settings, Trainer
from core.training.trainer import Step

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

OnProgress = Callable[[int, int, str], None]

_TESTED = 10
"""One window of so many is kept from training, for the accuracies."""
_RANKS = 16
"""Candidates of a head that a tree may use."""
_NODES = 63
_FEWEST = 2
"""Each head learns from half the rows of the one before it, down to a quarter: the first heads decide how much is accepted, and it takes half the
time."""
_LEAST = 2048
_UNITS = 1000


def _silent(done: int, total: int, label: str) -> None:
    del done, total, label


@dataclass(frozen=True)
class TrainSettings:
    """How long, on how much, how large."""

    heads: int = HEADS
    width: int | None = None
    """Inner width of a head; as `MedusaHeads.on` has it when None."""
    tokens: int = TRAINING_TOKENS
    """Hidden states to train on, at most."""
    context: int = 512
    steps: int = 2400
    """At most; fewer where the machine is slow."""
    rows: int = TRAINING_ROWS
    """Hidden states of a step."""
    learning_rate: float = 2e-3
    seconds: float = 105.0
    """For everything: fewer hidden states and fewer steps where they would take longer."""
    seed: int = 0


@dataclass(frozen=True)
class Trained:
    """Heads and how good they are on text that they were not trained on."""

    heads: MedusaHeads
    tree: CandidateTree
    top_k: tuple[tuple[float, ...], ...]
    """[i][k]: how often head i + 1 held the target's token among its k + 1 likeliest, the tokens before it being right."""
    tokens: int
    steps: int
    loss: float | None
    seconds: float


@dataclass(frozen=True)
class States:
    """What is kept of the target's pass over the windows: hidden [N, T, H], tokens int64 [N, T], labels int64 [N, T] the likeliest next tokens."""

    hidden: Tensor
    tokens: Tensor
    labels: Tensor

    def places(self, heads: int) -> Tensor:
        """Where a label is known for every head: int64 [M], into the flattened windows."""
        windows, length = self.tokens.shape
        return (torch.arange(windows)[:, None] * length + torch.arange(length - heads - 1)).flatten()

    def split(self, windows: int) -> tuple[States, States]:
        """The first windows, and the others."""
        first, second = slice(None, windows), slice(windows, None)
        return (
            States(self.hidden[first], self.tokens[first], self.labels[first]),
            States(self.hidden[second], self.tokens[second], self.labels[second]),
        )


def corpus() -> Corpus:
    """The built-in text to train on: modules of the training split, tests left out; nothing that quality or speed is measured on."""
    return Corpus("python-stdlib/train, without tests", "\n".join(text for path, text in documents_of("train") if not path.startswith("test/")))


def train(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    text: Corpus,
    settings: TrainSettings | None = None,
    on_progress: OnProgress = _silent,
) -> Trained:
    """Heads for a target, within the time that was given.

    Args:
        model: the target; stays as it is.
        tokenizer: its own.
        text: to train on.
        settings: default: two minutes, everything included.
        on_progress: told (done, total, label) at every step; what it raises ends the training.

    Raises:
        RequestError: the text is too short, the model cannot have heads, or the machine is so slow that there would be next to nothing to train on.
        RunFailed: the target's hidden states or the loss are not numbers.
    """
    settings = settings or TrainSettings()
    began = time.monotonic()
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(settings.seed)
        heads = MedusaHeads.on(model, settings.heads, settings.width)
    context = min(settings.context, int(getattr(model.config.get_text_config(decoder=True), "max_position_embeddings", settings.context)))
    most = min(settings.tokens, HIDDEN_BYTES // (2 * heads.shape.hidden))
    windows = calibration_windows(text, tokenizer, max(most // context, 2), context, settings.seed)
    clock = _Clock(began, settings.seconds, on_progress)
    states = collect(model, windows, clock)
    tested = max(len(states.tokens) // _TESTED, 1)
    kept, held = states.split(len(states.tokens) - tested)
    steps, loss = _fit(heads, kept, settings, clock)
    clock.tell(_UNITS - 1, "measure the heads")
    ranks = ranks_of(heads, held)
    on_progress(_UNITS, _UNITS, "")
    heads.requires_grad_(False)
    heads.train(False)
    return Trained(heads, grow(ranks, _NODES), top_k(ranks, _RANKS), len(kept.places(settings.heads)), steps, loss, time.monotonic() - began)


class _Clock:
    """What part of the time is over, told as progress."""

    def __init__(self, began: float, seconds: float, on_progress: OnProgress) -> None:
        self._began, self.seconds, self._on_progress = began, seconds, on_progress

    @property
    def spent(self) -> float:
        """Share of the time, 0 to 1 and beyond."""
        return (time.monotonic() - self._began) / self.seconds

    def tell(self, done: int, label: str) -> None:
        """Say where the work is."""
        self._on_progress(min(done, _UNITS - 1), _UNITS, label)


_COLLECTING = 0.3
"""Share of the time that the target's pass may take."""
_MEASURING = 0.04


@torch.inference_mode()
def collect(model: PreTrainedModel, windows: Tensor, clock: _Clock, rows: int = 8) -> States:
    """The target's hidden states over windows int64 [N, T], as many as the time allows.

    Raises:
        RequestError: not enough for training.
        RunFailed: they are not numbers.
    """
    head: Any = model.get_output_embeddings()  # type: ignore[no-untyped-call]
    taken: list[Tensor] = []
    hook = head.register_forward_pre_hook(lambda _module, inputs: taken.append(inputs[0]))
    hidden, labels = [], []
    try:
        for first in range(0, len(windows), rows):
            clock.tell(int(_UNITS * _COLLECTING * first / len(windows)), "compute the target's hidden states")
            with _fast(model):
                logits = model(input_ids=windows[first : first + rows].to(model.device), use_cache=False).logits
            labels.append(logits.argmax(-1).cpu())
            hidden.append(taken.pop().to(model.device.type).to(torch.bfloat16))
            if clock.spent > _COLLECTING:
                break
    finally:
        hook.remove()
    states = torch.cat(hidden)
    if not bool(states.isfinite().all()):
        raise RunFailed("the target's hidden states are not numbers: the checkpoint is damaged or overflows its dtype")
    if len(states) < 2 or states.shape[0] * states.shape[1] < _LEAST:
        raise RequestError(
            f"only {states.shape[0] * states.shape[1]} hidden states were computed in {clock.seconds * _COLLECTING:.0f} s, "
            "too few to train heads on: give a longer text or a faster machine, or choose another drafter"
        )
    # Tensors of inference mode cannot be trained on.
    return States(states.clone(), windows[: len(states)].clone(), torch.cat(labels).clone())


def _fast(model: PreTrainedModel) -> torch.autocast:
    """bfloat16 products on a CPU: twice the speed where it has them, and labels need no more."""
    return torch.autocast(model.device.type, dtype=torch.bfloat16, enabled=model.device.type == "cpu")


def _fit(heads: MedusaHeads, states: States, settings: TrainSettings, clock: _Clock) -> tuple[int, float | None]:
    """Train on cached states; as many steps as there is time for, the pace taken from the first ones."""
    hidden, tokens, labels = states.hidden.flatten(0, 1), states.tokens.flatten(), states.labels.flatten()
    device = next(heads.parameters()).device
    places = states.places(settings.heads)
    counts = [max(settings.rows >> min(head, _FEWEST), 1) for head in range(settings.heads)]

    def batches(step: int) -> Tensor:
        drawn = torch.Generator().manual_seed(settings.seed * 1_000_003 + step)
        return places[torch.randint(len(places), (settings.rows,), generator=drawn)]

    def objective(batch: Tensor) -> Tensor:
        read, chosen = hidden[batch].to(device).float(), tokens[batch + 1].to(device)
        logits = heads.output(torch.cat([heads.state(head, read[:count], chosen[:count]) for head, count in enumerate(counts)]))
        wanted = torch.cat([labels[batch[:count] + 1 + head] for head, count in enumerate(counts)]).to(device)
        losses = functional.cross_entropy(logits.float(), wanted, reduction="none")
        return torch.stack([each.mean() for each in losses.split(counts)]).mean()  # type: ignore[no-untyped-call]

    steps = _steps(heads, objective, batches, settings, clock)
    trainer = Trainer(heads, objective, batches, _training(settings, steps), None)
    losses: list[float] = []

    def on_step(step: Step) -> None:
        losses.append(step.loss)
        if not step.loss < float("inf"):
            raise RunFailed(f"the loss of the heads is not a number at step {step.step}: train with a lower learning rate")
        share = _COLLECTING + (1 - _COLLECTING - _MEASURING) * step.step / steps
        clock.tell(int(_UNITS * share), f"train {settings.heads} heads, step {step.step} of {steps}, loss {step.loss:.2f}")

    heads.train(True)
    trainer.fit(on_step, stop=lambda: clock.spent > 1)
    last = losses[-50:]
    return trainer.step, sum(last) / len(last) if last else None


def _steps(
    heads: MedusaHeads, objective: Callable[[Tensor], Tensor], batches: Callable[[int], Tensor], settings: TrainSettings, clock: _Clock
) -> int:
    """Steps that fit into what is left of the time, by the time of a few that are not kept."""
    before = {name: tensor.clone() for name, tensor in heads.state_dict().items()}
    trial = 6
    trainer = Trainer(heads, objective, batches, _training(settings, trial), None)
    seconds: list[float] = []
    trainer.fit(lambda step: seconds.append(settings.rows / step.tokens_per_second))
    heads.load_state_dict(before)
    pace = sorted(seconds)[len(seconds) // 2]
    left = (1 - _MEASURING - clock.spent) * clock.seconds
    return max(min(settings.steps, int(0.9 * left / pace)), 1)


def _training(settings: TrainSettings, steps: int) -> Settings:
    rate = settings.learning_rate
    return Settings(
        steps=steps, matrix_lr=rate, other_lr=rate, weight_decay=0.01, warmup=min(20, steps), decay_from=0.4, muon=False, checkpoint_every=steps + 1
    )


@torch.inference_mode()
def ranks_of(heads: MedusaHeads, states: States, rows: int = 1024) -> Tensor:
    """The rank at which each head held what the target said: int64 [N, heads].

    `MISSED` behind `_RANKS` candidates; `UNASKED` where the text before did not say what the target would have said.
    """
    device = next(heads.parameters()).device
    hidden, tokens, labels = states.hidden.flatten(0, 1), states.tokens.flatten(), states.labels.flatten()
    found: list[Tensor] = []
    for places in torch.split(states.places(heads.shape.heads), rows):
        ahead = places[None] + torch.arange(1, heads.shape.heads + 1)[:, None]
        wanted = labels[ahead].to(device)
        logits = heads.logits(hidden[places].to(device).float(), tokens[places + 1].to(device))
        rank = (logits > logits.gather(2, wanted[:, :, None])).sum(2).cpu()
        rank[rank >= _RANKS] = MISSED
        # Head i + 2 is asked behind head i + 1's token: only where the text went on with it.
        rank[1:][tokens[ahead[:-1] + 1] != labels[ahead[:-1]]] = UNASKED
        found.append(rank.T)
    return torch.cat(found)
