import math
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.errors import RequestError
from core.speculate.simulate import simulate
from core.speculate.simulate.simulate import SCENARIOS, Costs, best_gamma, break_even_alpha, expected_by_position, expected_tokens, predict, speedup

alphas = st.floats(0, 1)
gammas = st.integers(1, 12)
ratios = st.floats(0, 2)


@pytest.mark.parametrize(
    ("alpha", "gamma", "cost_ratio", "tokens", "expected"),
    [
        (0.8, 5, 0.05, 3.689, 2.95),
        (0.8, 5, 0.2, 3.689, 1.84),
        (0.5, 5, 0.3, 1.969, 0.79),
    ],
)
def test_published_examples(alpha, gamma, cost_ratio, tokens, expected):
    assert expected_tokens(alpha, gamma) == pytest.approx(tokens, abs=5e-4)
    assert speedup(alpha, gamma, cost_ratio) == pytest.approx(expected, abs=5e-3)


@given(st.floats(0, 0.999), gammas)
def test_the_sum_is_the_closed_form(alpha, gamma):
    assert expected_tokens(alpha, gamma) == pytest.approx((1 - alpha ** (gamma + 1)) / (1 - alpha), rel=1e-9)


def test_a_draft_that_is_always_right_brings_all_and_one():
    assert expected_tokens(1.0, 7) == 8
    assert expected_tokens(0.0, 7) == 1


def test_rounds_played_out_bring_what_the_formula_says():
    """Monte Carlo: draft, accept until the first rejection, emit one token more."""
    dice = random.Random(0)
    for alpha, gamma in ((0.8, 5), (0.55, 3), (0.95, 10)):
        played = [1 + next((place for place in range(gamma) if dice.random() >= alpha), gamma) for _ in range(40_000)]
        mean = sum(played) / len(played)
        error = math.sqrt(sum((value - mean) ** 2 for value in played)) / len(played)
        assert abs(mean - expected_tokens(alpha, gamma)) < 4 * error


def test_rounds_played_out_with_acceptance_by_position():
    dice = random.Random(1)
    shares = (0.9, 0.6, 0.8, 0.3)
    played = [1 + next((place for place, share in enumerate(shares) if dice.random() >= share), len(shares)) for _ in range(40_000)]
    mean = sum(played) / len(played)
    error = math.sqrt(sum((value - mean) ** 2 for value in played)) / len(played)
    assert abs(mean - expected_by_position(shares)) < 4 * error


def test_time_played_out_with_a_lookup_that_often_finds_nothing():
    dice = random.Random(2)
    shares, drafted, costs = (0.9, 0.7, 0.5), 0.4, Costs.measured(0.1, 1.3, 3)
    tokens = steps = 0.0
    for _ in range(60_000):
        if dice.random() < drafted:
            tokens += 1 + next((place for place, share in enumerate(shares) if dice.random() >= share), len(shares))
            steps += 3 * 0.1 + 1.3
        else:
            tokens, steps = tokens + 1, steps + 1
    predicted = simulate.predict_by_position(shares, 3, costs, drafted)
    assert predicted.speedup == pytest.approx(tokens / steps, rel=0.01)


@given(alphas, gammas)
def test_even_positions_are_the_even_formula(alpha, gamma):
    assert expected_by_position([alpha] * gamma) == pytest.approx(expected_tokens(alpha, gamma))
    assert expected_by_position([alpha], gamma) == pytest.approx(expected_tokens(alpha, gamma))


@given(st.floats(0.01, 0.99), gammas)
def test_alpha_is_found_again_from_the_tokens(alpha, gamma):
    assert simulate.alpha_of(expected_tokens(alpha, gamma), gamma) == pytest.approx(alpha, abs=1e-9)


@given(alphas, gammas, ratios, st.floats(0, 1), st.integers(1, 64))
def test_a_greater_batch_never_makes_verification_cheaper(alpha, gamma, ratio, slope, batch):
    alone, together = Costs(ratio, slope), Costs(ratio, slope, batch)
    assert together.verification(gamma) >= alone.verification(gamma) - 1e-9
    assert together.verification(gamma) <= gamma + 1 + 1e-9
    assert predict(alpha, gamma, together).speedup <= predict(alpha, gamma, alone).speedup + 1e-9


def test_a_batch_verifies_in_the_time_that_its_tokens_take():
    """By the definition: B·(gamma + 1) tokens in one forward, against B."""
    seconds = lambda tokens: 0.030 + 0.002 * (tokens - 1)  # noqa: E731
    costs = Costs(0.1, slope=0.002 / 0.030, batch=8)
    assert costs.verification(5) == pytest.approx(seconds(48) / seconds(8))


