"""What a student learns from its teacher, against the loss written out on whole logits, and against the ways to get it wrong."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from core.training.batches import Batch
from core.training.distillation import distillation, next_tokens, with_next_tokens
from core.training.mixture import Mixture
from core.training.objective import accumulate

WORDS, WIDTH, ROWS, LENGTH = 19, 8, 6, 11
COUNTS = (10, 1, 0, 3, 10, 6)


class Model(nn.Module):
    """An embedding, a mixing of neighbours, dropout, and a head: hidden states and logits."""

    def __init__(self, seed: int, words: int = WORDS) -> None:
        super().__init__()
        torch.manual_seed(seed)
        self.embedding, self.mix, self.head = nn.Embedding(WORDS, WIDTH), nn.Linear(WIDTH, WIDTH), nn.Linear(WIDTH, words, bias=False)
        self.dropout = nn.Dropout(0.5)
        self.double().eval()

    @property
    def weight(self) -> Tensor:
        return self.head.weight

    bias = None

    def shaped(self, products: Tensor) -> Tensor:
        return products

    def hidden(self, tokens: Tensor) -> Tensor:
        found: Tensor = self.dropout(torch.tanh(self.mix(self.embedding(tokens).cumsum(1))))
        return found

    def logits(self, tokens: Tensor) -> Tensor:
        found: Tensor = self.head(self.hidden(tokens))
        return found


@pytest.fixture
def batch() -> Batch:
    tokens = torch.randint(0, WORDS, (ROWS, LENGTH), generator=torch.Generator().manual_seed(5))
    return with_next_tokens(Batch(tokens, torch.arange(LENGTH) < torch.tensor(COUNTS)[:, None]))


def gradient(model: Model, loss: Callable[[], Tensor] | None, batch: Batch | None = None, rows: int | None = None, **options: object) -> list[Tensor]:
    model.zero_grad()
    if loss is not None:
        loss().backward()
    else:
        assert batch is not None
        accumulate(distillation(model, Model(1), Mixture(**options)), batch, rows)  # type: ignore[arg-type]
    return [parameter.grad.clone() for parameter in model.parameters() if parameter.grad is not None]


def expected(student: Model, teacher: Model, batch: Batch, alpha: float) -> Tensor:
    """Token by token, without anything of the product."""
    total, count = torch.zeros((), dtype=torch.float64), 0
    p, q = teacher.logits(batch.tokens).detach().softmax(-1), student.logits(batch.tokens).softmax(-1)
    assert batch.mask is not None
    for row in range(ROWS):
        for place in range(LENGTH - 1):
            if batch.mask[row, place]:
                total = total + alpha * (p[row, place] * (p[row, place] / q[row, place]).log()).sum()
                total = total - (1 - alpha) * q[row, place, batch.tokens[row, place + 1]].log()
                count += 1
    return total / count


@pytest.mark.parametrize("rows", [None, 1, 2, 4, 5])
@pytest.mark.parametrize("alpha", [1.0, 0.4, 0.0])
def test_loss_and_gradient_are_means_over_the_tokens_of_the_whole_step(alpha: float, rows: int | None, batch: Batch) -> None:
    student, teacher = Model(0), Model(1)
    found = accumulate(distillation(student, teacher, Mixture(alpha=alpha)), batch, rows)
    assert float(found.total) == pytest.approx(float(expected(student, teacher, batch, alpha).detach()), abs=1e-12)
    for one, other in zip(
        gradient(student, None, batch, rows, alpha=alpha), gradient(student, lambda: expected(student, teacher, batch, alpha)), strict=True
    ):
        torch.testing.assert_close(one, other, rtol=1e-9, atol=1e-12)


def test_means_of_micro_batches_would_be_another_gradient(batch: Batch) -> None:
    """The denominator is the step's: a mean of means weighs a token of a short row more."""
    student, objective = Model(0), distillation(Model(0), Model(1), Mixture())
    parts = [objective(micro).total.detach() for micro in batch.split(1) if micro.count]
    whole = accumulate(distillation(student, Model(1), Mixture()), batch, 1).total
    assert abs(float(torch.stack(parts).mean()) - float(whole)) > 1e-3


