from collections import Counter
from typing import Any

import pytest
import torch

from core.errors import RequestError, RunFailed
from core.runtime.generate import generate
from core.runtime.opening import open_decoder
from core.runtime.sampling import Sampling, warp
from core.speculate.medusa.loop import rounds
from core.speculate.medusa.tree import CandidateTree
from core.speculate.medusa.typical import threshold
from tests.core.speculate.medusa.oracle import PROMPTS, Perfect
from tests.core.speculate.whole import decode


def plain(target, prompt, new, sampling=None, seed=0, stop_tokens=()):
    return generate(target, prompt, sampling=sampling, max_new_tokens=new, seed=seed, stop_tokens=stop_tokens)


@pytest.mark.parametrize("prompt", PROMPTS)
def test_greedy_is_greedy_decoding(target, heads, tree, prompt):
    done = decode(open_decoder(target, 128), heads, tree, prompt, max_new_tokens=60)
    assert done.tokens[0] == plain(target, prompt, 60).tokens[0]
    assert sum(each.accepted[0] for each in done.rounds) > 0
    assert len(done.rounds) < 60


@pytest.mark.parametrize(
    "sampling",
    [
        Sampling(temperature=0.8, top_p=0.9),
        Sampling(temperature=1.3, top_k=12, repetition_penalty=1.4),
        Sampling(temperature=1.0, min_p=0.05),
        Sampling(repetition_penalty=1.5),
    ],
)
def test_with_the_same_seed_a_text_is_the_one_that_plain_decoding_draws(target, heads, tree, sampling):
    for seed, prompt in enumerate(PROMPTS):
        generator = torch.Generator().manual_seed(seed)
        done = decode(open_decoder(target, 128), heads, tree, prompt, sampling=sampling, max_new_tokens=40, generator=generator)
        assert done.tokens[0] == plain(target, prompt, 40, sampling, seed).tokens[0]


def test_perfect_heads_are_accepted_whole(target, tree):
    heads = Perfect(target)
    chain = CandidateTree(((0,), (0, 0), (0, 0, 0)), (1.0, 1.0, 1.0))
    done = decode(open_decoder(target, 128), heads, chain, PROMPTS[1], max_new_tokens=41)  # type: ignore[arg-type]
    assert done.tokens[0] == plain(target, PROMPTS[1], 41).tokens[0]
    assert [len(each.emitted[0]) for each in done.rounds] == [1] + [4] * 10


def test_the_distribution_is_the_targets_own(target, heads, tree):
    """Pairs of tokens behind one prompt against the exact product of the target's distributions."""
    sampling, prompt = Sampling(temperature=1.0, top_k=4), PROMPTS[0]
    decoder = open_decoder(target, 64)
    generator = torch.Generator().manual_seed(0)
    draws = 1000
    found = Counter(
        tuple(decode(decoder, heads, tree, prompt, sampling=sampling, max_new_tokens=2, generator=generator).tokens[0]) for _ in range(draws)
    )
    first = warp(target(input_ids=prompt[None]).logits[0, -1], sampling)
    exact: dict[Any, Any] = {}
    for one in first.nonzero()[:, 0].tolist():
        second = warp(target(input_ids=torch.cat((prompt, torch.tensor([one])))[None]).logits[0, -1], sampling)
        exact |= {(one, other): float(first[one] * second[other]) for other in second.nonzero()[:, 0].tolist()}
    assert set(found) <= set(exact)
    distance = sum(abs(found[pair] / draws - chance) for pair, chance in exact.items()) / 2
    assert distance < 2 * sum((chance * (1 - chance) / draws) ** 0.5 for chance in exact.values()) / 2


def test_a_stop_token_inside_an_accepted_path_ends_the_text(target):
    heads = Perfect(target)
    chain = CandidateTree(((0,), (0, 0), (0, 0, 0)), (1.0, 1.0, 1.0))
    text = plain(target, PROMPTS[1], 30).tokens[0]
    stop = next(token for place, token in enumerate(text) if place in (6, 7, 10) and token not in text[:place])
    done = decode(open_decoder(target, 128), heads, chain, PROMPTS[1], max_new_tokens=30, stop_tokens=[stop])  # type: ignore[arg-type]
    assert done.tokens[0] == text[: text.index(stop) + 1]
    assert done.finish == ["stop"]
    assert done.rounds[-1].over == ["stop"]
    assert done.rounds[-1].accepted[0] <= len(done.rounds[-1].emitted[0])


