"""What a run measured at one setting, as the simulator takes it over. Pure."""

from __future__ import annotations

from dataclasses import dataclass

from core.speculate import simulate
from tui.speculate.simulation import Setting
from tui.widgets import words


@dataclass(frozen=True)
class Measured:
    """One setting of a finished run."""

    run_id: str
    what: str
    """Drafter and temperature, for a person."""
    gamma: int
    alpha: float
    cost_ratio: float
    verification: float
    speedup: float
    """Against plain decoding in the same run."""
    per_round: float = 0.0
    curve: tuple[tuple[int, float], ...] = ()
    """(gamma, speed-up) of every gamma of the run with the same drafter and temperature."""

    @property
    def setting(self) -> Setting:
        """To simulate."""
        return Setting(self.alpha, self.gamma, self.cost_ratio, self.verification, 1, self.per_round)

    def beside(self) -> str:
        """The measured speed-up beside the one that is predicted from what was measured of acceptance and costs."""
        predicted = self.setting.prediction.speedup
        apart = predicted / self.speedup - 1 if self.speedup else 0.0
        agree = "within" if simulate.agrees(predicted, self.speedup) else "not within"
        return (
            f"{self.what}, γ {self.gamma}: {words.figure(self.speedup, 3)} times as fast; simulated {words.figure(predicted, 3)} times, "
            f"{100 * apart:+.1f} %, {agree} 15 %"
        )
