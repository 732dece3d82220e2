"""What a run measured, as the simulator takes it over. Pure."""

from __future__ import annotations

from collections.abc import Sequence

from core.errors import LlmoptError
from core.speculate.bench.measured import Measured
from core.speculate.simulate.simulate import agrees
from tui.speculate.names import setting
from tui.speculate.simulate.lines import Setting


def setting_of(measured: Measured) -> Setting:
    """The simulator's fields, so that it answers what is predicted from the rounds as they were.

    A round without a draft is a plain step, and a draft may be shorter than gamma: the costs are means over all rounds.

    Raises:
        RequestError: nothing was drafted in that run.
    """
    row, costs = measured.row, measured.costs
    share, drafted = row.drafted_share, min(row.drafted_per_round, row.gamma)
    verification = 1 + (costs.verification(row.gamma) - 1) * drafted / row.gamma + costs.per_round
    return Setting(
        alpha=measured.predict().alpha,
        gamma=row.gamma,
        cost_ratio=share * costs.cost_ratio * drafted / row.gamma,
        verification=share * verification + 1 - share,
    )


def beside(measured: Measured) -> str:
    """The measured speed-up next to the one that is predicted from measured acceptance and costs."""
    row = measured.row
    what = setting(measured.result.drafter, row.gamma, row.temperature)
    try:
        predicted = measured.predict().speedup
    except LlmoptError:
        return f"{what}: {row.speedup:.2f} times as fast; nothing was drafted, so nothing can be predicted"
    apart = 100 * (predicted / row.speedup - 1) if row.speedup else 0.0
    agree = "within" if agrees(predicted, row.speedup) else "not within"
    figures = f"{row.speedup:.2f} times as fast; simulated {predicted:.2f} times"
    return f"{what}: {figures}, {apart:+.1f}\N{NO-BREAK SPACE}%, {agree} 15\N{NO-BREAK SPACE}%"


def curve(measured: Measured, rows: Sequence[Measured]) -> tuple[tuple[int, float], ...]:
    """(gamma, speed-up) of every row of the same run and temperature."""
    mine = [each.row for each in rows if each.row.temperature == measured.row.temperature and each.result is measured.result]
    return tuple((row.gamma, row.speedup) for row in sorted(mine, key=lambda row: row.gamma))
