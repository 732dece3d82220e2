"""The grammar of thresholds over names that no experiment measures."""

from __future__ import annotations

import pytest

from core.errors import RequestError
from core.measure.thresholds import COUNTS, MILLISECONDS, SHARES, Expression, Grammar, Measurable

GRAMMAR = Grammar(
    {
        "wait": Measurable(MILLISECONDS, {"p50": MILLISECONDS, "p99.9": MILLISECONDS, "n": {"": 1.0}}, "p50"),
        "rate": Measurable(COUNTS),
        "lost": Measurable(SHARES),
    },
    "'wait < 1s'",
)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("wait < 1s", Expression("wait < 1s", "wait", "p50", "<", 1000.0)),
        (" WAIT.P99.9<=20us ", Expression("WAIT.P99.9<=20us", "wait", "p99.9", "<=", 20 * 0.001, without_part=False)),
        ("wait.p50.0 > 3", Expression("wait.p50.0 > 3", "wait", "p50", ">", 3.0, without_part=False)),
        ("wait.n >= 1e2", Expression("wait.n >= 1e2", "wait", "n", ">=", 100.0, without_part=False)),
        ("rate != .5k", Expression("rate != .5k", "rate", "", "!=", 500.0)),
        ("lost == 2%", Expression("lost == 2%", "lost", "", "==", 0.02)),
    ],
)
def test_an_expression_is_read_in_the_unit_of_its_figure(text: str, expected: Expression) -> None:
    assert GRAMMAR.parse(text) == expected


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("wait ~ 3", "the threshold 'wait ~ 3' cannot be read: write for example 'wait < 1s'"),
        ("speed > 1", "the threshold 'speed > 1' names no metric: choose one of wait, rate, lost"),
        ("rate.p50 > 1", "the threshold 'rate.p50 > 1' names no metric: rate is one number, write it without .p50"),
        ("wait.p95 > 1", "the threshold 'wait.p95 > 1' asks for p95: choose one of p50, p99.9, n"),
        ("wait.n > 1ms", "the threshold 'wait.n > 1ms' has the unit ms: wait takes none"),
        ("lost > 1ms", "the threshold 'lost > 1ms' has the unit ms: lost takes %"),
        ("wait < \x1b[2J", "the threshold 'wait < \ufffd[2J' cannot be read: write for example 'wait < 1s'"),
    ],
)
def test_what_cannot_be_read_is_one_sentence(text: str, sentence: str) -> None:
    with pytest.raises(RequestError) as refused:
        GRAMMAR.parse(text)
    assert str(refused.value) == sentence


@pytest.mark.parametrize(
    ("sign", "below", "equal", "above"),
    [("<", True, False, False), ("<=", True, True, False), (">", False, False, True), (">=", False, True, True), ("==", False, True, False)],
)
def test_a_figure_is_compared_with_the_limit(sign: str, below: bool, equal: bool, above: bool) -> None:
    expression = GRAMMAR.parse(f"rate {sign} 0.3")
    assert [expression.holds(value) for value in (0.2, 0.1 + 0.2 if sign == "==" else 0.3, 0.4)] == [below, equal, above]
    assert GRAMMAR.parse("rate != 0.3").holds(0.2)
