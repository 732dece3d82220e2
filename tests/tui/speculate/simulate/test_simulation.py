"""The simulator's table, chart and words say what its formulas say, and where their figures come from."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.errors import RequestError
from core.speculate.simulate import simulate
from tui.speculate.simulate import lines as simulation
from tui.speculate.simulate.lines import Setting
from tui.speculate.simulate.origins import Origins
from tui.widgets.live import line_width


def text_of(setting: Setting, width: int = 68, height: int = 14) -> list[str]:
    return ["".join(text for text, _ in line) for line in simulation.table(setting, width, height)]


def test_the_table_holds_the_speedups_of_the_formula() -> None:
    setting = Setting(alpha=0.8, gamma=5, cost_ratio=0.05)
    row = next(line for line in text_of(setting) if line.startswith("›80 %"))
    found = [float(figure) for figure in re.findall(r"\d\.\d\d", row)]
    assert found[2] == 2.95, "Leviathan et al.: alpha .8, gamma 5, c .05"
    assert found[:8] == [pytest.approx(simulate.speedup(0.8, gamma, 0.05), abs=0.006) for gamma in simulate.GAMMAS]


def test_the_best_gamma_of_each_row_and_every_slowdown_are_marked() -> None:
    setting = Setting(alpha=0.5, gamma=5, cost_ratio=0.3)
    lines = text_of(setting)
    half = next(line for line in lines if "50 %" in line)
    assert "0.79↓" in half
    assert half.rstrip().endswith(f"{simulate.best_gamma(0.5, setting.costs)}: {simulate.predict(0.5, 1, setting.costs).speedup:.2f}")
    for line in lines[2:-1]:
        alpha = float(re.match(r"[› ]([\d.]+)", line)[1]) / 100  # type: ignore[index]
        marked = re.findall(r"(\d\.\d\d)\*", line)
        best = simulate.best_gamma(alpha, setting.costs)
        assert len(marked) == (best in simulate.GAMMAS)
        assert all(float(figure) < 1.005 for figure in re.findall(r"(\d\.\d\d)↓", line))


@given(st.floats(0, 1), st.integers(1, 64), st.floats(0, 5), st.floats(0.01, 20), st.integers(1, 512), st.integers(30, 120), st.integers(4, 30))
def test_any_setting_can_be_shown_in_any_window(alpha: float, gamma: int, c: float, v: float, batch: int, width: int, height: int) -> None:
    setting = Setting(alpha, gamma, c, v, batch)
    lines = simulation.table(setting, width, height)
    assert any("›" in text for line in lines[2:-1] for text, _ in line), "the person's own acceptance has a row"
    assert all(line_width(line) <= max(width, 48) for line in lines[1:-1])
    assert simulation.plot(setting).not_finite == 0
    sentence, slower = simulation.verdict(setting)
    assert slower == ("slowdown" in sentence) or "would gain nothing" in sentence


@pytest.mark.parametrize(
    ("values", "complaint"),
    [
        ({"alpha": 1.5}, "alpha must be a probability"),
        ({"alpha": "much"}, "acceptance must be a number"),
        ({"gamma": 0}, "gamma must be between 1 and"),
        ({"gamma": 2.5}, "gamma must be a whole number"),
        ({"cost_ratio": -1}, "must be at least 0, got -1"),
        ({"verification": 0}, "verification cost must be above 0"),
        ({"batch": 0}, "batch must be at least 1"),
        ({"batch": True}, "batch must be a whole number"),
        ({"alpha": float("nan")}, "alpha must be a probability"),
    ],
)
def test_what_cannot_be_is_refused_with_a_sentence(values: dict[str, object], complaint: str) -> None:
    with pytest.raises(RequestError, match=complaint):
        simulation.setting_of(values)


def test_a_scenario_fills_in_acceptance_and_gamma() -> None:
    assert simulation.of_scenario("translation") == {"alpha": 0.80, "gamma": 7}
    assert simulation.of_scenario(simulation.OWN) == {}


def test_every_figure_says_whether_it_was_assumed_or_measured() -> None:
    begin = Origins()
    assert begin.in_words() == [("assumed", "α, γ, c, v, batch")]
    scenario = begin.by_scenario("chat")
    assert scenario.in_words()[0][1].startswith("α, γ for chat")
    measured = scenario.by_run(("alpha", "cost_ratio"), "in 2026-x")
    assert ("measured", "α, c in 2026-x") in measured.in_words()
    assert ("assumed", "α, v, batch") not in measured.in_words()
    assert ("measured", "c in 2026-x") in measured.edited("alpha").in_words(), "what the user changes is assumed again"
    assert Origins().by_scenario(simulation.OWN) == Origins()


def test_a_large_batch_makes_speculation_slower() -> None:
    alone, many = (Setting(0.8, 4, 0.1, 1.4, batch).prediction.speedup for batch in (1, 64))
    assert many < alone
