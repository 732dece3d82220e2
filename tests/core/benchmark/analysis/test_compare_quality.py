"""Perplexities set against each other token by token: what two models answer to the same tokens differs less than the tokens do."""

from __future__ import annotations

from math import exp

import numpy as np
import pytest

from core.benchmark.analysis.baseline import compare_to_baseline
from core.benchmark.analysis.comparison import compare_answers, compare_quality
from core.benchmark.compare.recommend import margin_words, recommend
from core.benchmark.report import report
from core.benchmark.report.differences import differences
from core.benchmark.result import BenchmarkResult, Quality
from tests.core.benchmark.making import entry, made, samples

COUNT = 500
WORDS = "1 windows of 512 tokens of a text (SHA-256 abc), all but the first token of each"


def quality(worse: float = 0.0, noise: int = 1, count: int = COUNT, words: str = WORDS) -> Quality:
    """A model whose losses are those of the text, `worse` nat higher, give or take 0.05."""
    text = np.random.default_rng(0).exponential(2.0, count)
    losses = text + worse + np.random.default_rng(noise).normal(0, 0.05, count)
    return Quality(
        ppl=exp(losses.mean()), ppl_se=exp(losses.mean()) * losses.std(ddof=1) / count**0.5, tokens=count, words=words, losses=tuple(losses.tolist())
    )


def result(of: Quality, name: str = "base") -> BenchmarkResult:
    return made(samples(1), name).model_copy(update={"entries": (entry(samples(1), name, quality=of),)})


def test_a_small_loss_is_beyond_noise_although_the_errors_of_the_perplexities_overlap() -> None:
    good, bad = quality(), quality(0.03, noise=2)
    assert good.ppl_se is not None
    assert bad.ppl is not None
    assert bad.ppl - (good.ppl or 0) < good.ppl_se, "each alone is not known so well"
    found = compare_quality(bad, good)
    assert found is not None
    assert (found.verdict, found.beyond_noise) == ("worse", True)
    assert found.ratio == pytest.approx(bad.ppl / (good.ppl or 1), rel=1e-9)
    assert found.low is not None
    assert 1 < found.low < exp(0.03) < (found.high or 0)
    back = compare_quality(good, bad)
    assert back is not None
    assert back.verdict == "better"


def test_equal_models_are_called_different_in_about_one_of_twenty_pairs() -> None:
    pairs = [compare_quality(quality(noise=2 * seed), quality(noise=2 * seed + 1), 0.95) for seed in range(100)]
    assert sum(found is not None and bool(found.beyond_noise) for found in pairs) <= 12


@pytest.mark.parametrize("other", [quality(count=400), quality(words="another text"), Quality(), quality().model_copy(update={"losses": ()})])
def test_what_did_not_score_the_same_tokens_is_not_compared(other: Quality) -> None:
    assert compare_quality(quality(), other) is None
    assert compare_quality(other, quality()) is None


def test_what_else_was_asked_does_not_matter() -> None:
    assert compare_quality(quality(words=f"{WORDS}; questions: by letter"), quality()) is not None


def test_the_best_quality_is_recommended_beyond_noise() -> None:
    entries = [entry(samples(seed), name, quality=of) for seed, (name, of) in enumerate({"a": quality(0.03, 3), "b": quality()}.items(), 1)]
    found = {each.goal: each for each in recommend(entries, {})}["quality"]
    assert (found.name, found.runner_up, found.beyond_noise) == ("b", "a", True)
    assert found.margin == pytest.approx(exp(0.03), rel=0.01)
    unlike = [entries[1], entry(samples(3), "c", quality=quality(0.03, 3, words="another text"))]
    found = {each.goal: each for each in recommend(unlike, {})}["quality"]
    assert found.beyond_noise is None
    assert "did not score the same tokens" in found.words


def test_a_worse_perplexity_falls_short_of_the_baseline_and_stands_in_comparisons() -> None:
    good, bad = result(quality()), result(quality(0.03, 2))
    held = {each.expression: each.passed for each in compare_to_baseline(good, bad).thresholds}
    assert held["perplexity no worse than the baseline"] is False
    assert held["ttft.p50 no worse than the baseline"] is True
    found = {each.name: each for each in differences(bad, good).found}
    assert found["perplexity"].beyond_noise is True
    document = report([("one", good), ("two", bad)]).document()
    assert document["comparison"][0]["aspects"]["perplexity"]["verdict"] == "worse"  # type: ignore[index]


MARGINS = {1.0: "as good as", 1.0004: "as good as", 1.0065: "0.65 % better than", 1.26: "26 % better than", 2.0: "2.00 times as good as"}


@pytest.mark.parametrize(("margin", "words"), MARGINS.items())
def test_margins_are_told_as_shares_where_they_are_little(margin: float, words: str) -> None:
    assert margin_words(margin) == words


def answered(correct: int, questions: int = 100) -> Quality:
    return Quality(correct=correct, questions=questions)


def test_answers_are_compared_by_their_shares() -> None:
    found = compare_answers(answered(80), answered(50))
    assert found is not None
    assert (found.verdict, found.ratio) == ("better", pytest.approx(1.6))
    near = compare_answers(answered(55), answered(50))
    assert near is not None
    assert near.beyond_noise is False
    worse = compare_answers(answered(50), answered(80))
    assert worse is not None
    assert worse.verdict == "worse"
    assert compare_answers(answered(5, 10), answered(50)) is None
    assert compare_answers(answered(5), Quality()) is None
    assert compare_answers(answered(100), answered(100)) is not None


def test_equal_models_answer_differently_in_at_most_one_of_twenty_pairs() -> None:
    drawn = np.random.default_rng(3).binomial(40, 0.7, (400, 2))
    found = [compare_answers(answered(int(one), 40), answered(int(other), 40), 0.95) for one, other in drawn]
    assert sum(each is not None and bool(each.beyond_noise) for each in found) / 400 < 0.07


def test_where_no_perplexity_is_known_the_questions_tell_the_best_quality() -> None:
    entries = [entry(samples(seed), name, quality=answered(correct)) for seed, (name, correct) in enumerate({"a": 50, "b": 80}.items(), 1)]
    (found,) = [each for each in recommend(entries, {}) if each.goal == "quality"]
    assert (found.name, found.figure, found.beyond_noise) == ("b", "accuracy", True)
    assert "80.00 % of the questions answered correctly" in found.words
    both = [entry(samples(1), "a", quality=quality()), entries[1]]
    (found,) = [each for each in recommend(both, {}) if each.goal == "quality"]
    assert found.figure == "ppl"
