"""A loss in chunks of rows is the loss of all rows at once, and so are its gradients."""

from __future__ import annotations

from dataclasses import dataclass

import pytest
import torch
from torch import Tensor
from torch.nn import functional

from core.training.chunked import chunked_logits, chunked_mean
from core.training.divergences import DIVERGENCES
from core.training.mixture import Mixture

ROWS, WIDTH, WORDS = 23, 6, 31


@dataclass(frozen=True)
class Head:
    weight: Tensor | None
    bias: Tensor | None
    softcap: float | None = None

    def shaped(self, products: Tensor) -> Tensor:
        return products if self.softcap is None else self.softcap * torch.tanh(products / self.softcap)


def tensors(dtype: torch.dtype = torch.float64) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
    draw = torch.Generator().manual_seed(3)
    hidden, weight, bias = (torch.randn(*shape, generator=draw, dtype=torch.float64).to(dtype) for shape in ((ROWS, WIDTH), (WORDS, WIDTH), (WORDS,)))
    target = torch.randn(ROWS, WORDS, generator=draw, dtype=torch.float64).to(dtype)
    labels = torch.randint(0, WORDS - 4, (ROWS,), generator=draw)
    return hidden.requires_grad_(), weight.requires_grad_(), bias.requires_grad_(), target, labels


def whole(mixture: Mixture, words: int, softcap: float | None, parts: tuple[Tensor, ...]) -> Tensor:
    hidden, weight, bias, target, labels = parts
    head = Head(weight, bias, softcap)
    return mixture.losses(target[:, :words], head.shaped(functional.linear(hidden, weight, bias))[:, :words], labels)[0].mean()


def in_chunks(mixture: Mixture, words: int, softcap: float | None, chunk: int, parts: tuple[Tensor, ...]) -> tuple[Tensor, dict[str, Tensor]]:
    hidden, weight, bias, target, labels = parts

    def losses(found: Tensor, part: slice) -> tuple[Tensor, dict[str, Tensor]]:
        return mixture.losses(target[part, :words], found, labels[part])

    return chunked_mean(hidden, Head(weight, bias, softcap), losses, vocabulary=words, chunk=chunk)


@pytest.mark.parametrize("words", [WORDS, WORDS - 4], ids=["all words", "padding cut"])
@pytest.mark.parametrize("softcap", [None, 2.0])
@pytest.mark.parametrize("chunk", [1, 7, 256])
@pytest.mark.parametrize("name", DIVERGENCES)
def test_value_and_gradients_are_those_of_all_rows_at_once(name: str, chunk: int, softcap: float | None, words: int) -> None:
    mixture = Mixture(DIVERGENCES[name], alpha=0.7, temperature=2.0)
    one, other = tensors(), tensors()
    (3.0 * whole(mixture, words, softcap, one)).backward()
    found, terms = in_chunks(mixture, words, softcap, chunk, other)
    (3.0 * found).backward()
    torch.testing.assert_close(found.detach(), whole(mixture, words, softcap, one).detach(), rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(0.7 * terms["divergence"] + 0.3 * terms["cross_entropy"], found.detach(), rtol=1e-12, atol=1e-12)
    for expected, tensor in zip(one[:3], other[:3], strict=True):
        torch.testing.assert_close(tensor.grad, expected.grad, rtol=1e-10, atol=1e-13)


@pytest.mark.parametrize("name", DIVERGENCES)
def test_gradients_are_those_of_small_differences(name: str) -> None:
    mixture, parts = Mixture(DIVERGENCES[name], alpha=0.5), tensors()
    in_chunks(mixture, WORDS, None, 5, parts)[0].backward()
    draw, step = torch.Generator().manual_seed(7), 1e-6
    for place in range(3):
        direction = torch.randn(parts[place].shape, generator=draw, dtype=torch.float64)
        values = []
        for sign in (1, -1):
            moved = [part.detach().clone() for part in parts]
            moved[place] += sign * step * direction
            with torch.no_grad():
                values.append(float(in_chunks(mixture, WORDS, None, 5, tuple(moved))[0]))
        assert (values[0] - values[1]) / (2 * step) == pytest.approx(float((parts[place].grad * direction).sum()), rel=1e-5, abs=1e-8)  # type: ignore[operator]


def test_a_tied_matrix_receives_what_comes_through_both_uses() -> None:
    gradients = []
    for chunk in (None, 4):
        _, weight, _, target, labels = tensors()
        hidden = functional.embedding(labels, weight).tanh()
        parts = (hidden, weight, torch.zeros(WORDS, dtype=torch.float64), target, labels)
        loss = whole(Mixture(), WORDS, None, parts) if chunk is None else in_chunks(Mixture(), WORDS, None, chunk, parts)[0]
        loss.backward()
        assert weight.grad is not None
        gradients.append(weight.grad)
    torch.testing.assert_close(gradients[0], gradients[1], rtol=1e-10, atol=1e-13)


def test_without_gradients_nothing_is_kept_and_the_value_is_the_same() -> None:
    parts = tensors()
    expected = in_chunks(Mixture(), WORDS, None, 5, parts)[0]
    with torch.no_grad():
        found = in_chunks(Mixture(), WORDS, None, 5, parts)[0]
    assert not found.requires_grad
    assert float(found) == pytest.approx(float(expected.detach()), rel=1e-12)


def test_bfloat16_products_are_summed_in_float32() -> None:
    exact, rounded = tensors(torch.float32), tensors(torch.float32)
    in_chunks(Mixture(), WORDS, None, 5, exact)[0].backward()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        found = in_chunks(Mixture(), WORDS, None, 5, rounded)[0]
    assert found.dtype == torch.float32
    found.backward()
    for one, other in zip(exact[:3], rounded[:3], strict=True):
        assert other.grad is not None
        torch.testing.assert_close(other.grad, one.grad, rtol=0.05, atol=2e-3)


def test_logits_of_a_model_without_a_head_are_its_rows() -> None:
    _, _, _, target, labels = tensors()
    rows = target.clone().requires_grad_()
    found = chunked_mean(rows, Head(None, None), lambda logits, part: Mixture(alpha=0).losses(None, logits, labels[part]), chunk=4)[0]
    found.backward()
    expected = target.clone().requires_grad_()
    functional.cross_entropy(expected, labels).backward()
    assert torch.equal(chunked_logits(target[:2], Head(None, None), 9), target[:2, :9])
    torch.testing.assert_close(rows.grad, expected.grad)


def test_a_second_backward_pass_is_refused() -> None:
    loss = in_chunks(Mixture(), WORDS, None, 5, tensors())[0]
    loss.backward(retain_graph=True)
    with pytest.raises(RuntimeError, match="taken once"):
        loss.backward()
