"""Verification against the closed form: the law of what a round emits is the target's own."""

from __future__ import annotations

import itertools

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from core.runtime.sampling import Sampling, warp
from core.speculate.lossless.toy import Toy
from core.speculate.verify import accept, residual, verify, verify_rows


def acceptance(target: Tensor, draft: Tensor) -> Tensor:
    """min(1, p / q) for every token, [..., V]; 1 where q is 0, as such a token is never drafted."""
    return torch.where(draft > 0, (target / draft.clamp(min=torch.finfo(draft.dtype).tiny)).clamp(max=1), 1.0)


def tables(vocabulary: int, seed: int, sampling: Sampling, *, greedy: bool) -> tuple[Tensor, Tensor]:
    toy = Toy.make(vocabulary, seed)
    return warp(toy.target, sampling), warp(toy.draft, Sampling() if greedy else sampling)


def law_of_a_round(target: Tensor, draft: Tensor, start: int, gamma: int) -> dict[tuple[int, ...], float]:
    """Probability of each sequence that one round emits, by enumeration of every draft and every outcome."""
    vocabulary = range(len(target))
    found: dict[tuple[int, ...], float] = {}

    def add(sequence: tuple[int, ...], probability: float) -> None:
        found[sequence] = found.get(sequence, 0.0) + probability

    for drafted in itertools.product(vocabulary, repeat=gamma):
        path = (start, *drafted)
        reached = 1.0
        for drawn in range(gamma):
            reached *= float(draft[path[drawn], path[drawn + 1]])
        for position in range(gamma):
            p, q = target[path[position]], draft[path[position]]
            passes = float(acceptance(p, q)[drafted[position]])
            for token in vocabulary:
                add((*drafted[:position], token), reached * (1 - passes) * float(residual(p, q)[token]))
            reached *= passes
        for token in vocabulary:
            add((*drafted, token), reached * float(target[path[gamma], token]))
    return found


@pytest.mark.parametrize("greedy", [False, True])
@pytest.mark.parametrize("sampling", [Sampling(1.0), Sampling(0.8, top_p=0.9), Sampling(1.3, top_k=3), Sampling(0.7, min_p=0.2)])
@pytest.mark.parametrize("seed", [0, 1])
def test_the_law_of_a_round_is_the_targets(sampling: Sampling, seed: int, greedy: bool) -> None:
    """Extended by the target to a fixed length, what a round emits has exactly the target's joint distribution."""
    target, draft = tables(4, seed, sampling, greedy=greedy)
    gamma, start = 2, 0
    joint = torch.zeros((4,) * (gamma + 1), dtype=torch.float64)
    for sequence, probability in law_of_a_round(target, draft, start, gamma).items():
        rest = torch.tensor(probability, dtype=torch.float64)
        for _ in range(gamma + 1 - len(sequence)):
            rest = rest[..., None] * (target[sequence[-1]] if rest.dim() == 0 else target)
        joint[sequence] += rest
    expected = target[start][:, None, None] * target[:, :, None] * target[None, :, :]
    assert float((joint - expected).abs().max()) < 1e-12


def test_one_position_of_fifty_tokens_is_exact() -> None:
    target, draft = tables(50, 0, Sampling(0.8, top_p=0.9), greedy=False)
    passed = draft * acceptance(target, draft)
    law = passed + (1 - passed.sum(1, keepdim=True)) * residual(target, draft)
    assert float((law - target).abs().sum(1).max()) / 2 < 1e-15


@given(st.integers(0, 2**32 - 1), st.integers(1, 6), st.integers(2, 12))
def test_a_draft_passes_when_the_draw_is_below_the_ratio(seed: int, count: int, vocabulary: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    p = torch.rand(3, count + 1, vocabulary, generator=generator, dtype=torch.float64).softmax(-1)
    q = torch.rand(3, count, vocabulary, generator=generator, dtype=torch.float64).mul(4).softmax(-1)
    tokens = torch.randint(vocabulary, (3, count), generator=generator)
    uniform = torch.rand(3, count, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))
    ratio = acceptance(p[:, :-1], q).gather(2, tokens[:, :, None])[:, :, 0]
    assert torch.equal(accept(tokens, q, p, torch.Generator().manual_seed(seed)), uniform < ratio)
    one_hot = torch.nn.functional.one_hot(tokens, vocabulary).double()
    assert torch.equal(accept(tokens, None, p, torch.Generator().manual_seed(seed)), accept(tokens, one_hot, p, torch.Generator().manual_seed(seed)))


