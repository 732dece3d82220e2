"""`llmopt speculate-simulate`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated

from cyclopts import Parameter

from core.errors import RequestError
from core.runs.state import store
from core.sanitize import clean
from core.speculate.advice import Advice, advise
from core.speculate.bench.measured import Measured, choose, rows_of
from core.speculate.simulate.simulate import (
    DRAFT_MS,
    GAMMAS,
    SCENARIOS,
    TARGET_MS,
    Costs,
    Prediction,
    Scenario,
    best_gamma,
    break_even_alpha,
    predict,
    table,
    verdict,
)
from core.speculate.spec import DrafterName
from tui.cli.printing.output import print_document, print_facts, print_table, print_verbatim

_ALPHA, _GAMMA = 0.8, 5
_SCENARIO = f"Assume typical alpha and gamma for a workload: {', '.join(SCENARIOS)}"


@dataclass(frozen=True)
class _Question:
    prediction: Prediction
    costs: Costs
    scenario: Scenario | None
    measured: tuple[Measured, ...]
    best: int

    def to_json(self) -> dict[str, object]:
        costs = self.costs
        return {
            "simulation": True,
            "cost_ratio": costs.cost_ratio,
            "verification": costs.verification(self.prediction.gamma),
            "verification_slope": costs.slope,
            "batch": costs.batch,
            "scenario": self.scenario and self.scenario.name,
            **self.prediction.to_json(),
            "best_gamma": self.best,
            "break_even_alpha": break_even_alpha(self.prediction.gamma, costs),
            "slowdown": self.prediction.speedup < 1,
            "verdict": verdict(self.prediction, costs),
            "table": [cell.to_json() for row in table(costs) for cell in row],
            "scenarios": [{"name": each.name, **predict(each.alpha, each.gamma, costs).to_json()} for each in SCENARIOS.values()],
            "measured": [row.to_json() for row in self.measured],
        }


def speculate_simulate(
    *,
    alpha: Annotated[
        float | None, Parameter(help=f"Acceptance probability of a drafted token, 0 to 1; default: {_ALPHA}, the scenario's or the run's")
    ] = None,
    gamma: Annotated[int | None, Parameter(help=f"Draft tokens per round; default: {_GAMMA}, the scenario's or the run's")] = None,
    cost_ratio: Annotated[
        float | None, Parameter(help=f"Time per draft token relative to a target step; default: {DRAFT_MS:g} ms over {TARGET_MS:g} ms, or the run's")
    ] = None,
    verification: Annotated[
        float | None, Parameter(help="Time of a target forward of gamma + 1 tokens relative to one of 1 token; default: 1, or the run's")
    ] = None,
    batch: Annotated[int, Parameter(help="Sequences decoded together")] = 1,
    ridge: Annotated[
        float | None,
        Parameter(help="Tokens per forward at which compute time equals the time to read the weights (H100, bf16: 295); sets the verification cost"),
    ] = None,
    scenario: Annotated[str | None, Parameter(help=_SCENARIO)] = None,
    run: Annotated[str | None, Parameter(help="Use the measurements of a finished `llmopt speculate`: its id, or `last`")] = None,
    model: Annotated[str | None, Parameter(help="Target model in the engine commands")] = None,
    draft: Annotated[str | None, Parameter(help="Draft model in the engine commands")] = None,
    drafter: Annotated[DrafterName | None, Parameter(help="Drafter in the engine commands; default: model, or the run's")] = None,
    json: Annotated[bool, Parameter(help="Print one JSON document", negative="", show_default=False)] = False,
) -> int:
    """Predict the speed-up of speculative decoding from acceptance and costs: a simulation, not a measurement."""
    measured = () if run is None else rows_of(store.find(run))
    question = _question(_Asked(alpha, gamma, cost_ratio, verification, batch, ridge), _scenario(scenario), measured)
    result = measured[0].result if measured else None
    answers = advise(
        model or (result.model if result else None),
        drafter or (result.drafter if result else "model"),
        question.prediction.gamma,
        draft or (result.draft if result and result.drafter == "model" else None),
    )
    if json:
        print_document("speculate-simulate", question.to_json() | {"advice": [answer.to_json() for answer in answers]})
        return 0
    _print(question)
    print()
    _print_advice(answers)
    return 0


@dataclass(frozen=True)
class _Asked:
    alpha: float | None
    gamma: int | None
    cost_ratio: float | None
    verification: float | None
    batch: int
    ridge: float | None


def _scenario(name: str | None) -> Scenario | None:
    if name is None:
        return None
    if name not in SCENARIOS:
        raise RequestError(f"unknown scenario {clean(name, limit=40)!r}: choose one of {', '.join(SCENARIOS)}")
    return SCENARIOS[name]


def _question(asked: _Asked, scenario: Scenario | None, measured: tuple[Measured, ...]) -> _Question:
    """What was said counts first, then the scenario, then the run, then what one assumes without any of them."""
    gamma = asked.gamma if asked.gamma is not None else scenario.gamma if scenario else None
    row = choose(measured, gamma) if measured else None
    gamma = gamma if gamma is not None else row.row.gamma if row else _GAMMA
    costs = _costs(asked, row, gamma)
    alpha = asked.alpha if asked.alpha is not None else scenario.alpha if scenario else None
    if alpha is None and row is not None:
        return _Question(row.predict(gamma, costs), costs, scenario, measured, row.best_gamma(costs))
    prediction = predict(_ALPHA if alpha is None else alpha, gamma, costs)
    return _Question(prediction, costs, scenario, measured, best_gamma(prediction.alpha, costs))


def _costs(asked: _Asked, row: Measured | None, gamma: int) -> Costs:
    known = row.costs if row is not None else Costs(DRAFT_MS / TARGET_MS)
    ratio = known.cost_ratio if asked.cost_ratio is None else asked.cost_ratio
    if asked.verification is not None:
        return Costs.measured(ratio, asked.verification, gamma, batch=asked.batch)
    if asked.ridge is not None:
        if not asked.ridge > 0:
            raise RequestError(f"ridge must be above 0 tokens, got {asked.ridge:g}: about 300 for a data-center GPU in bf16")
        return Costs(ratio, 1 / asked.ridge, asked.batch)
    if asked.batch > 1 and known.slope == 0:
        raise RequestError(
            "the verification cost of a batch depends on the machine: give --ridge (about 300 for a data-center GPU) or --verification"
        )
    return Costs(ratio, known.slope, asked.batch)


def _print(question: _Question) -> None:
    prediction, costs = question.prediction, question.costs
    even = break_even_alpha(prediction.gamma, costs)
    assumed = [("assumed for", f"{question.scenario.title.lower()}: {question.scenario.why}")] if question.scenario else []
    print_facts(
        [
            ("figures", "a simulation, not a measurement" + (", from measured acceptance and costs" if question.measured else "")),
            *assumed,
            ("acceptance", f"alpha {prediction.alpha:.3f}, gamma {prediction.gamma}: {prediction.tokens:.3f} tokens per round"),
            ("costs", f"draft {costs.cost_ratio:.3f}, verification {costs.verification(prediction.gamma):.3f} target steps, batch {costs.batch}"),
            ("speed-up", f"{prediction.speedup:.2f}"),
            ("in words", verdict(prediction, costs)),
            ("best gamma", str(question.best) if question.best else "none: plain decoding is faster"),
            ("break-even", f"alpha {even:.2f}" if even is not None else "no acceptance is high enough"),
        ]
    )
    print()
    rows = [(f"{row[0].alpha:.2f}", *(f"{cell.speedup:.2f}" for cell in row)) for row in table(costs)]
    print_table(rows, ("alpha", *(f"g {gamma}" for gamma in GAMMAS)), right=range(len(GAMMAS) + 1))
    print()
    kinds = [(each, predict(each.alpha, each.gamma, costs)) for each in SCENARIOS.values()]
    cells = [(each.title, f"{each.alpha:.2f}", str(each.gamma), f"{found.tokens:.2f}", f"{found.speedup:.2f}") for each, found in kinds]
    print_table(cells, ("scenario (assumed)", "alpha", "gamma", "tokens", "speed-up"), right=(1, 2, 3, 4))
    if question.measured:
        print()
        _print_measured(question.measured)


def _print_measured(rows: Sequence[Measured]) -> None:
    cells = []
    for each in rows:
        row, predicted = each.row, each.predicted_speedup
        off = "—" if predicted is None else f"{predicted / row.speedup - 1:+.0%}"
        shown = "—" if predicted is None else f"{predicted:.2f}"
        alpha = "—" if row.alpha is None else f"{row.alpha:.3f}"
        cells.append(
            (
                str(row.gamma),
                f"{row.temperature:g}",
                alpha,
                f"{row.cost_ratio:.3f}",
                f"{row.verification_ratio:.3f}",
                shown,
                f"{row.speedup:.2f}",
                off,
            )
        )
    print_table(cells, ("gamma", "temp", "alpha", "c", "v", "predicted", "measured", "off"), right=range(8))


def _print_advice(answers: Sequence[Advice]) -> None:
    for answer in answers:
        print_facts([(answer.engine, f"{answer.version}; {answer.note}" if answer.command else answer.note)])
        # Commands stand on lines of their own, uncut, to be copied.
        for line in (*answer.prepare, answer.command):
            if line:
                print_verbatim(line)
        if answer.content:
            print_facts([("", f"{answer.file}:")])
            print_verbatim(answer.content.rstrip("\n"))
