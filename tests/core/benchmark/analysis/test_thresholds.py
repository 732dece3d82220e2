"""Expressions over a result: what they mean, and what they cannot."""

from __future__ import annotations

import numpy as np
import pytest

from core.benchmark.analysis.comparison import compare_samples
from core.benchmark.analysis.figures import counting_of, errors_of, level_of
from core.benchmark.analysis.thresholds import EXAMPLES, judge, needs, objectives_of, parse
from core.benchmark.client.load import LoadResult
from core.benchmark.client.outcome import Outcome, Piece, Usage
from core.benchmark.metrics import SampleMetric
from core.benchmark.result import BenchmarkEntry, Quality
from core.benchmark.spec import BenchmarkSpec
from core.errors import RequestError
from core.measure.significance import ratio_of

MS = 1_000_000


def outcomes(count: int = 100) -> list[Outcome]:
    """TTFT of 100, 101, ... ms, three pieces 20 ms apart, four tokens; the last two failed."""
    made = []
    for index in range(count):
        due = 50 * index * MS
        pieces = [Piece(due + (100 + index + 20 * step) * MS, "x") for step in range(3)]
        made.append(Outcome(index, "done", due, free=due, sent=due, ended=pieces[-1].t, pieces=pieces, usage=Usage(8, 4)))
    for outcome in made[-2:]:
        outcome.status, outcome.reason = "failed", "HTTP 500: oops"
    return made


def entry(objectives: dict[SampleMetric, float] | None = None) -> BenchmarkEntry:
    found = outcomes()
    level = level_of(LoadResult(0, 6000 * MS, found), objectives or {})
    return BenchmarkEntry(
        name="m",
        engine="openai",
        engine_version=None,
        url="http://127.0.0.1:1",
        model="m",
        served_model="m",
        requests=level.requests,
        ttft_ms=level.metrics["ttft_ms"],
        tpot_ms=level.metrics["tpot_ms"],
        itl_ms=level.metrics["itl_ms"],
        e2el_ms=level.metrics["e2el_ms"],
        throughput_tokens_per_second=level.throughput_tokens_per_second,
        throughput_requests_per_second=level.throughput_requests_per_second,
        levels=(level,),
        errors=errors_of(found),
        token_counts=counting_of(found),
    )


def test_the_figures_of_a_level_add_up() -> None:
    found = entry()
    counts = found.requests
    assert counts.done + counts.failed + counts.timed_out + counts.unsent + counts.cancelled == counts.scheduled == 100
    assert found.errors[0].count == 2
    assert found.token_counts == "server"
    assert found.itl_ms.p50 == pytest.approx(20)
    assert found.tpot_ms.p50 == pytest.approx(40 / 3)
    assert found.throughput_tokens_per_second == pytest.approx(20 * 4, rel=0.1)


@pytest.mark.parametrize(
    ("text", "passed"),
    [
        ("ttft.p50 < 500ms", True),
        ("ttft.p50 < 0.1s", False),
        ("TTFT.P95<=1s", True),
        ("ttft < 100", False),
        ("itl.max <= 20", True),
        ("ttft.n >= 50", True),
        ("throughput > 30", True),
        ("throughput > 1k", False),
        ("errors <= 2%", True),
        ("errors == 0", False),
        ("timeouts == 0", True),
    ],
)
def test_an_expression_is_held_against_its_figure(text: str, passed: bool) -> None:
    (found,) = judge([text], entry())
    assert found.passed is passed
    assert found.value is not None


def test_what_was_not_measured_cannot_pass() -> None:
    for text in ("goodput > 0", "ppl < 100", "kl < 1", "accuracy > 0", "cost < 5"):
        (found,) = judge([text], entry())
        assert found.passed is False
        assert found.value is None
        assert found.words


