"""The simulator's request and its answer as lines and a chart. Pure: formulas are those of `core.speculate.simulate.simulate`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from core.errors import RequestError
from core.speculate.simulate import simulate
from core.speculate.simulate.simulate import ALPHAS, GAMMAS, SCENARIOS, Costs, Prediction
from tui.widgets.chart.plot import Plot, Series
from tui.widgets.live import Line, Run, Tone, fit

OWN = "my own"
"""The scenario of somebody who gives figures instead."""
_ROWS = (ALPHAS, (0.50, 0.60, 0.70, 0.80, 0.90, 0.95), (0.60, 0.75, 0.90))
"""Rows of the table, the more the better."""
_AROUND = 3
"""Lines of the table that are no rows."""
_ALPHA, _CELL, _BEST, _SHORT = 6, 6, 12, 6
_CHART_GAMMAS = range(1, 17)
_NEAR = 5e-4


@dataclass(frozen=True)
class Setting:
    """What is simulated. Costs are in steps of the target model."""

    alpha: float = 0.80
    gamma: int = 5
    cost_ratio: float = simulate.DRAFT_MS / simulate.TARGET_MS
    verification: float = 1.0
    batch: int = 1

    @property
    def costs(self) -> Costs:
        """Of a round. Raises RequestError for figures that cannot be."""
        return Costs.measured(self.cost_ratio, self.verification, self.gamma, batch=self.batch)

    @property
    def prediction(self) -> Prediction:
        """What it brings. Raises RequestError for figures that cannot be."""
        return simulate.predict(self.alpha, self.gamma, self.costs)


_COMPLAINTS = {
    "alpha": "acceptance must be a number from 0 to 1, 0.8 for 80 %",
    "gamma": f"gamma must be a whole number from 1 to {simulate.LARGEST_GAMMA}",
    "cost_ratio": "cost ratio must be a number: time per draft token relative to a target step",
    "verification": "verification must be a number: time to verify gamma + 1 tokens relative to a target step",
    "batch": "batch must be a whole number of at least 1",
}


def setting_of(values: Mapping[str, object]) -> Setting:
    """The setting that a form asks for; what is missing keeps its default.

    Raises:
        RequestError: a figure that cannot be.
    """
    given = {name: values.get(name, getattr(Setting, name)) for name in _COMPLAINTS}

    def number(name: str) -> float:
        value = given[name]
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise RequestError(_COMPLAINTS[name])
        return float(value)

    def whole(name: str) -> int:
        value = given[name]
        if isinstance(value, bool) or not isinstance(value, int):
            raise RequestError(_COMPLAINTS[name])
        return value

    setting = Setting(number("alpha"), whole("gamma"), number("cost_ratio"), number("verification"), whole("batch"))
    setting.prediction  # noqa: B018 - refuses what cannot be
    return setting


def of_scenario(name: str) -> dict[str, float]:
    """What a scenario puts into the form."""
    scenario = SCENARIOS.get(name)
    return {} if scenario is None else {"alpha": scenario.alpha, "gamma": scenario.gamma}


def table(setting: Setting, width: int, height: int) -> list[Line]:
    """Speed-ups by acceptance (rows) and gamma (columns), with a head and a last line that says what the signs mean.

    As many rows as fit; below six lines it is as long as it must be.
    """
    costs = setting.costs
    for alphas in _ROWS:
        rows = sorted({*alphas, *(() if any(_same(setting.alpha, alpha) for alpha in alphas) else (setting.alpha,))})
        if len(rows) + _AROUND <= height:
            break
    brief = width < _ALPHA + len(GAMMAS) * _CELL + _BEST
    gammas = GAMMAS[: max((width - _ALPHA - (_SHORT if brief else _BEST)) // _CELL, 1)]
    head: list[Run] = [(fit("α \\ γ", _ALPHA), "muted")]
    for gamma in gammas:
        mine = gamma == setting.gamma
        head.append((fit(f"›{gamma} " if mine else f"{gamma} ", _CELL, "right"), "strong" if mine else "muted"))
    lines: list[Line] = [
        (("simulation", "strong"), (": times as fast as plain decoding", "muted")),
        (*head, ("  best" if brief else "  best γ", "muted")),
    ]
    lines += [_row(alpha, gammas, setting, costs, brief=brief) for alpha in rows]
    legend: Line = (
        ("* ", "good"),
        ("best γ of the row  ", "muted"),
        ("↓ ", "bad"),
        ("slower than without  ", "muted"),
        ("› ", "strong"),
        ("yours", "muted"),
    )
    return [*lines, legend]


def _row(alpha: float, gammas: Sequence[int], setting: Setting, costs: Costs, *, brief: bool) -> Line:
    mine = _same(alpha, setting.alpha)
    best = simulate.best_gamma(alpha, costs)
    runs: list[Run] = [(fit(("›" if mine else " ") + _percent(alpha), _ALPHA), "strong" if mine else "muted")]
    for gamma in gammas:
        gain = simulate.predict(alpha, gamma, costs).speedup
        sign, tone = _sign(gain, best=gamma == best)
        runs.append((fit(f"{gain:.2f}{sign}", _CELL, "right"), tone or ("strong" if mine and gamma == setting.gamma else "")))
    gain_of_best = "" if brief or not best else f": {simulate.predict(alpha, best, costs).speedup:.2f}"
    best_words = f"  {best}{gain_of_best}" if best else "  none"
    return (*runs, (best_words, "good" if best else "bad"))


def _sign(gain: float, *, best: bool) -> tuple[str, Tone]:
    if best:
        return "*", "good"
    return ("↓", "bad") if gain < 1 else (" ", "")


def _percent(alpha: float) -> str:
    return f"{100 * alpha:.0f} %" if _same(100 * alpha, round(100 * alpha)) else f"{100 * alpha:.1f}%"


def _same(one: float, other: float) -> bool:
    return abs(one - other) < _NEAR


def plot(setting: Setting, measured: Sequence[tuple[int, float]] = ()) -> Plot:
    """Speed-up over gamma: simulated at the setting's acceptance, its best, plain decoding, and what runs measured.

    Args:
        setting: to draw.
        measured: (gamma, speed-up) of a run.
    """
    costs = setting.costs
    gammas = [*_CHART_GAMMAS]
    gains = [simulate.predict(setting.alpha, gamma, costs).speedup for gamma in gammas]
    best = max(range(len(gammas)), key=lambda at: gains[at])
    series = [
        Series.of(gains, gammas, label=f"simulated, α {_percent(setting.alpha)}", stroke="line"),
        Series.of([gains[best]], [gammas[best]], label=f"best γ {gammas[best]}", stroke="points"),
        Series.of([1.0, 1.0], [gammas[0], gammas[-1]], label="plain decoding", stroke="line"),
    ]
    if measured:
        series.append(Series.through(measured, "measured", "points"))
    return Plot(kind="scatter", series=tuple(series), title="speed-up", x_label="γ, drafted tokens per round", x_limits=(1, gammas[-1]))


def verdict(setting: Setting) -> tuple[str, bool]:
    """The plain sentence, and whether it reports a slowdown."""
    prediction = setting.prediction
    return simulate.verdict(prediction, setting.costs), prediction.speedup < 1
