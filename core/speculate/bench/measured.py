"""What finished runs of `llmopt speculate` measured, as the simulator takes it."""

from __future__ import annotations

from dataclasses import dataclass

from core.errors import RequestError
from core.runs.state.store import Run
from core.speculate.result import SpeculateResult, SpeculateRow
from core.speculate.simulate.simulate import Costs, Prediction, agrees, alpha_of, predict_by_position, speedup_of_rounds

_LARGEST = 16


@dataclass(frozen=True)
class Measured:
    """One setting of a run: its acceptance by position and its costs, and the speed-up that was measured with them."""

    result: SpeculateResult
    row: SpeculateRow

    @property
    def costs(self) -> Costs:
        """c and v as measured at the run's own batch, for which no model of a batch is needed any more."""
        return Costs.measured(self.row.cost_ratio, self.row.verification_ratio, self.row.gamma)

    def predict(self, gamma: int | None = None, costs: Costs | None = None) -> Prediction:
        """The speed-up that acceptance and costs let expect: at the measured gamma by what its rounds did, or at another,
        by the acceptance of each position, the last of which continues.

        Raises:
            RequestError: nothing was drafted in that run.
        """
        row = self.row
        if not row.acceptance_by_position:
            raise RequestError("that run drafted nothing, so it has no acceptance: use another drafter or a longer text")
        gamma, costs = gamma or row.gamma, costs or self.costs
        if gamma != row.gamma:
            return predict_by_position(row.acceptance_by_position, gamma, costs, row.drafted_share)
        length = gamma if self.result.drafter == "medusa" else row.drafted_per_round
        speedup = speedup_of_rounds(row.accepted_per_round, row.drafted_share, length, gamma, costs)
        return Prediction(alpha_of(1 + row.accepted_per_round, gamma), gamma, 1 + row.accepted_per_round, speedup)

    def best_gamma(self, costs: Costs | None = None, largest: int = _LARGEST) -> int:
        """The gamma with the greatest expected speed-up; 0 when none is faster than plain decoding."""
        best = max((self.predict(gamma, costs) for gamma in range(1, largest + 1)), key=lambda found: (found.speedup, -found.gamma))
        return best.gamma if best.speedup > 1 else 0

    @property
    def predicted_speedup(self) -> float | None:
        """The speed-up to expect at the measured gamma; None when nothing was drafted."""
        return self.predict().speedup if self.row.acceptance_by_position else None

    def to_json(self) -> dict[str, object]:
        """Plain values."""
        row, predicted = self.row, self.predicted_speedup
        return {
            "gamma": row.gamma,
            "temperature": row.temperature,
            "alpha": row.alpha,
            "acceptance_by_position": list(row.acceptance_by_position),
            "cost_ratio": row.cost_ratio,
            "verification_ratio": row.verification_ratio,
            "speedup": row.speedup,
            "predicted_speedup": predicted,
            "within_15_percent": None if predicted is None else agrees(predicted, row.speedup),
        }


def rows_of(run: Run) -> tuple[Measured, ...]:
    """Every setting that a run measured. Raises RequestError: it is not a finished run of `llmopt speculate`, or its result cannot be read."""
    if run.capability != "speculate":
        raise RequestError(f"run {run.id} is not an `llmopt speculate` run: give one whose acceptance was measured")
    result = run.result_as(SpeculateResult)
    if result is None and run.result is None:
        raise RequestError(f"run {run.id} has no result ({run.state.status}): wait for it, or give another")
    if result is None:
        raise RequestError(f"the result of run {run.id} cannot be read by this version: measure again")
    if not result.rows:
        raise RequestError(f"run {run.id} measured no settings: give another")
    return tuple(Measured(result, row) for row in result.rows)


def choose(rows: tuple[Measured, ...], gamma: int | None = None) -> Measured:
    """The row of that gamma, else the nearest; the fastest of equals, and of all without a gamma."""
    nearest = rows if gamma is None else [row for row in rows if abs(row.row.gamma - gamma) == min(abs(each.row.gamma - gamma) for each in rows)]
    return max(nearest, key=lambda found: found.row.speedup)
