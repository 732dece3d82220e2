"""Train Medusa heads on the spot: the target's hidden states are computed once, the heads learn from what is kept of them (Medusa-1).

Labels are the target's own likeliest tokens, not the text's: what is accepted is what the target says.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

import torch
from torch import Tensor
from torch.nn import functional

from core.calibration.windows import calibration_windows
from core.errors import RequestError, RunFailed
from core.runtime.decoder import Decoder
from core.speculate.medusa.heads import MedusaHeads
from core.speculate.medusa.place import HEADS, HIDDEN_BYTES, TRAINING_ROWS, TRAINING_TOKENS
from core.speculate.medusa.states import PROMPT, Clock, OnProgress, States, collect, said
from core.speculate.medusa.tree import MISSED, UNASKED, CandidateTree, grow, top_k
from core.text import Corpus, documents_of
from core.training.batches import Batch, Batches
from core.training.objective import Loss, Objective
from core.training.schedule import warmup_stable_decay
from core.training.trainer import Settings, Step, Trainer

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

_TESTED = 10
"""One window of so many is kept from training, for the accuracies."""
_RANKS = 16
"""Candidates of a head that a tree may use."""
_NODES = 63
_FEWEST = 2
"""Each head learns from half the rows of the one before it, down to a quarter: the first heads decide how much is accepted, and it takes half the
time."""
_LEAST = 2048
_WRITING, _READING_OWN, _READING, _MEASURING = 0.2, 0.25, 0.45, 0.04
"""Shares of the time: by the first three the target has written, its words and then the text are read; the last is kept for the end."""
_OWN = 16
"""Windows of the target's own words that are worth more than text."""


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


def corpus() -> Corpus:
    """The built-in text to train on: modules of the training split, tests left out; nothing that quality or speed is measured on."""
    return Corpus("python-stdlib/train, without tests", tuple(text for path, text in documents_of("train") if not path.startswith("test/")))


def train(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    text: Corpus,
    settings: TrainSettings | None = None,
    on_progress: OnProgress = lambda _done, _total, _label: None,
    decoder: Decoder | None = None,
) -> Trained:
    """Heads for a target, within the time that was given.

    Args:
        model: the target; stays as it is.
        tokenizer: its own.
        text: to train on.
        settings: default: two minutes, everything included.
        on_progress: called with (done, total, label) at every step; what it raises ends the training.
        decoder: of the target; lets it write text of its own to train on, which heads are better for. Is reset.

    Raises:
        RequestError: the text is too short, the model cannot have heads, or the machine is so slow that there would be next to nothing to train on.
        RunFailed: the target's hidden states or the loss are not numbers.
    """
    settings = settings or TrainSettings()
    began = time.monotonic()
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(settings.seed)
        heads = MedusaHeads.on(model, settings.heads, settings.width)
    clock = Clock(began, settings.seconds, on_progress)
    kept, held = _states(model, tokenizer, text, decoder, settings, clock)
    steps, loss = _fit(heads, kept, settings, clock)
    clock.report(1, "measure the heads")
    ranks = ranks_of(heads, held)
    clock.end()
    heads.requires_grad_(False)
    heads.train(False)
    return Trained(heads, grow(ranks, _NODES), top_k(ranks, _RANKS), len(kept.places), steps, loss, time.monotonic() - began)


