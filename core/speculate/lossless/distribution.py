"""Whether texts that were sampled by speculation are distributed as the target's own."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import torch
from torch import Tensor

from core.runtime.decoder import Decoder
from core.runtime.prefill import prefill
from core.runtime.sampling import Sampling, warp
from core.speculate.bench.loop import Round
from core.speculate.bench.speculator import Speculator
from core.speculate.bench.tally import Tally
from core.speculate.lossless.result import Comparison
from core.speculate.lossless.statistics import compare
from core.speculate.lossless.toy import Toy, speculative_counts

CELLS = 50
"""Equal cells that quantiles are counted in."""
_START = 0
_DRAFTS = {True: "a sampled draft", False: "a greedy draft"}


def toy_comparisons(sampling: Sampling, gamma: int, draws: int, seed: int, error: float) -> list[Comparison]:
    """Texts over a toy vocabulary, each of their tokens against its exact distribution.

    A text is one token longer than the longest round, so that accepted, corrected and bonus tokens and those of a second round are all compared.

    Args:
        sampling: warps target and draft; greedy is not a test.
        gamma: drafts a round.
        draws: texts of each kind of draft.
        seed: of all draws.
        error: chance that an exact implementation may be refused, over all comparisons together.
    """
    toy = Toy.make(seed=seed)
    length = gamma + 2
    target, draft = warp(toy.target, sampling), warp(toy.draft, sampling)
    exact = toy.marginals(_START, sampling, length)
    found = []
    for drawn in (True, False):
        counts = speculative_counts(
            target,
            draft if drawn else warp(toy.draft, Sampling()),
            draft if drawn else None,
            gamma=gamma,
            length=length,
            draws=draws,
            generator=torch.Generator().manual_seed(seed + drawn),
            start=_START,
        )
        for position in range(length):
            name, title = f"toy {'drawn' if drawn else 'greedy'} {position + 1}", f"toy of {len(target)} tokens, {_DRAFTS[drawn]}"
            found.append(_comparison(name, f"{title}: token {position + 1}", counts[position], exact[position], error / (2 * length)))
    return found


@dataclass
class Quantiles:
    """Where the sampled tokens of texts stand in the target's own distributions.

    With a token's chance p(x) and the chance F(x) of all tokens that are likelier, U = F(x) + V p(x) with V uniform on [0, 1) is uniform, and
    independent of all before it, exactly when each token is drawn from p (the probability integral transform, randomized for a discrete law). So
    tokens of many contexts fill equal cells evenly, whatever the contexts are; and p comes from plain forwards over the whole text, so that a
    cache that was not rolled back rightly shows too.

    Args:
        decoder: of the target.
        sampling: that the texts were drawn with.
        generator: source of V.
    """

    decoder: Decoder
    sampling: Sampling
    generator: torch.Generator
    counts: Tensor = field(default_factory=lambda: torch.zeros(CELLS, dtype=torch.int64))

    @torch.inference_mode()
    def add(self, prompts: Tensor, texts: list[list[int]]) -> None:
        """Count the tokens of the texts that were generated behind the prompts, int64 [B, n]."""
        longest = max(map(len, texts))
        tokens = torch.tensor([text + [0] * (longest - len(text)) for text in texts], device=prompts.device)
        whole = torch.cat((prompts, tokens), 1)
        self.decoder.reset(len(prompts))
        first = prefill(self.decoder, prompts)[:, None]
        logits = torch.cat((first, self.decoder.forward(tokens[:, :-1])), 1)
        lengths = torch.tensor([len(text) for text in texts], device=prompts.device)
        for position in range(longest):
            law = warp(logits[:, position], self.sampling, self._seen(whole[:, : prompts.shape[1] + position]))
            own = law.gather(1, tokens[:, position, None])
            likelier = torch.where(law > own, law, 0.0).sum(1)
            uniform = likelier + self._tied(law, own, tokens[:, position])
            real = uniform[lengths > position].cpu()
            self.counts += torch.bincount((real * CELLS).long().clamp_(0, CELLS - 1), minlength=CELLS)

    def _tied(self, law: Tensor, own: Tensor, tokens: Tensor) -> Tensor:
        """A uniform share of the token's own chance, behind tokens of exactly the same chance that come before it."""
        before = (law == own) & (torch.arange(law.shape[1], device=law.device) < tokens[:, None])
        share = torch.rand(len(law), dtype=torch.float64, generator=self.generator, device=law.device)
        return torch.where(before, law, 0.0).sum(1) + share * own[:, 0]

    def _seen(self, text: Tensor) -> Tensor | None:
        if not self.sampling.penalizes:
            return None
        return torch.zeros(len(text), self.decoder.vocabulary, dtype=torch.bool, device=text.device).scatter_(1, text, True)

    def comparison(self, error: float) -> Comparison:
        """The counts against equal cells."""
        even = torch.full((CELLS,), 1 / CELLS, dtype=torch.float64)
        return _comparison("model", "model: quantiles of its sampled tokens in the target's distributions", self.counts, even, error)


