"""What a speculative run was asked to do, in a few words. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from core.runs.state.store import Run
from core.sanitize import clean
from tui.experiment.names import model

SPECULATE, TEST = "speculate", "speculate-test"
"""Keys of the registry."""
DRAFTERS: Mapping[str, str] = {"model": "draft model", "lookup": "n-gram lookup", "layers": "layer skipping", "medusa": "Medusa heads"}


def title(run: Run) -> str:
    """`bundled:draft, γ 2 4, T 0: bundled:base`, or the same as a test."""
    values = run.values
    what = f"{'test of ' if run.capability == TEST else ''}{recipe(values)}"
    return f"{what}: {model(values)}"


def recipe(values: Mapping[str, Any]) -> str:
    """Drafter, gammas and temperatures of a request."""
    drafter = str(values.get("drafter", "model"))
    named = model(values, "draft") if drafter == "model" else ""
    gammas, temperatures = (_several(values.get(name)) for name in ("gamma", "temperature"))
    parts = (named or DRAFTERS.get(drafter, clean(drafter, limit=20)), f"γ {gammas}" if gammas else "", f"T {temperatures}" if temperatures else "")
    return ", ".join(filter(None, parts))


def setting(drafter: str, gamma: int, temperature: float) -> str:
    """`draft model, γ 4, T 0.8`."""
    return f"{DRAFTERS.get(drafter, clean(drafter, limit=20))}, γ {gamma}, T {number(temperature)}"


def number(value: float) -> str:
    """`0.8`, `0`: few digits, no zeros behind them."""
    return f"{value:.3g}"


def _several(value: Any) -> str:
    values = value if isinstance(value, list | tuple) else [value]
    return " ".join(number(each) for each in values if isinstance(each, int | float) and not isinstance(each, bool))