def _states(
    model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, text: Corpus, decoder: Decoder | None, settings: TrainSettings, clock: Clock
) -> tuple[States, States]:
    """What heads are trained on, and what they are measured on: the target's own words where there are enough of them, else text.

    Raises:
        RequestError: next to nothing was computed in the time.
    """
    config = model.config.get_text_config(decoder=True)
    context = min(settings.context, int(getattr(config, "max_position_embeddings", settings.context)))
    most = min(settings.tokens, HIDDEN_BYTES // (2 * int(config.hidden_size)))
    windows = calibration_windows(text, tokenizer, max(most // context, 2), context, settings.seed)
    own = said(decoder, windows, clock, _WRITING, settings.seed) if decoder is not None else windows[:0]
    kept: list[States] = []
    held: States | None = None
    if len(own) >= _OWN:
        first, last = collect(model, own, clock, _READING_OWN).split(max(len(own) // _TESTED, 1))
        kept, held = [first.states(settings.heads)], last.states(settings.heads, PROMPT - 1)
    seen = collect(model, windows, clock, _READING)
    if held is None:
        seen, last = seen.split(max(len(seen.tokens) // _TESTED, 1))
        held = last.states(settings.heads)
    found = States.join([*kept, seen.states(settings.heads)])
    if len(found.places) < _LEAST:
        raise RequestError(
            f"only {len(found.places)} hidden states were computed in {clock.seconds * _READING:.0f} s, too few to train heads on: "
            "give a longer text or a faster machine, or choose another drafter"
        )
    return found, held


def _fit(heads: MedusaHeads, states: States, settings: TrainSettings, clock: Clock) -> tuple[int, float | None]:
    """Train on cached states; as many steps as there is time for, the pace taken from the first ones."""
    hidden, tokens, labels, places = states.hidden, states.tokens, states.labels, states.places
    device = next(heads.parameters()).device
    counts = [max(settings.rows >> min(head, _FEWEST), 1) for head in range(settings.heads)]

    def batches(step: int) -> Batch:
        drawn = torch.Generator().manual_seed(settings.seed * 1_000_003 + step)
        return Batch(places[torch.randint(len(places), (settings.rows,), generator=drawn)])

    def objective(batch: Batch) -> Loss:
        rows = batch.tokens  # places in the text
        read, chosen = hidden[rows].to(device).float(), tokens[rows + 1].to(device)
        logits = heads.output(torch.cat([heads.state(head, read[:count], chosen[:count]) for head, count in enumerate(counts)]))
        wanted = torch.cat([labels[rows[:count] + 1 + head] for head, count in enumerate(counts)]).to(device)
        losses = functional.cross_entropy(logits.float(), wanted, reduction="none")
        return Loss(torch.stack([each.mean() for each in losses.split(counts)]).mean())  # type: ignore[no-untyped-call]

    steps = _steps(heads, objective, batches, settings, clock)
    trainer = Trainer(heads, objective, batches, _training(settings, steps), None)
    losses: list[float] = []

    def on_step(step: Step) -> None:
        losses.append(step.loss)
        if not step.loss < float("inf"):
            raise RunFailed(f"the loss of the heads is NaN or Inf at step {step.step}: train with a lower learning rate")
        share = _READING + (1 - _READING - _MEASURING) * step.step / steps
        clock.report(share, f"train {settings.heads} heads, step {step.step} of {steps}, loss {step.loss:.2f}")

    heads.train(True)
    trainer.fit(on_step, stop=lambda: clock.spent > 1)
    last = losses[-50:]
    return trainer.step, sum(last) / len(last) if last else None


def _steps(heads: MedusaHeads, objective: Objective, batches: Batches, settings: TrainSettings, clock: Clock) -> int:
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
    rate, decay = settings.learning_rate, partial(warmup_stable_decay, decay_from=0.4)
    return Settings(
        steps=steps, matrix_lr=rate, other_lr=rate, weight_decay=0.01, warmup=min(20, steps), schedule=decay, muon=False, checkpoint_every=steps + 1
    )


@torch.inference_mode()
def ranks_of(heads: MedusaHeads, states: States, rows: int = 1024) -> Tensor:
    """The rank at which each head held what the target said: int64 [N, heads].

    `MISSED` behind `_RANKS` candidates; `UNASKED` where the text before did not say what the target would have said.
    """
    device = next(heads.parameters()).device
    hidden, tokens, labels = states.hidden, states.tokens, states.labels
    found: list[Tensor] = []
    for places in torch.split(states.places, rows):
        ahead = places[None] + torch.arange(1, heads.shape.heads + 1)[:, None]
        wanted = labels[ahead].to(device)
        logits = heads.logits(hidden[places].to(device).float(), tokens[places + 1].to(device))
        rank = (logits > logits.gather(2, wanted[:, :, None])).sum(2).cpu()
        rank[rank >= _RANKS] = MISSED
        # Head i + 2 is asked behind head i + 1's token: only where the text continued with it.
        rank[1:][tokens[ahead[:-1] + 1] != labels[ahead[:-1]]] = UNASKED
        found.append(rank.T)
    return torch.cat(found)