@given(st.integers(0, 2**32 - 1))
def test_a_one_hot_draft_is_the_same_as_no_distribution(seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    p = torch.rand(5, 4, 7, generator=generator, dtype=torch.float64).softmax(-1)
    tokens = torch.randint(7, (5, 3), generator=generator)
    one_hot = torch.nn.functional.one_hot(tokens, 7).double()
    without = verify_rows(tokens, None, p, torch.Generator().manual_seed(seed))
    with_one = verify_rows(tokens, one_hot, p, torch.Generator().manual_seed(seed))
    assert torch.equal(without[0], with_one[0])
    assert torch.equal(without[1], with_one[1])


def test_a_token_of_probability_zero_never_passes_even_for_a_draw_of_zero(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch, "rand", lambda shape, **_: torch.zeros(shape, dtype=torch.float64))
    p = torch.tensor([[[0.0, 1.0], [0.5, 0.5]]], dtype=torch.float64)
    q = torch.tensor([[[1.0, 0.0]]], dtype=torch.float64)
    tokens = torch.tensor([[0]])
    assert not bool(accept(tokens, q, p))
    assert not bool(accept(tokens, None, p))


def test_equal_distributions_accept_everything_and_a_residual_of_nothing_is_p() -> None:
    p = torch.tensor([0.25, 0.75], dtype=torch.float64)
    assert torch.equal(residual(p, p), p)
    drafted = torch.tensor([1, 0, 1])
    for seed in range(50):
        emitted = verify(drafted, p.expand(3, 2), p.expand(4, 2), torch.Generator().manual_seed(seed))
        assert emitted[:3].tolist() == [1, 0, 1]
        assert len(emitted) == 4


def test_one_hot_targets_make_verification_an_argmax_comparison() -> None:
    """At temperature 0 the sampled rule and the greedy one agree, whatever the draws."""
    logits = torch.randn(200, 5, 11, generator=torch.Generator().manual_seed(0))
    best = logits.argmax(-1)
    drafted = best[:, :-1].clone()
    wrong = torch.rand(drafted.shape, generator=torch.Generator().manual_seed(1)) < 0.3
    drafted[wrong] = (drafted[wrong] + 1) % 11
    accepted, final = verify_rows(drafted, None, warp(logits, Sampling()), torch.Generator().manual_seed(2))
    assert torch.equal(accepted, (drafted == best[:, :-1]).cumprod(1).sum(1))
    assert torch.equal(final, best.gather(1, accepted[:, None])[:, 0])


def test_the_end_of_a_shorter_draft_is_followed_by_a_token_of_the_target() -> None:
    p = torch.eye(6, dtype=torch.float64)[torch.tensor([[1, 2, 3], [1, 2, 3], [4, 5, 5]])]
    drafted = torch.tensor([[1, 2], [1, 2], [1, 2]])
    real = torch.tensor([[True, True], [True, False], [False, False]])
    accepted, final = verify_rows(drafted, None, p, torch.Generator(), real)
    assert accepted.tolist() == [2, 1, 0]
    assert final.tolist() == [3, 2, 4]


def test_the_end_of_a_shorter_draft_draws_from_p_and_not_from_the_residual() -> None:
    """What stands in the padding must not colour the token behind the draft."""
    p = torch.tensor([0.6, 0.4], dtype=torch.float64).expand(20000, 2, 2)
    drafted, real = torch.zeros(20000, 1, dtype=torch.int64), torch.zeros(20000, 1, dtype=torch.bool)
    _, final = verify_rows(drafted, None, p, torch.Generator().manual_seed(0), real)
    assert abs(float((final == 0).double().mean()) - 0.6) < 0.015


def test_no_draft_is_a_plain_step() -> None:
    p = torch.tensor([[0.0, 0.0, 1.0]], dtype=torch.float64)
    assert verify(torch.empty(0, dtype=torch.int64), None, p).tolist() == [2]


def test_shapes_that_do_not_belong_together_are_refused() -> None:
    with pytest.raises(ValueError, match="need 3 target distributions"):
        verify(torch.tensor([1, 2]), None, torch.ones(2, 4))
    with pytest.raises(ValueError, match="as many draft distributions"):
        verify(torch.tensor([1, 2]), torch.ones(2, 3), torch.ones(3, 4))
