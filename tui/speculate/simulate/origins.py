"""Where the simulator's figures come from: assumed by a user or a scenario, or measured by a run. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace

from core.speculate.simulate.simulate import SCENARIOS

NAMES: Mapping[str, str] = {"alpha": "α", "gamma": "γ", "cost_ratio": "c", "verification": "v", "batch": "batch"}
Origin = tuple[str, str]
"""assumed or measured, and what else there is to say of it."""
_ASSUMED: Origin = ("assumed", "")


@dataclass(frozen=True)
class Origins:
    """Field -> where its value comes from; what is not listed is assumed."""

    known: Mapping[str, Origin] = field(default_factory=dict)

    def edited(self, name: str) -> Origins:
        return replace(self, known={other: origin for other, origin in self.known.items() if other != name})

    def by_scenario(self, name: str) -> Origins:
        """A scenario gave acceptance and gamma."""
        scenario = SCENARIOS.get(name)
        if scenario is None:
            return self
        origin = ("assumed", f"for {scenario.title.lower()}: {scenario.why}")
        return replace(self, known={**self.known, **dict.fromkeys(("alpha", "gamma"), origin)})

    def by_run(self, names: Iterable[str], where: str) -> Origins:
        """A run measured some of them."""
        return replace(self, known={**self.known, **dict.fromkeys(names, ("measured", where))})

    def in_words(self) -> list[tuple[str, str]]:
        """(assumed or measured, which fields and by what), in the order of the form."""
        found: dict[Origin, list[str]] = {}
        for name, sign in NAMES.items():
            found.setdefault(self.known.get(name, _ASSUMED), []).append(sign)
        return [(how, " ".join(filter(None, (", ".join(signs), why)))) for (how, why), signs in found.items()]