def sampled(
    way: Speculator, prompts: Tensor, *, gamma: int, new: int, sampling: Sampling, generator: torch.Generator, tally: Tally
) -> tuple[list[list[int]], list[Round]]:
    """Texts of `new` tokens behind each prompt, by speculation; stop tokens are tokens like others, so that every text has its length."""
    every = list(way.rounds(prompts, gamma=gamma, sampling=sampling, max_new_tokens=new, generator=generator))
    tally.add(every)
    return [[token for done in every for token in done.emitted[row]] for row in range(len(prompts))], every


def tokens_of_a_text(gamma: int) -> int:
    """Long enough for two whole rounds behind the first token."""
    return max(16, 2 * gamma + 3)


OnDraws = Callable[[int], None]


def model_comparison(
    way: Speculator,
    decoder: Decoder,
    prompts: Tensor,
    *,
    gamma: int,
    sampling: Sampling,
    draws: int,
    seed: int,
    error: float,
    batch: int,
    on_draws: OnDraws = lambda _: None,
) -> tuple[Comparison, Tally, list[tuple[Tensor, list[Round]]]]:
    """Tokens sampled from the model by speculation against the target's own distributions.

    Args:
        way: speculates.
        decoder: of the target.
        prompts: int64 [N, n], taken one after the other.
        gamma: drafts a round.
        sampling: not greedy.
        draws: tokens.
        seed: of all draws.
        error: chance that an exact implementation may be refused.
        batch: texts that are drawn at once behind one prompt.
        on_draws: called after each batch with how many tokens there are; may raise to cancel.

    Returns:
        The comparison, the counts of acceptance, and the rounds of the first row's texts with their prompts, for a live view.
    """
    generator = torch.Generator(decoder.device).manual_seed(seed)
    quantiles, tally, shown = Quantiles(decoder, sampling, generator), Tally(), list[tuple[Tensor, list[Round]]]()
    done, number = 0, 0
    new = tokens_of_a_text(gamma)
    while done < draws:
        rows = min(batch, -(-(draws - done) // new))
        prompt = prompts[number % len(prompts)].to(decoder.device).expand(rows, -1)
        texts, every = sampled(way, prompt, gamma=gamma, new=new, sampling=sampling, generator=generator, tally=tally)
        quantiles.add(prompt, texts)
        shown.append((prompt[:1], every))
        done, number = done + sum(map(len, texts)), number + 1
        on_draws(done)
    return quantiles.comparison(error), tally, shown


def _comparison(name: str, title: str, counts: Tensor, exact: Tensor, error: float) -> Comparison:
    fit = compare(counts, exact, error)
    return Comparison(
        name=name,
        title=title,
        draws=fit.draws,
        cells=fit.cells,
        total_variation=fit.total_variation,
        bound=fit.bound,
        chi_square=fit.chi_square,
        degrees_of_freedom=fit.degrees_of_freedom,
        p_value=fit.p_value,
        passed=fit.passed,
    )
