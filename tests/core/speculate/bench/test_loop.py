"""Whatever is drafted, the text is the target's: against plain decoding, token by token and in distribution."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from core.errors import RequestError, RunFailed
from core.runtime.generate import generate
from core.runtime.opening import open_decoder
from core.runtime.sampling import Sampling, warp
from core.speculate.bench.loop import rounds
from core.speculate.bench.shape import slots_needed
from core.speculate.drafters.base import Drafter, Proposal
from core.speculate.drafters.layers import with_blocks
from core.speculate.drafters.lookup import LookupDrafter
from core.speculate.drafters.model import ModelDrafter
from core.speculate.lossless.statistics import compare
from tests.core.speculate.conftest import llama
from tests.core.speculate.whole import speculate

if TYPE_CHECKING:
    from transformers import PreTrainedModel

SLOTS = 250
DRAFTERS = ("model", "lookup", "layers", "itself")


def drafter_of(name: str, target: PreTrainedModel, small: PreTrainedModel, sampling: Sampling, generator: torch.Generator | None = None) -> Drafter:
    if name == "lookup":
        return LookupDrafter(1, 3)
    models = {"model": small, "layers": with_blocks(target, (0, 1, 3)), "itself": target}
    return ModelDrafter(open_decoder(models[name], SLOTS, batch=1), sampling, 40, generator)


def prompts_of(rows: int, length: int, seed: int = 0, vocabulary: int = 40) -> Tensor:
    return torch.randint(2, vocabulary, (rows, length), generator=torch.Generator().manual_seed(seed))


class Scripted:
    """Drafts what a list of choices says: right tokens of the known text, wrong ones, or a shorter draft."""

    name = "scripted"
    calls = 0

    def __init__(self, texts: Sequence[Sequence[int]], choices: Sequence[int], vocabulary: int) -> None:
        self._texts, self._choices, self._vocabulary = texts, list(choices), vocabulary
        self._at = 0
        self._done = [0] * len(texts)

    def begin(self, prompt: Tensor, real: Tensor | None = None) -> None:
        del prompt, real

    def _choice(self) -> int:
        self._at += 1
        return self._choices[self._at % len(self._choices)]

    def propose(self, gamma: int) -> Proposal:
        rows, real = [], []
        for text, done in zip(self._texts, self._done, strict=True):
            row = [(text[done + step] if done + step < len(text) else 0) for step in range(gamma)]
            row = [(token + 1) % self._vocabulary if self._choice() % 3 == 0 else token for token in row]
            length = self._choice() % (gamma + 1)
            rows.append(row)
            real.append([step < length for step in range(gamma)])
        return Proposal(torch.tensor(rows), torch.tensor(real))

    def accept(self, emitted: Sequence[Sequence[int]]) -> None:
        self._done = [done + len(new) for done, new in zip(self._done, emitted, strict=True)]


@pytest.mark.parametrize("batch", [1, 3])
@pytest.mark.parametrize("name", DRAFTERS)
def test_greedy_texts_are_those_of_plain_decoding(target: PreTrainedModel, small: PreTrainedModel, name: str, batch: int) -> None:
    decoder = open_decoder(target, SLOTS, batch=batch)
    drafter = drafter_of(name, target, small, Sampling())
    for gamma in (1, 3, 6):
        prompts = prompts_of(batch, 9, gamma)
        expected = generate(decoder, prompts, max_new_tokens=24)
        found = speculate(decoder, drafter, prompts, gamma=gamma, max_new_tokens=24)
        assert found.tokens == expected.tokens
        assert found.finish == ["length"] * batch
        if name == "itself":
            assert len(found.rounds) == 1 + -(-23 // (gamma + 1))


@given(st.lists(st.integers(0, 100), min_size=5, max_size=40), st.integers(1, 5), st.integers(1, 4))
@settings(max_examples=25)
def test_any_drafts_of_any_length_in_any_row_change_nothing(choices: list[int], gamma: int, batch: int) -> None:
    model = llama(12, 1, 3)
    decoder = open_decoder(model, SLOTS, batch=batch)
    prompts = prompts_of(batch, 4, sum(choices), 12)
    expected = generate(decoder, prompts, max_new_tokens=14).tokens
    shifted = Scripted([row[0:] for row in expected], choices, 12)
    found = speculate(decoder, shifted, prompts, gamma=gamma, max_new_tokens=14)
    assert found.tokens == expected


@pytest.mark.parametrize("batch", [1, 3])
@pytest.mark.parametrize("name", ["model", "lookup", "itself"])
def test_a_penalty_sees_drafted_tokens(target: PreTrainedModel, small: PreTrainedModel, name: str, batch: int) -> None:
    sampling = Sampling(repetition_penalty=1.7)
    decoder = open_decoder(target, SLOTS, batch=batch)
    prompts = prompts_of(batch, 6)
    expected = generate(decoder, prompts, max_new_tokens=20, sampling=sampling)
    plain = generate(decoder, prompts, max_new_tokens=20)
    found = speculate(decoder, drafter_of(name, target, small, sampling), prompts, gamma=4, max_new_tokens=20, sampling=sampling)
    assert found.tokens == expected.tokens != plain.tokens


@pytest.mark.parametrize("name", DRAFTERS)
def test_shorter_prompts_are_padded_on_the_left(target: PreTrainedModel, small: PreTrainedModel, name: str) -> None:
    decoder = open_decoder(target, SLOTS, batch=3)
    prompts = prompts_of(3, 8)
    real = torch.arange(8) >= torch.tensor([0, 3, 6])[:, None]
    found = speculate(decoder, drafter_of(name, target, small, Sampling()), prompts, gamma=3, max_new_tokens=16, real=real)
    for row, skipped in enumerate((0, 3, 6)):
        alone = generate(open_decoder(target, SLOTS), prompts[row, skipped:], max_new_tokens=16)
        assert found.tokens[row] == alone.tokens[0]


@pytest.mark.parametrize("batch", [1, 2])
@pytest.mark.parametrize("place", [0, 1, 5, 10])
def test_a_stop_token_inside_an_accepted_run_ends_the_text(target: PreTrainedModel, small: PreTrainedModel, place: int, batch: int) -> None:
    decoder = open_decoder(target, SLOTS, batch=batch)
    prompts = prompts_of(batch, 7)
    stop = generate(decoder, prompts, max_new_tokens=20).tokens[0][place]
    expected = generate(decoder, prompts, max_new_tokens=20, stop_tokens=[stop])
    found = speculate(decoder, drafter_of("itself", target, small, Sampling()), prompts, gamma=4, max_new_tokens=20, stop_tokens=[stop])
    assert found.tokens == expected.tokens
    assert found.finish[0] == "stop"
    if batch == 1:
        assert decoder.length == 7 + len(found.tokens[0]) - 1


@pytest.mark.parametrize("limit", [1, 2, 3, 4, 5, 6, 7])
def test_the_limit_is_kept_and_the_cache_holds_the_text_but_its_last_token(target: PreTrainedModel, small: PreTrainedModel, limit: int) -> None:
    decoder = open_decoder(target, slots_needed(7, limit, 4, 1))
    prompts = prompts_of(1, 7)
    found = speculate(decoder, drafter_of("itself", target, small, Sampling()), prompts, gamma=4, max_new_tokens=limit)
    assert len(found.tokens[0]) == limit
    assert decoder.length == 7 + limit - 1
    text = torch.cat((prompts, torch.tensor(found.tokens)), 1)
    going_on = decoder.forward(text[:, -1:]) if decoder.length < decoder.max_tokens else None
    if going_on is not None:
        assert torch.allclose(going_on[:, -1], target(text).logits[:, -1], atol=1e-9)


def test_slots_are_enough_in_the_worst_case(target: PreTrainedModel) -> None:
    """Rows take turns in accepting everything."""
    for batch in (2, 4):
        prompts = prompts_of(batch, 5)
        expected = generate(open_decoder(target, SLOTS, batch=batch), prompts, max_new_tokens=17).tokens
        decoder = open_decoder(target, slots_needed(5, 17, 3, batch), batch=batch)
        for choices in ([1, 3], [1, 1, 1, 3, 0], [3], [0, 1, 2, 3, 4, 5, 6]):
            assert speculate(decoder, Scripted(expected, choices, 40), prompts, gamma=3, max_new_tokens=17).tokens == expected


@pytest.mark.parametrize("sampling", [Sampling(1.0), Sampling(0.7, top_p=0.85), Sampling(1.2, top_k=4, repetition_penalty=1.3)])
@pytest.mark.parametrize("name", ["model", "lookup"])
def test_sampled_texts_have_the_targets_joint_distribution(sampling: Sampling, name: str) -> None:
    """All texts of three tokens over a vocabulary of five, whose probabilities the target gives by enumeration."""
    model, small = llama(5, 2, 5, 0.5), llama(5, 1, 6, 0.5)
    prompt, rows, tokens = torch.tensor([[1, 3, 4, 1]]), 500, 3
    decoder = open_decoder(model, 40, batch=rows)
    generator = torch.Generator().manual_seed(0)
    drafter: Drafter = LookupDrafter(1, 2) if name == "lookup" else ModelDrafter(open_decoder(small, 40, batch=rows), sampling, 5, generator)
    counts = torch.zeros(5**tokens, dtype=torch.int64)
    weights = torch.tensor([25, 5, 1])
    for _ in range(8):
        texts = speculate(decoder, drafter, prompt.expand(rows, -1), gamma=2, max_new_tokens=tokens, sampling=sampling, generator=generator).tokens
        counts += torch.bincount((torch.tensor(texts) * weights).sum(1), minlength=len(counts))
    exact = torch.ones(5**tokens, dtype=torch.float64)
    every = torch.cartesian_prod(*[torch.arange(5)] * tokens)
    for position in range(tokens):
        text = torch.cat((prompt.expand(len(every), -1), every[:, :position]), 1)
        seen = torch.zeros(len(every), 5, dtype=torch.bool).scatter_(1, text, True)
        exact *= warp(model(text).logits[:, -1], sampling, seen).gather(1, every[:, position, None])[:, 0]
    fit = compare(counts, exact, 0.001)
    assert fit.passed, fit


def test_the_same_seed_gives_the_same_text(target: PreTrainedModel, small: PreTrainedModel) -> None:
    sampling = Sampling(1.0)
    texts = []
    for seed in (1, 1, 2):
        generator = torch.Generator().manual_seed(seed)
        drafter = drafter_of("model", target, small, sampling, generator)
        texts.append(
            speculate(
                open_decoder(target, SLOTS), drafter, prompts_of(1, 5), gamma=3, max_new_tokens=15, sampling=sampling, generator=generator
            ).tokens
        )
    assert texts[0] == texts[1] != texts[2]


def test_rounds_stream_and_say_what_they_did(target: PreTrainedModel, small: PreTrainedModel) -> None:
    prompts = prompts_of(2, 6)
    decoder = open_decoder(target, SLOTS, batch=2)
    text: list[list[int]] = [[], []]
    for number, done in enumerate(rounds(decoder, drafter_of("lookup", target, small, Sampling()), prompts, gamma=3, max_new_tokens=20)):
        for row in range(2):
            drafted, accepted, new = done.drafted[row], done.accepted[row], done.emitted[row]
            assert new[:accepted] == drafted[:accepted]
            assert len(new) - accepted in (0, 1)
            assert number or not drafted
            if accepted < len(drafted) and len(new) > accepted:
                assert new[accepted] != drafted[accepted]
            text[row] += new
    assert text == generate(decoder, prompts, max_new_tokens=20).tokens


def test_a_draft_model_with_a_shorter_context_stops_drafting(target: PreTrainedModel, small: PreTrainedModel) -> None:
    prompts = prompts_of(1, 6)
    decoder = open_decoder(target, SLOTS)
    expected = generate(decoder, prompts, max_new_tokens=30).tokens
    for slots in (4, 12):
        drafter = ModelDrafter(open_decoder(small, slots), Sampling(), 40)
        assert speculate(decoder, drafter, prompts, gamma=3, max_new_tokens=30).tokens == expected


@pytest.mark.parametrize("width", [30, 50])
def test_a_draft_model_of_another_width_is_fitted(target: PreTrainedModel, width: int) -> None:
    sampling = Sampling(1.0)
    generator = torch.Generator().manual_seed(0)
    drafter = ModelDrafter(open_decoder(llama(width, 1, 4), SLOTS), sampling, 40, generator)
    drafter.begin(prompts_of(1, 5, vocabulary=30))
    drafter.accept([[3]])
    proposal = drafter.propose(3)
    assert proposal.probabilities is not None
    assert proposal.probabilities.shape == (1, 3, 40)
    assert torch.allclose(proposal.probabilities.sum(-1), torch.ones(1, 3, dtype=torch.float64))
    assert int(proposal.tokens.max()) < min(width, 40)
    decoder = open_decoder(target, SLOTS)
    prompts = prompts_of(1, 6)
    found = speculate(decoder, drafter, prompts, gamma=3, max_new_tokens=20, sampling=sampling, generator=generator)
    assert len(found.tokens[0]) == 20


class _Broken:
    """A decoder whose predictions turn to NaN."""

    def __init__(self, decoder: Any, good: int) -> None:
        self._decoder, self._good = decoder, good

    def __getattr__(self, name: str) -> Any:
        return getattr(self._decoder, name)

    def forward(self, *arguments: Any, **named: Any) -> Tensor:
        self._good -= 1
        logits: Tensor = self._decoder.forward(*arguments, **named)
        return logits if self._good >= 0 else logits * torch.nan


@pytest.mark.parametrize("temperature", [0.0, 1.0])
def test_nan_is_named_with_its_round(target: PreTrainedModel, small: PreTrainedModel, temperature: float) -> None:
    sampling = Sampling(temperature)
    broken: Any = _Broken(open_decoder(target, SLOTS), 3)
    with pytest.raises(RunFailed, match="round 4"):
        speculate(broken, drafter_of("model", target, small, sampling), prompts_of(1, 5), gamma=2, max_new_tokens=30, sampling=sampling)


def test_a_draft_model_that_answers_nan_is_found_out_when_it_is_sampled(target: PreTrainedModel, small: PreTrainedModel) -> None:
    broken: Any = _Broken(open_decoder(small, SLOTS), 2)
    with pytest.raises(RunFailed, match="contain NaN or Inf"):
        speculate(
            open_decoder(target, SLOTS),
            ModelDrafter(broken, Sampling(1.0), 40),
            prompts_of(1, 5),
            gamma=2,
            max_new_tokens=30,
            sampling=Sampling(1.0),
        )


def test_what_does_not_fit_is_refused_before_it_begins(target: PreTrainedModel) -> None:
    decoder = open_decoder(target, 20)
    with pytest.raises(RequestError, match="20"):
        speculate(decoder, LookupDrafter(), prompts_of(1, 10), gamma=2, max_new_tokens=12)
    with pytest.raises(RequestError, match="empty"):
        speculate(decoder, LookupDrafter(), prompts_of(1, 0), gamma=2, max_new_tokens=5)
    with pytest.raises(RequestError, match="gamma 0"):
        speculate(decoder, LookupDrafter(), prompts_of(1, 5), gamma=0, max_new_tokens=5)