@given(gammas, ratios, st.floats(1, 4))
def test_break_even_is_where_the_speedup_is_one(gamma, ratio, verification):
    costs = Costs.measured(ratio, verification, gamma)
    even = break_even_alpha(gamma, costs)
    if even is None:
        assert predict(1.0, gamma, costs).speedup < 1
    elif even > 0:
        assert predict(even, gamma, costs).speedup == pytest.approx(1, abs=1e-6)


@given(alphas, ratios)
def test_no_gamma_beats_the_best(alpha, ratio):
    costs = Costs(ratio)
    best = best_gamma(alpha, costs)
    reached = predict(alpha, best, costs).speedup if best else 1.0
    assert all(predict(alpha, gamma, costs).speedup <= reached + 1e-12 for gamma in range(1, 17))


def test_the_table_holds_every_pair():
    rows = simulate.table(Costs(simulate.DRAFT_MS / simulate.TARGET_MS))
    assert [[(cell.alpha, cell.gamma) for cell in row] for row in rows] == [
        [(alpha, gamma) for gamma in (3, 4, 5, 6, 7, 8, 9, 10)] for alpha in simulate.ALPHAS
    ]
    assert rows[6][2].speedup == pytest.approx(3.68928 / 1.5)


def test_the_sentence_names_a_slowdown_and_its_cure():
    costs = Costs(0.3)
    text = simulate.verdict(predict(0.5, 5, costs), costs)
    assert text.startswith("Speculation would be a slowdown, 0.79 times plain decoding")
    assert "gamma 1 would give 1.15 times" in text
    assert "from alpha 0.6" in text
    good = simulate.verdict(predict(0.8, 5, Costs(0.05)), Costs(0.05))
    assert good.startswith("Speculation would be 2.95 times as fast")


def test_the_sentence_says_when_nothing_helps():
    costs = Costs(1.5)
    text = simulate.verdict(predict(0.9, 4, costs), costs)
    assert "no acceptance is high enough" in text
    assert "no gamma pays" in text


def test_scenarios_stand_in_the_order_of_their_acceptance():
    assert SCENARIOS["code-completion"].alpha > SCENARIOS["translation"].alpha > SCENARIOS["chat"].alpha > SCENARIOS["creative-writing"].alpha


@pytest.mark.parametrize("alpha", [-0.1, 1.1, math.nan, math.inf])
def test_no_such_acceptance(alpha):
    with pytest.raises(RequestError, match="probability"):
        expected_tokens(alpha, 3)


@pytest.mark.parametrize("gamma", [0, -1, 65])
def test_no_such_gamma(gamma):
    with pytest.raises(RequestError, match="gamma"):
        expected_tokens(0.5, gamma)


@pytest.mark.parametrize("ratio", [-1, math.nan, math.inf])
def test_no_such_costs(ratio):
    with pytest.raises(RequestError):
        Costs(ratio)
    with pytest.raises(RequestError):
        Costs(0.1, slope=ratio)
    with pytest.raises(RequestError):
        Costs.measured(0.1, ratio, 3)


def test_no_such_batch_and_no_figures():
    with pytest.raises(RequestError, match="batch"):
        Costs(0.1, batch=0)
    with pytest.raises(RequestError, match="by position"):
        expected_by_position([])
    with pytest.raises(RequestError, match="share"):
        simulate.predict_by_position([0.5], 1, Costs(0.1), drafted=1.5)


@given(st.lists(st.floats(0, 1), min_size=1, max_size=8), ratios, st.floats(1, 3), st.floats(0, 1))
def test_rounds_with_whole_drafts_are_predicted_as_by_position(shares, ratio, verification, drafted):
    gamma = len(shares)
    costs = Costs.measured(ratio, verification, gamma)
    accepted = drafted * (expected_by_position(shares) - 1)
    by_position = simulate.predict_by_position(shares, gamma, costs, drafted)
    assert simulate.speedup_of_rounds(accepted, drafted, gamma, gamma, costs) == pytest.approx(by_position.speedup)


def test_short_drafts_cost_less_and_a_tree_costs_what_was_measured():
    costs = Costs.measured(0.1, 1.8, 8)
    assert simulate.speedup_of_rounds(1.0, 1.0, 2.0, 8, costs) == pytest.approx(2 / (0.2 + 1.2))
    assert simulate.speedup_of_rounds(1.0, 1.0, 40.0, 8, costs) == pytest.approx(2 / (0.8 + 1.8))
    assert simulate.speedup_of_rounds(0.0, 0.0, 0.0, 8, costs) == 1