def test_the_direction_of_the_divergence_is_from_the_teacher(batch: Batch) -> None:
    student, teacher = Model(0), Model(1)
    found = distillation(student, teacher, Mixture())(batch).total.detach()
    p, q = (model.logits(batch.tokens)[next_tokens(batch)].log_softmax(-1).detach() for model in (teacher, student))
    assert float(found) == pytest.approx(float(functional.kl_div(q, p, log_target=True, reduction="batchmean")), abs=1e-12)
    assert abs(float(found) - float(functional.kl_div(p, q, log_target=True, reduction="batchmean"))) > 1e-3


def test_a_position_is_asked_for_the_token_after_it(batch: Batch) -> None:
    student = Model(0)
    found = distillation(student, Model(1), Mixture(alpha=0))(batch).total
    logits = student.logits(batch.tokens)[:, :-1][next_tokens(batch)[:, :-1]]
    labels = batch.tokens[:, 1:][next_tokens(batch)[:, :-1]]
    assert float(found.detach()) == pytest.approx(float(functional.cross_entropy(logits, labels).detach()), abs=1e-12)


def test_the_last_token_of_a_row_has_no_next_one() -> None:
    counted = next_tokens(Batch(torch.zeros(2, 5, dtype=torch.int64)))
    assert counted.tolist() == [[True] * 4 + [False]] * 2


def test_what_the_mask_leaves_out_changes_nothing(batch: Batch) -> None:
    """A padded place may hold any token, as long as nothing that counts stands after it."""
    assert batch.mask is not None
    changed = torch.where(batch.mask | batch.mask.roll(1, 1), batch.tokens, (batch.tokens + 1) % WORDS)
    objective = distillation(Model(0), Model(1), Mixture(alpha=0.5))
    # Rows count from their beginning, so that the changed tokens stand behind all that count.
    assert float(objective(Batch(changed, batch.mask)).total) == pytest.approx(float(objective(batch).total), abs=1e-12)


def test_the_teacher_receives_no_gradient_and_the_student_keeps_its_dropout(batch: Batch) -> None:
    student, teacher = Model(0), Model(1)
    student.train()
    losses = [distillation(student, teacher, Mixture())(batch).total for _ in range(2)]
    losses[0].backward()
    assert all(parameter.grad is None for parameter in teacher.parameters())
    assert student.training
    assert not teacher.training
    assert float(losses[0].detach()) != float(losses[1].detach())


def test_padding_of_either_vocabulary_is_cut_from_both(batch: Batch) -> None:
    """Rows of a head beyond the tokenizer's words are nobody's prediction: with or without them the loss is the same."""
    student, teacher = Model(0, WORDS), Model(1, WORDS)
    wide_student, wide_teacher = Model(0, WORDS), Model(1, WORDS)
    for model, rows in ((wide_student, 5), (wide_teacher, 2)):
        padding = torch.full((rows, WIDTH), 3.0, dtype=torch.float64)
        model.head.weight = nn.Parameter(torch.cat([model.head.weight.detach(), padding]))
    plain = distillation(student, teacher, Mixture(alpha=0.5))(batch).total
    padded = distillation(wide_student, wide_teacher, Mixture(alpha=0.5), WORDS)(batch).total
    assert float(padded) == pytest.approx(float(plain), abs=1e-12)
    padded.backward()
    assert wide_student.head.weight.grad is not None
    assert not wide_student.head.weight.grad[WORDS:].any()


def test_equal_models_have_no_loss_and_move_nowhere(batch: Batch) -> None:
    student = Model(0)
    loss = distillation(student, Model(0), Mixture())(batch).total
    loss.backward()
    assert float(loss.detach()) == 0
    assert max(float(parameter.grad.abs().max()) for parameter in student.parameters() if parameter.grad is not None) < 1e-15


def test_in_bfloat16_arithmetic_the_loss_is_still_that_of_float32(batch: Batch) -> None:
    """Products are rounded, softmax and sums are not: a softmax in bfloat16 would be off by percents."""
    student, teacher = Model(0).float(), Model(1).float()
    exact = float(distillation(student, teacher, Mixture())(batch).total)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        found = distillation(student, teacher, Mixture())(batch).total.detach()
    assert found.dtype == torch.float32
    assert float(found) == pytest.approx(exact, rel=0.02)
