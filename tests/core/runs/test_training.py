"""A training inside a run: its steps, its end, a cancel that waits for the state to be safe."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from core.errors import Cancelled, RunFailed
from core.runs.steps import Steps
from core.runs.training import fit
from core.training.batches import Batch
from core.training.objective import Loss
from core.training.trainer import Settings, Trainer
from tests.core.conftest import RecordingContext

STEPS = 8


def _trainer(checkpoint: Path | None, worth: float = 1.0) -> Trainer:
    torch.manual_seed(0)
    model = nn.Linear(3, 1)

    def objective(batch: Batch) -> Loss:
        found: Tensor = model(batch.tokens.float()).square().mean() * worth
        return Loss(found, {"square": found})

    settings = Settings(steps=STEPS, checkpoint_every=100, autocast=False, muon=False, warmup=1)
    return Trainer(model, objective, lambda step: Batch(torch.full((2, 3), step + 1)), settings, checkpoint)


def _fit(trainer: Trainer, context: RecordingContext) -> None:
    fit(trainer, Steps(context, STEPS), "train_loss", lambda step: f"after {step.step}", "lower learning-rate")


def test_every_step_is_reported_with_its_parts(context: RecordingContext) -> None:
    _fit(_trainer(None), context)
    assert [done for done, _, _ in context.steps] == list(range(1, STEPS + 1))
    assert [(step, label) for name, _, step, label in context.metrics if name == "train_loss"][:4] == [(1, ""), (1, "square"), (2, ""), (2, "square")]


def test_a_cancelled_training_continues_and_counts_what_was_done(context: RecordingContext, tmp_path: Path) -> None:
    whole, checkpoint = _trainer(None), tmp_path / "state.safetensors"
    _fit(whole, RecordingContext(tmp_path))
    context.cancel_when = lambda seen: len(seen.steps) >= 3
    with pytest.raises(Cancelled):
        _fit(_trainer(checkpoint), context)
    context.cancel_when = lambda seen: False
    context.steps.clear()
    resumed = _trainer(checkpoint)
    _fit(resumed, context)
    assert [done for done, _, _ in context.steps] == list(range(5, STEPS + 1))
    assert torch.equal(resumed.model.get_parameter("weight"), whole.model.get_parameter("weight"))
    again = Steps(context, STEPS)
    fit(_trainer(checkpoint), again, "train_loss", lambda step: "", "")
    again.say("over")
    assert context.steps[-1][0] == STEPS


@pytest.mark.parametrize("worth", [float("nan"), float("inf")])
def test_a_loss_that_is_no_number_ends_the_run_with_advice(worth: float, context: RecordingContext) -> None:
    with pytest.raises(RunFailed, match="the loss of step 1 is NaN or Inf: lower learning-rate"):
        _fit(_trainer(None, worth), context)
