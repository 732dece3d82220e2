"""What a look at a checkpoint found, check by check."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict

from core.sanitize import clean

CheckStatus = Literal["pass", "warn", "fail", "skip"]

TITLES: dict[str, str] = {
    "configuration": "the configuration names a supported scheme",
    "names": "every tensor belongs to the model, none is missing",
    "left out": "the linears in full precision are those excluded by the configuration",
    "packing": "shapes and packing are those of the scheme",
    "zero points": "zero points are inside the grid and in the stated version",
    "groups": "groups are complete and inside the scales",
    "scales": "scales are finite and positive",
    "finite": "weights are finite numbers",
    "tokenizer": "transformers reads the tokenizer",
    "perplexity": "the model predicts text better than chance",
}
"""The checks in order, with what is asserted."""

_WORSE: dict[CheckStatus, int] = {"skip": 0, "pass": 1, "warn": 2, "fail": 3}
_SHOWN = 3


class CheckResult(BaseModel):
    """One check."""

    model_config = ConfigDict(frozen=True)

    id: str
    title: str
    status: CheckStatus
    found: str
    """What was seen: a figure, or the first complaints."""
    problems: int = 0
    """How many complaints there were."""


class CheckBook:
    """Collects what is found, in any order."""

    def __init__(self) -> None:
        self._problems: dict[str, list[tuple[CheckStatus, str]]] = {}
        self._facts: dict[str, str] = {}

    def complain(self, check: str, sentence: str, status: CheckStatus = "fail") -> None:
        """Something is wrong, or with the status `warn` doubtful."""
        self._problems.setdefault(check, []).append((status, sentence))

    def fact(self, check: str, found: str) -> None:
        """The check was made; what was seen."""
        self._facts[check] = found

    @property
    def failed(self) -> bool:
        """Whether any check failed so far."""
        return any(status == "fail" for problems in self._problems.values() for status, _ in problems)

    def results(self) -> tuple[CheckResult, ...]:
        """Every check in order; those that were never made are `skip`."""
        return tuple(self._result(check) for check in TITLES)

    def _result(self, check: str) -> CheckResult:
        problems = self._problems.get(check, [])
        if not problems:
            fact = self._facts.get(check)
            return CheckResult(id=check, title=TITLES[check], status="skip" if fact is None else "pass", found=fact or "not checked")
        worst = max((status for status, _ in problems), key=_WORSE.__getitem__)
        first = [sentence for status, sentence in problems if status == worst]
        rest = f"; and {len(problems) - _SHOWN} more" if len(problems) > _SHOWN else ""
        return CheckResult(
            id=check, title=TITLES[check], status=worst, found=clean("; ".join(first[:_SHOWN]), limit=2000) + rest, problems=len(problems)
        )
