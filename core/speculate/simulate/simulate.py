"""What speculation would bring, from acceptance and costs alone: a simulation, no measurement.

Units: one cost is one decoding step of the target model for one token. Symbols as in Leviathan et al.,
arXiv 2211.17192: `alpha` acceptance of a drafted token, `gamma` drafted tokens per round, `c` cost of one
drafted token. A round drafts gamma tokens one after the other (gamma·c), has the target look at
gamma + 1 tokens in one forward (v) and emits E tokens, at least one:

    S = E / (gamma·c + v),   E = 1 + alpha + ... + alpha^gamma = (1 - alpha^(gamma+1)) / (1 - alpha)

The paper takes v = 1, which holds where a forward is bound by reading the weights. Elsewhere, on a CPU
above all, v is measured.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from core.errors import RequestError

TARGET_MS, DRAFT_MS = 50.0, 5.0
"""Assumed times of a step, where nothing was measured: a large target, a draft model a tenth of its cost."""
ALPHAS = (0.50, 0.55, 0.60, 0.65, 0.70, 0.75, 0.80, 0.85, 0.90, 0.95)
GAMMAS = (3, 4, 5, 6, 7, 8, 9, 10)
LARGEST_GAMMA = 64
_EVEN = 0.01  # a speed-up this near to 1 is called none


@dataclass(frozen=True)
class Costs:
    """What a round costs, in steps of the target.

    A forward over n tokens is taken to cost 1 + slope·(n - 1): the weights are read once, and each further
    token adds its arithmetic. This is the roofline with nothing overlapped, so the cautious end of it; its
    slope is 1 over the tokens at which arithmetic takes as long as reading the weights (peak operations /
    memory bandwidth, for weights of two bytes: 295 tokens on an H100 SXM in bf16 by its data sheet,
    989 Tflop/s / 3.35 TB/s). A batch of B sequences decodes plainly with B tokens a forward and verifies
    with B·(gamma + 1), so

        v(B) = (1 + slope·(B·(gamma + 1) - 1)) / (1 + slope·(B - 1)),

    which grows from 1 + slope·gamma at B = 1 towards gamma + 1: a large batch has no idle arithmetic left
    to verify with. Rows accept apart from each other, so E of a row and, as draft and target slow down
    alike, c stay what they are.
    """

    cost_ratio: float
    """c: one drafted token. 0 for a lookup that costs nothing."""
    slope: float = 0.0
    """What one more token adds to a forward of the target, against a forward over one token."""
    batch: int = 1
    """Sequences decoded together."""
    per_round: float = 0.0
    """What a round costs besides, whatever gamma: the heads of Medusa, for example."""

    def __post_init__(self) -> None:
        _require(_at_least_zero(self.cost_ratio), f"the cost ratio (draft time / target time) must be at least 0, got {self.cost_ratio:g}")
        _require(_at_least_zero(self.slope), f"the verification slope must be at least 0, got {self.slope:g}")
        _require(_at_least_zero(self.per_round), f"the cost per round must be at least 0, got {self.per_round:g}")
        _require(self.batch >= 1, f"batch must be at least 1, got {self.batch}")

    @classmethod
    def measured(cls, cost_ratio: float, verification: float, gamma: int, *, batch: int = 1, per_round: float = 0.0) -> Costs:
        """Costs from v, measured for one sequence: a target forward over gamma + 1 tokens against one over one token; below 1 counts as 1.

        Raises:
            RequestError: a figure that cannot be.
        """
        _check_gamma(gamma)
        _require(math.isfinite(verification) and verification > 0, f"the verification cost must be above 0, got {verification:g} (default 1)")
        return cls(cost_ratio, max(verification - 1.0, 0.0) / gamma, batch, per_round)

    def verification(self, gamma: int) -> float:
        """v: a target forward over gamma + 1 tokens per sequence, against one over one token a sequence."""
        alone = 1 + self.slope * (self.batch - 1)
        return (1 + self.slope * (self.batch * (gamma + 1) - 1)) / alone

    def round(self, gamma: int) -> float:
        """Drafting and verifying together."""
        return gamma * self.cost_ratio + self.per_round + self.verification(gamma)


@dataclass(frozen=True)
class Prediction:
    """One simulated setting."""

    alpha: float
    gamma: int
    tokens: float
    """E: tokens per round."""
    speedup: float
    """S: against plain decoding; below 1 a slowdown."""

    def to_json(self) -> dict[str, object]:
        """Plain values."""
        return {"alpha": self.alpha, "gamma": self.gamma, "expected_tokens": self.tokens, "speedup": self.speedup}


@dataclass(frozen=True)
class Scenario:
    """A kind of work with the acceptance that one may assume for it. Assumptions, not measurements."""

    name: str
    title: str
    alpha: float
    gamma: int
    why: str


SCENARIOS: dict[str, Scenario] = {
    scenario.name: scenario
    for scenario in (
        Scenario("code-completion", "Code completion", 0.90, 5, "syntax, repeated names and boilerplate are easy to predict"),
        Scenario("chat", "Chat", 0.75, 5, "fluent prose with some surprise in each sentence"),
        Scenario("translation", "Translation", 0.80, 7, "the source text predicts the output, so longer drafts hold"),
        Scenario("creative-writing", "Creative writing", 0.55, 5, "high temperature and a free choice of words: drafts break early"),
    )
}
"""By name, as the command line knows them."""


def expected_tokens(alpha: float, gamma: int) -> float:
    """E: tokens that a round emits when each drafted token is accepted with probability alpha (arXiv 2211.17192, equation 1).

    Raises:
        RequestError: alpha outside [0, 1] or gamma outside 1 to `LARGEST_GAMMA`.
    """
    _check_alpha(alpha)
    _check_gamma(gamma)
    return sum(alpha**power for power in range(gamma + 1))


def expected_by_position(acceptance: Sequence[float], gamma: int | None = None) -> float:
    """E when acceptance differs by position, as it does in fact: later drafts stand on drafted ground.

    Args:
        acceptance: at [i] the share of rounds that accept draft i + 1 among those that accepted all before it.
        gamma: drafted tokens; default: as many as there are figures. The last figure counts for all that follow it.

    Raises:
        RequestError: no figures, or one outside [0, 1].
    """
    _require(len(acceptance) > 0, "no acceptance by position was given: run `llmopt speculate` first")
    gamma = len(acceptance) if gamma is None else gamma
    _check_gamma(gamma)
    total = reached = 1.0
    for position in range(gamma):
        share = acceptance[min(position, len(acceptance) - 1)]
        _check_alpha(share)
        reached *= share
        total += reached
    return total


def alpha_of(tokens: float, gamma: int) -> float:
    """The alpha with which `expected_tokens` gives `tokens`; by bisection, as E only grows with alpha. Clipped to [0, 1]."""
    _check_gamma(gamma)
    return _bisect(lambda alpha: expected_tokens(alpha, gamma) >= tokens)


def speedup(alpha: float, gamma: int, cost_ratio: float, verification: float = 1.0, batch: int = 1) -> float:
    """S = E / (gamma·c + v).

    Args:
        alpha: acceptance of a drafted token, 0 to 1.
        gamma: drafted tokens per round.
        cost_ratio: c, time of one drafted token / time of one target step.
        verification: v for one sequence: target forward over gamma + 1 tokens / over one; 1 where reading the weights decides.
        batch: sequences decoded together; how it changes v: `Costs`. With v = 1 it changes nothing: no arithmetic was said to be short.

    Raises:
        RequestError: a figure that cannot be.
    """
    return predict(alpha, gamma, Costs.measured(cost_ratio, verification, gamma, batch=batch)).speedup


def predict(alpha: float, gamma: int, costs: Costs) -> Prediction:
    """One setting. Raises RequestError as `expected_tokens`."""
    tokens = expected_tokens(alpha, gamma)
    return Prediction(alpha, gamma, tokens, tokens / costs.round(gamma))


def predict_by_position(acceptance: Sequence[float], gamma: int, costs: Costs, drafted: float = 1.0) -> Prediction:
    """One setting from measured acceptance by position; `alpha` is the even acceptance that brings as many tokens.

    Args:
        acceptance: as `expected_by_position` takes it, of the rounds that drafted.
        gamma: drafted tokens per round.
        costs: of a round that drafted.
        drafted: share of rounds that had a draft, 0 to 1; a lookup without a match leaves a plain step, one token for one step.

    Raises:
        RequestError: as `expected_by_position`, or `drafted` outside [0, 1].
    """
    _require(math.isfinite(drafted) and 0 <= drafted <= 1, f"the share of rounds with a draft must be between 0 and 1, got {drafted:g}")
    tokens = expected_by_position(acceptance, gamma)
    mean, cost = (drafted * value + 1 - drafted for value in (tokens, costs.round(gamma)))
    return Prediction(alpha_of(tokens, gamma), gamma, mean, mean / cost)


def speedup_of_rounds(accepted: float, drafted_share: float, length: float, gamma: int, costs: Costs) -> float:
    """S from what rounds really did, and costs that were measured apart from them.

    Args:
        accepted: mean drafts accepted in a round, over all rounds: E - 1.
        drafted_share: share of rounds that had a draft; the others are plain steps.
        length: mean length of a draft where there was one; a lookup's may be shorter than gamma; gamma for a tree, which costs the same each round.
        gamma: drafted tokens that the costs were measured for.
        costs: of a round with a whole draft.
    """
    drafted = min(length, gamma)
    verification = 1 + (costs.verification(gamma) - 1) * drafted / gamma
    return (1 + accepted) / (drafted_share * (drafted * costs.cost_ratio + costs.per_round + verification) + 1 - drafted_share)


def best_gamma(alpha: float, costs: Costs, largest: int = 16) -> int:
    """The gamma of 1 to `largest` with the greatest S, the smaller of equals; 0 when none is faster than plain decoding."""
    best = max((predict(alpha, gamma, costs) for gamma in range(1, largest + 1)), key=lambda found: (found.speedup, -found.gamma))
    return best.gamma if best.speedup > 1 else 0


def break_even_alpha(gamma: int, costs: Costs) -> float | None:
    """The least alpha with S >= 1, or None when even a draft that is always right costs more than it brings."""
    needed = costs.round(gamma)
    _check_gamma(gamma)
    if needed > gamma + 1:
        return None
    return _bisect(lambda alpha: expected_tokens(alpha, gamma) >= needed)


def table(costs: Costs, alphas: Sequence[float] = ALPHAS, gammas: Sequence[int] = GAMMAS) -> tuple[tuple[Prediction, ...], ...]:
    """A row each alpha, a column each gamma."""
    return tuple(tuple(predict(alpha, gamma, costs) for gamma in gammas) for alpha in alphas)


def verdict(prediction: Prediction, costs: Costs) -> str:
    """One plain sentence: what the setting brings, and when it is a slowdown what would mend it."""
    alpha, gamma = prediction.alpha, prediction.gamma
    round_cost = costs.round(gamma)
    account = f"a round yields {prediction.tokens:.2f} tokens and costs {round_cost:.2f} target steps"
    if prediction.speedup >= 1 + _EVEN:
        return f"Speculation would be {prediction.speedup:.2f} times as fast as plain decoding: {account}."
    even = break_even_alpha(gamma, costs)
    needs = f"with gamma {gamma} it pays off from alpha {even:.2f}" if even is not None else f"with gamma {gamma} no acceptance is high enough"
    better = best_gamma(alpha, costs)
    other = (
        f"gamma {better} would give {predict(alpha, better, costs).speedup:.2f} times"
        if better
        else f"at alpha {alpha:.2f} no gamma pays off: decode without speculation, or find a cheaper or better drafter"
    )
    what = "would be a slowdown" if prediction.speedup <= 1 - _EVEN else "would gain nothing"
    return f"Speculation {what}, {prediction.speedup:.2f} times plain decoding: {account}; {needs}; {other}."


def agrees(predicted: float, measured: float, within: float = 0.15) -> bool:
    """Whether a predicted speed-up lies within a share of the measured one."""
    return abs(predicted - measured) <= within * abs(measured)


def _bisect(enough: Callable[[float], bool]) -> float:
    """The least value of [0, 1] for which the growing condition holds, or 1."""
    low, high = 0.0, 1.0
    if enough(low):
        return 0.0
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (low, middle) if enough(middle) else (middle, high)
    return high


def _check_alpha(alpha: float) -> None:
    _require(math.isfinite(alpha) and 0 <= alpha <= 1, f"alpha must be a probability between 0 and 1 (0.8 for 80 %), got {alpha:g}")


def _check_gamma(gamma: int) -> None:
    _require(1 <= gamma <= LARGEST_GAMMA, f"gamma must be between 1 and {LARGEST_GAMMA}, got {gamma}: lower it, or decode without speculation")


def _at_least_zero(value: float) -> bool:
    return math.isfinite(value) and value >= 0


def _require(condition: bool, message: str) -> None:
    if not condition:
        raise RequestError(message)