@pytest.mark.parametrize("new", [1, 2, 3, 5])
def test_the_limit_is_kept_to_the_token(target, heads, tree, new):
    done = decode(open_decoder(target, 64), heads, tree, PROMPTS[0], max_new_tokens=new)
    assert done.tokens[0] == plain(target, PROMPTS[0], new).tokens[0]
    assert done.finish == ["length"]


def test_a_full_cache_leaves_a_smaller_tree_and_the_same_text(target, heads, tree):
    decoder = open_decoder(target, len(PROMPTS[2]) + 39)
    done = decode(decoder, heads, tree, PROMPTS[2], max_new_tokens=40)
    assert done.tokens[0] == plain(target, PROMPTS[2], 40).tokens[0]
    assert done.rounds[-1].candidates < len(tree.paths)


def test_rounds_tell_the_branch_and_the_sibling_that_was_refused(target, heads, tree):
    for done in list(rounds(open_decoder(target, 128), heads, tree, PROMPTS[1], max_new_tokens=40))[1:]:
        drafted, accepted, emitted = done.drafted[0], done.accepted[0], done.emitted[0]
        assert drafted[:accepted] == emitted[:accepted]
        assert len(drafted) in (accepted, accepted + 1)
        if len(drafted) > accepted and len(emitted) > accepted:
            assert drafted[accepted] != emitted[accepted]


def test_typical_acceptance_takes_more_and_is_greedy_at_temperature_zero(target, heads, tree):
    greedy = decode(open_decoder(target, 128), heads, tree, PROMPTS[1], max_new_tokens=40, acceptance="typical")
    assert greedy.tokens[0] == plain(target, PROMPTS[1], 40).tokens[0]
    accepted = {}
    for acceptance in ("exact", "typical"):
        total = 0
        for seed in range(6):
            generator = torch.Generator().manual_seed(seed)
            sampling = Sampling(temperature=1.5)
            done = decode(
                open_decoder(target, 128), heads, tree, PROMPTS[1], sampling=sampling, max_new_tokens=60, generator=generator, acceptance=acceptance
            )
            assert len(done.tokens[0]) == 60
            total += sum(each.accepted[0] for each in done.rounds)
        accepted[acceptance] = total
    assert accepted["typical"] > accepted["exact"]


def test_the_threshold_is_min_of_epsilon_and_what_entropy_allows():
    flat = torch.full((8,), 1 / 8, dtype=torch.float64)
    assert float(threshold(flat)) == pytest.approx(0.3 / 8)
    assert float(threshold(torch.tensor([1.0, 0.0]).double())) == pytest.approx(0.09)


def test_what_cannot_be_is_refused(target, heads, tree):
    decoder = open_decoder(target, 32)
    with pytest.raises(RequestError, match="batch of 1"):
        rounds(decoder, heads, tree, torch.zeros(2, 3, dtype=torch.int64))
    with pytest.raises(RequestError, match="do not fit"):
        rounds(decoder, heads, tree, PROMPTS[0], max_new_tokens=40)
    with pytest.raises(RequestError, match="at least one"):
        rounds(decoder, heads, tree, PROMPTS[0], max_new_tokens=0)
    with pytest.raises(RequestError, match="empty"):
        next(iter(rounds(decoder, heads, tree, PROMPTS[0][:0], max_new_tokens=3)))


def test_predictions_that_are_not_numbers_are_named(target, heads, tree):
    class Broken:
        def __init__(self, decoder):
            self._decoder, self._calls = decoder, 0

        def __getattr__(self, name):
            return getattr(self._decoder, name)

        def forward(self, tokens, **named):
            self._calls += 1
            logits = self._decoder.forward(tokens, **named)
            return logits * float("nan") if self._calls == 3 else logits

    for sampling in (Sampling(), Sampling(temperature=1.0)):
        with pytest.raises(RunFailed, match="round 2"):
            decode(Broken(open_decoder(target, 64)), heads, tree, PROMPTS[0], sampling=sampling, max_new_tokens=20)