@pytest.mark.parametrize(
    ("text", "passed"),
    [
        ("ppl < 12", True),
        ("ppl < 10", False),
        ("kl < 0.05", True),
        ("kl<=40mnat", True),
        ("kl < 30 mnat", False),
        ("accuracy >= 75%", True),
        ("accuracy > 0.75", False),
    ],
)
def test_quality_is_held_against_its_limit(text: str, passed: bool) -> None:
    (found,) = judge([text], entry().model_copy(update={"quality": Quality(ppl=11.0, kl_mean=0.04, correct=3, questions=4)}))
    assert found.passed is passed
    assert found.value is not None


def test_what_a_figure_needs_is_known() -> None:
    wanted = {"ppl < 1": "quality_tokens", "kl < 1": "quality_reference", "accuracy > 0": "choices", "goodput > 1": "objectives", "cost < 1": "price"}
    assert {text: needs(parse(text)) for text in wanted} == wanted
    assert set(wanted.values()) <= set(BenchmarkSpec.model_fields)
    assert needs(parse("ttft.p95 < 1s")) == needs(parse("throughput > 1")) == ""


@pytest.mark.parametrize("text", EXAMPLES)
def test_the_examples_can_be_read(text: str) -> None:
    assert parse(text).text == text


def test_a_percentile_of_too_few_samples_is_judged_and_says_so() -> None:
    (found,) = judge(["ttft.p99 < 1s"], entry())
    assert found.passed is True
    assert "too few" in found.words


@pytest.mark.parametrize(
    ("text", "word"),
    [
        ("ttft p95 < 5", "cannot be read"),
        ("speed > 3", "choose one of ttft"),
        ("ttft.q95 < 5", "choose one of p50"),
        ("ttft.p95 < 5 bananas", "takes ms, s, us"),
        ("ttft.p42 < 1s", "choose one of p50"),
        ("throughput.p50 > 3", "one number"),
        ("", "cannot be read"),
        ("ttft.p95 < \x1b[2J", "cannot be read"),
    ],
)
def test_what_is_no_expression_is_refused(text: str, word: str) -> None:
    with pytest.raises(RequestError, match=word) as refused:
        parse(text)
    assert "\x1b" not in str(refused.value)


def test_objectives_are_of_one_request() -> None:
    found = objectives_of(["ttft < 500ms", "itl<=0.05s"])
    assert {metric.tag: limit for metric, limit in found.items()} == {"ttft_ms": 500, "itl_ms": 50}
    for text in ("ttft.p95 < 5", "ttft > 5", "throughput > 5"):
        with pytest.raises(RequestError, match="objective"):
            objectives_of([text])


def test_goodput_and_objectives_stand_in_the_level() -> None:
    level = entry(objectives_of(["ttft < 150ms"])).levels[0]
    assert level.meets_objectives is False
    assert level.goodput_requests_per_second is not None
    assert level.throughput_requests_per_second is not None
    assert level.goodput_requests_per_second < level.throughput_requests_per_second


def test_equal_samples_do_not_differ_and_others_do() -> None:
    generator = np.random.default_rng(0)
    one, same, slower = generator.gamma(4, 10, 300), generator.gamma(4, 10, 300), generator.gamma(4, 12, 300)
    for level in (None, 50.0, 95.0):
        found = ratio_of(one, same, level)
        assert found is not None
        assert found.low <= found.ratio <= found.high
        assert not found.significant
    difference = ratio_of(slower, one)
    assert difference is not None
    assert difference.significant
    assert 1.05 < difference.ratio < 1.4
    assert ratio_of([1.0], one) is None


def test_the_interval_holds_the_true_ratio_in_most_samples() -> None:
    generator = np.random.default_rng(1)
    held = 0
    for seed in range(100):
        found = ratio_of(generator.exponential(2, 80), generator.exponential(1, 80), seed=seed)
        assert found is not None
        held += found.low <= 2 <= found.high
    assert held >= 88


def test_a_ratio_of_values_that_are_nearly_all_zeros_is_told_in_few_letters() -> None:
    zeros = [0.0] * 60
    (found,) = (
        each for each in compare_samples({"itl_of_request_ms": [*zeros, 3.0]}, {"itl_of_request_ms": [*zeros, 2.0]}) if each.aspect.key == "itl.mean"
    )
    assert "to over 10000" in found.words
    assert len(found.words) < 80
