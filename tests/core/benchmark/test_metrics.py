"""Every metric on outcomes that were written by hand: figures that can be checked on paper."""

from __future__ import annotations

import pytest

from core.benchmark.client.outcome import Outcome, Piece, Status, Usage
from core.benchmark.metrics import RATES, SAMPLES, Goodput, RateMetric, SampleMetric, Window

EVERY: tuple[SampleMetric | RateMetric, ...] = (*SAMPLES, *RATES)


MS = 1_000_000


def outcome(
    status: Status = "done", due: int = 0, sent: int | None = 5, pieces: tuple[int, ...] = (105, 125, 145), usage: Usage | None = None
) -> Outcome:
    """All times in milliseconds."""
    return Outcome(
        index=0,
        status=status,
        due=due * MS,
        sent=None if sent is None else sent * MS,
        pieces=[Piece(t * MS, "x") for t in pieces],
        usage=Usage(10, 5) if usage is None else usage,
    )


def metric(tag: str) -> SampleMetric:
    return next(each for each in SAMPLES if each.tag == tag)


@pytest.mark.parametrize(
    ("tag", "values"),
    [
        ("ttft_ms", [105.0]),
        ("ttft_sent_ms", [100.0]),
        ("tpot_ms", [10.0]),
        ("itl_ms", [20.0, 20.0]),
        ("e2el_ms", [145.0]),
        ("normalized_ms", [29.0]),
        ("queue_ms", [5.0]),
    ],
)
def test_the_figures_of_one_answer(tag: str, values: list[float]) -> None:
    assert list(metric(tag).of(outcome())) == pytest.approx(values)


@pytest.mark.parametrize("status", ["failed", "timed_out", "unsent", "cancelled"])
def test_requests_that_are_not_done_stay_out_of_latencies(status: Status) -> None:
    for each in SAMPLES:
        assert each.sample([outcome(status)]) == []


def test_what_is_missing_is_missing_and_not_zero() -> None:
    silent, alone, uncounted = outcome(pieces=()), outcome(pieces=(100,)), outcome(usage=Usage())
    assert [metric(tag).sample([silent]) for tag in ("ttft_ms", "tpot_ms", "itl_ms", "e2el_ms", "normalized_ms")] == [[]] * 5
    assert metric("tpot_ms").sample([alone]) == []
    assert metric("itl_ms").sample([alone]) == []
    assert metric("tpot_ms").sample([uncounted]) == []
    assert metric("tpot_ms").sample([outcome(usage=Usage(10, 1))]) == []


def test_the_tokenizer_counts_where_the_server_does_not() -> None:
    counted = outcome(usage=Usage())
    counted.counted = 3
    assert metric("tpot_ms").sample([counted]) == [20.0]


def test_waiting_for_a_slot_belongs_to_the_latency() -> None:
    waited = outcome(due=0, sent=3000, pieces=(3100, 3120))
    assert metric("ttft_ms").sample([waited]) == [3100.0]
    assert metric("ttft_sent_ms").sample([waited]) == [100.0]
    assert metric("queue_ms").sample([waited]) == [3000.0]


def rate(tag: str, outcomes: list[Outcome], window: Window) -> float | None:
    return next(each for each in RATES if each.tag == tag).of(outcomes, window)


def test_throughput_counts_what_came_within_the_window() -> None:
    window = Window(110 * MS, 210 * MS)
    outcomes = [outcome(), outcome(pieces=(150, 190, 210)), outcome("failed", pieces=())]
    assert rate("throughput_requests_per_second", outcomes, window) == pytest.approx(10)
    assert rate("throughput_tokens_per_second", outcomes, window) == pytest.approx((5 * 2 / 3 + 5 * 2 / 3) / 0.1)
    assert rate("throughput_total_tokens_per_second", outcomes, window) == pytest.approx(150)
    assert rate("error_rate", outcomes, window) == pytest.approx(1 / 3)
    assert rate("timeout_rate", outcomes, window) == 0


def test_the_windows_of_a_load_add_up() -> None:
    outcomes = [outcome(pieces=(105, 125, 145)), outcome(pieces=(150, 190, 210))]
    whole = rate("throughput_tokens_per_second", outcomes, Window(0, 300 * MS))
    parts = [rate("throughput_tokens_per_second", outcomes, Window(first * MS, (first + 100) * MS)) for first in (0, 100, 200)]
    assert whole is not None
    assert sum(part for part in parts if part is not None) / 3 == pytest.approx(whole)


def test_pieces_that_say_how_many_tokens_they_hold_are_believed() -> None:
    counted = outcome(usage=Usage(10, 5))
    counted.pieces = [Piece(105 * MS, "a", 3), Piece(125 * MS, "b", 1), Piece(145 * MS, "c", 1)]
    assert rate("throughput_tokens_per_second", [counted], Window(0, 120 * MS)) == pytest.approx(3 / 0.12)


def test_no_rate_is_said_where_tokens_are_unknown_or_nothing_was_asked() -> None:
    assert rate("throughput_tokens_per_second", [outcome(usage=Usage())], Window(0, 300 * MS)) is None
    assert rate("error_rate", [], Window(0, 1)) is None
    assert rate("throughput_requests_per_second", [outcome()], Window(5, 5)) is None


def test_goodput_counts_requests_that_meet_every_objective() -> None:
    window = Window(0, 1000 * MS)
    outcomes = [outcome(), outcome(pieces=(300, 320, 340)), outcome(pieces=(105, 190, 195)), outcome("failed")]
    assert Goodput({metric("ttft_ms"): 200.0}).of(outcomes, window) == pytest.approx(2)
    assert Goodput({metric("ttft_ms"): 200.0, metric("itl_ms"): 50.0}).of(outcomes, window) == pytest.approx(1)
    assert Goodput().of(outcomes, window) is None
    assert not Goodput({metric("tpot_ms"): 50.0}).meets(outcome(usage=Usage()))


def test_every_metric_says_what_it_is() -> None:
    tags = [each.tag for each in EVERY]
    assert len(set(tags)) == len(tags)
    for each in EVERY:
        assert each.title
        assert each.unit
        assert "=" in (type(each).__doc__ or "") or "/" in (type(each).__doc__ or "")
