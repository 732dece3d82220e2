"""The mean of a loss on logits, computed a few rows at a time: [tokens x vocabulary] never exists as a whole.

The gradient is found in the forward pass, chunk by chunk, so that no product is computed twice: what is kept for the backward pass is the gradient
of the hidden states and of the head, which training needs anyway.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import torch
from torch import Tensor
from torch.nn import functional

from core.training.memory import CHUNK_BYTES

_WORDS = 8192
"""Rows of a head whose gradient in less than float32 is added at once."""

Losses = Callable[[Tensor, slice], tuple[Tensor, Mapping[str, Tensor]]]
"""From the logits [m, V] of some rows and their place to their losses [m] and the terms of these [m] by name."""


class Head(Protocol):
    """What makes logits of hidden states: `shaped(hidden @ weight.T + bias)`."""

    @property
    def weight(self) -> Tensor | None:
        """[V, H]; None where hidden states are logits already."""

    @property
    def bias(self) -> Tensor | None:
        """[V]."""

    def shaped(self, products: Tensor) -> Tensor:
        """Logits of products [..., V]."""


@dataclass(frozen=True)
class _Work:
    head: Head
    losses: Losses
    chunk: int
    vocabulary: int
    found: dict[str, Tensor]
    """Means of the terms of the loss."""


def chunked_mean(
    hidden: Tensor, head: Head, losses: Losses, *, vocabulary: int | None = None, chunk: int | None = None
) -> tuple[Tensor, dict[str, Tensor]]:
    """The mean loss of rows of hidden states, with gradients, and the means of its terms, without.

    Args:
        hidden: [n, H], or logits [n, V] where the head has no weight.
        head: of the model.
        losses: of some rows of logits, float32 or float64.
        vocabulary: words that exist; further rows of the head are padding and left out. None: all.
        chunk: rows at once; None: as many as have `CHUNK_BYTES` of logits.

    Raises:
        RuntimeError: the result's gradient is asked for twice; what it needs is given away at the first time.
    """
    width = hidden.shape[-1] if head.weight is None else len(head.weight)
    words = min(vocabulary or width, width)
    work = _Work(head, losses, chunk or max(CHUNK_BYTES // (4 * words), 1), words, {})
    if torch.is_grad_enabled():
        total: Tensor = _ChunkedMean.apply(hidden, head.weight, head.bias, work)  # type: ignore[no-untyped-call]
    else:
        total = _mean(hidden, work)
    return total, work.found


def chunked_logits(hidden: Tensor, head: Head, vocabulary: int) -> Tensor:
    """Logits [m, vocabulary] of a few rows of hidden states, without gradients, in float32 or float64."""
    return _widened(head.shaped(_products(hidden.detach(), _matrix(head, vocabulary), _cut(head.bias, vocabulary), vocabulary)))


def _mean(hidden: Tensor, work: _Work) -> Tensor:
    rows = len(hidden)
    matrix, bias = _matrix(work.head, work.vocabulary), _cut(work.head.bias, work.vocabulary)
    total = hidden.new_zeros((), dtype=_wide(hidden))
    for first in range(0, rows, work.chunk):
        part = slice(first, min(first + work.chunk, rows))
        logits = _widened(work.head.shaped(_widened(_products(hidden[part], matrix, bias, work.vocabulary))))
        losses, terms = work.losses(logits, part)
        total += losses.sum() / rows
        _add_terms(work.found, terms, rows)
    return total


class _ChunkedMean(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, hidden: Tensor, weight: Tensor | None, bias: Tensor | None, work: _Work) -> Tensor:
        rows = len(hidden)
        for_hidden, for_weight, for_bias, _ = ctx.needs_input_grad
        matrix, cut_bias = _matrix(work.head, work.vocabulary), _cut(bias, work.vocabulary)
        of_hidden = torch.zeros_like(hidden) if for_hidden else None
        of_weight = torch.zeros_like(weight) if for_weight and weight is not None else None
        of_bias = torch.zeros_like(bias) if for_bias and bias is not None else None
        total = hidden.new_zeros((), dtype=_wide(hidden))
        for first in range(0, rows, work.chunk):
            part = slice(first, min(first + work.chunk, rows))
            given = hidden[part].detach()
            products = _widened(_products(given, matrix, cut_bias, work.vocabulary)).requires_grad_()
            with torch.enable_grad():
                losses, terms = work.losses(work.head.shaped(products), part)
                loss = losses.sum() / rows
            (gradient,) = torch.autograd.grad(loss, products)
            total += loss.detach()
            _add_terms(work.found, terms, rows)
            del products, losses, terms, loss
            narrow = gradient if matrix is None else gradient.to(matrix.dtype)
            if of_hidden is not None:
                if matrix is None:
                    of_hidden[part, : work.vocabulary] = narrow.to(hidden.dtype)
                else:
                    of_hidden[part] = torch.mm(narrow, matrix).to(hidden.dtype)
            if of_weight is not None:
                _add_outer(of_weight[: work.vocabulary], narrow, given.to(narrow.dtype))
            if of_bias is not None:
                of_bias[: work.vocabulary] += gradient.sum(0).to(of_bias.dtype)
        ctx.gradients = (of_hidden, of_weight, of_bias)
        return total

    @staticmethod
    def backward(ctx: Any, *outer: Tensor) -> tuple[Tensor | None, ...]:
        if ctx.gradients is None:
            raise RuntimeError("the gradient of a chunked loss can be taken once: compute the loss again")
        gradients, ctx.gradients = ctx.gradients, None
        return *(None if gradient is None else gradient.mul_(outer[0].to(gradient.dtype)) for gradient in gradients), None


def _products(hidden: Tensor, matrix: Tensor | None, bias: Tensor | None, words: int) -> Tensor:
    if matrix is None:
        return hidden[:, :words]
    with torch.autocast(hidden.device.type, enabled=False):
        return functional.linear(hidden.to(matrix.dtype), matrix, None if bias is None else bias.to(matrix.dtype))


def _matrix(head: Head, words: int) -> Tensor | None:
    """The head's weight in the arithmetic that holds here."""
    if head.weight is None:
        return None
    device = head.weight.device.type
    dtype = torch.get_autocast_dtype(device) if torch.is_autocast_enabled(device) else head.weight.dtype
    return head.weight.detach()[:words].to(dtype)


def _cut(bias: Tensor | None, words: int) -> Tensor | None:
    return None if bias is None else bias.detach()[:words]


def _add_outer(total: Tensor, left: Tensor, right: Tensor) -> None:
    """total [V, H] += left [m, V] transposed, times right [m, H]."""
    if left.dtype == total.dtype:
        total.addmm_(left.T, right)
        return
    for first in range(0, len(total), _WORDS):
        total[first : first + _WORDS] += torch.mm(left[:, first : first + _WORDS].T, right)


def _add_terms(found: dict[str, Tensor], terms: Mapping[str, Tensor], rows: int) -> None:
    for name, term in terms.items():
        mean = term.detach().sum() / rows
        found[name] = found[name] + mean if name in found else mean


def _wide(tensor: Tensor) -> torch.dtype:
    return torch.float64 if tensor.dtype == torch.float64 else torch.float32


def _widened(tensor: Tensor) -> Tensor:
    return tensor.to(_wide(tensor))
