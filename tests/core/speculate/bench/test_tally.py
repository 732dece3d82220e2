"""Counting what was accepted, by hand."""

from __future__ import annotations

import pytest

from core.speculate.bench.loop import Round
from core.speculate.bench.measure import predicted
from core.speculate.bench.tally import Tally

FIRST = Round([[]], [0], [[9]], [None])


def test_acceptance_is_counted_over_what_was_judged() -> None:
    tally = Tally()
    tally.add(
        [
            FIRST,
            Round([[1, 2, 3]], [3], [[1, 2, 3, 4]], [None]),
            Round([[1, 2, 3]], [1], [[1, 7]], [None]),
            Round([[1, 2, 3]], [0], [[5]], [None]),
            Round([[]], [0], [[6]], [None]),
        ]
    )
    assert tally.judged == [3, 2, 1]
    assert tally.accepted == [2, 1, 1]
    assert tally.by_position == (pytest.approx(2 / 3), 0.5, 1.0)
    assert tally.alpha == pytest.approx(4 / 6)
    assert (tally.rounds, tally.with_draft, tally.drafted, tally.emitted) == (4, 3, 9, 8)
    assert tally.tokens_per_round == 2.0
    assert tally.drafted_share == 0.75


def test_drafts_behind_the_end_of_a_text_are_not_judged() -> None:
    tally = Tally()
    tally.add([FIRST, Round([[1, 2, 3]], [2], [[1, 2]], ["stop"])])
    assert tally.judged == [1, 1]
    assert tally.alpha == 1.0


def test_rows_that_are_over_do_not_count() -> None:
    tally = Tally()
    tally.add([Round([[], []], [0, 0], [[1], [2]], [None, "stop"]), Round([[3], []], [1, 0], [[3, 4], []], [None, None])])
    assert (tally.rounds, tally.emitted) == (1, 2)


def test_nothing_drafted_has_no_acceptance_and_no_speedup() -> None:
    tally = Tally()
    tally.add([FIRST, Round([[]], [0], [[2]], [None])])
    assert tally.alpha is None
    assert predicted(tally, 4, 0.1, 1.0) == 1.0


def test_the_prediction_is_the_formula() -> None:
    """Four tokens a round of three drafts that all stand, at c = 0.2 and v = 1.4."""
    tally = Tally()
    tally.add([FIRST, Round([[1, 2, 3]], [3], [[1, 2, 3, 4]], [None])])
    assert predicted(tally, 3, 0.2, 1.4) == pytest.approx(4 / (3 * 0.2 + 1.4))


def test_a_tree_of_few_candidates_costs_what_was_measured_of_it() -> None:
    tally = Tally()
    tally.add([FIRST, Round([[1, 2]], [1], [[1, 3]], [None], candidates=2)])
    assert predicted(tally, 4, 0.1, 1.4) == pytest.approx(2 / (4 * 0.1 + 1.4))
