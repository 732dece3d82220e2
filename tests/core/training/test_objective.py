"""Micro-batches give the loss and the gradient of the whole batch, however unevenly their tokens are spread."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from core.errors import RunFailed
from core.training.batches import Batch
from core.training.objective import Loss, Objective, accumulate

VOCABULARY, ROWS, LENGTH = 13, 6, 9
COUNTS = (8, 1, 0, 3, 8, 2)


def language_modelling(model: nn.Module) -> Objective:
    """Mean cross-entropy of the predictions that count, and a part that is reported only."""

    def objective(batch: Batch) -> Loss:
        logits = model(batch.tokens[:, :-1])
        losses = functional.cross_entropy(logits.flatten(0, 1), batch.tokens[:, 1:].flatten(), reduction="none")
        counted = losses if batch.mask is None else losses[batch.mask.flatten()]
        entropy = -(logits.softmax(-1) * logits.log_softmax(-1)).sum(-1).flatten()
        return Loss(counted.mean(), {"entropy": (entropy if batch.mask is None else entropy[batch.mask.flatten()]).mean()})

    return objective


@pytest.fixture
def model() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Embedding(VOCABULARY, 8), nn.Linear(8, 8), nn.Tanh(), nn.Linear(8, VOCABULARY)).double()


@pytest.fixture
def batch() -> Batch:
    tokens = torch.randint(0, VOCABULARY, (ROWS, LENGTH), generator=torch.Generator().manual_seed(1))
    return Batch(tokens, torch.arange(LENGTH - 1) < torch.tensor(COUNTS)[:, None])


def gradients(model: nn.Module) -> Iterator[Tensor]:
    for parameter in model.parameters():
        assert parameter.grad is not None
        yield parameter.grad.clone()
    model.zero_grad()


@pytest.mark.parametrize("rows", [1, 2, 4, 5])
def test_loss_gradient_and_parts_are_those_of_the_whole_batch(rows: int, model: nn.Module, batch: Batch) -> None:
    whole = accumulate(language_modelling(model), batch)
    expected = list(gradients(model))
    found = accumulate(language_modelling(model), batch, rows)
    assert found.total.item() == pytest.approx(whole.total.item(), abs=1e-12)
    assert found.parts["entropy"].item() == pytest.approx(whole.parts["entropy"].item(), abs=1e-12)
    for one, other in zip(gradients(model), expected, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-9, atol=1e-12)


def test_the_whole_batch_is_what_autograd_makes_of_the_plain_mean(model: nn.Module, batch: Batch) -> None:
    assert batch.mask is not None
    losses = functional.cross_entropy(model(batch.tokens[:, :-1]).transpose(1, 2), batch.tokens[:, 1:], reduction="none")
    expected = torch.autograd.grad((losses * batch.mask).sum() / batch.mask.sum(), list(model.parameters()))
    accumulate(language_modelling(model), batch, 2)
    for one, other in zip(gradients(model), expected, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-9, atol=1e-12)


def test_a_mean_of_means_would_be_another_loss(model: nn.Module, batch: Batch) -> None:
    objective = language_modelling(model)
    means = torch.stack([objective(part).total for part in batch.split(1) if part.count])
    assert abs(means.mean() - accumulate(objective, batch).total) > 1e-3


def test_a_batch_in_which_nothing_counts_is_refused(model: nn.Module, batch: Batch) -> None:
    with pytest.raises(RunFailed, match="no token that counts"):
        accumulate(language_modelling(model), Batch(batch.tokens, torch.zeros(ROWS, LENGTH - 1, dtype=torch.bool)))
