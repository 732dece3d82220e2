"""Names of the tab's runs and settings. Pure."""

from __future__ import annotations

from core.sanitize import clean
from core.speculate.spec import DRAFTERS

SPECULATE, TEST = "speculate", "speculate-test"
"""Keys of the registry."""


def setting(drafter: str, gamma: int, temperature: float) -> str:
    """`draft model, γ 4, T 0.8`."""
    return f"{DRAFTERS.get(drafter, clean(drafter, limit=20))}, γ {gamma}, T {number(temperature)}"


def number(value: float) -> str:
    """`0.8`, `0`: few digits, no zeros behind them."""
    return f"{value:.3g}"
