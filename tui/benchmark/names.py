"""Names of the tab's runs and engines. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from core.benchmark.compare.spec import BenchmarkCompareSpec
from core.benchmark.machine.spec import BenchmarkMachineSpec
from core.benchmark.spec import BenchmarkSpec
from core.engine import ServeSpec
from core.runs.state.store import Run
from core.sanitize import clean
from core.spec import text_in
from tui.experiment import names

BENCHMARK, SERVE = BenchmarkSpec.capability, ServeSpec.capability
COMPARE = BenchmarkCompareSpec.capability
"""Several targets one after the other under the same load."""
MACHINE = BenchmarkMachineSpec.capability
"""Matrix products and memory of this machine."""
MEASURED = (BENCHMARK, COMPARE)
"""Capabilities whose runs measure targets."""


def is_url(model: object) -> bool:
    """Whether a model is the address of a server."""
    return isinstance(model, str) and model.startswith(("http://", "https://"))


def engine(values: Mapping[str, Any]) -> str:
    """The engine of a spec's values."""
    return clean(text_in(values, "engine", "openai" if is_url(text_in(values, "model")) else "runtime"), limit=40)


def target(values: Mapping[str, Any]) -> str:
    """`runtime · bundled:base`, or the address of a server."""
    model = text_in(values, "model")
    return clean(model, limit=80) if is_url(model) else f"{engine(values)} · {names.model(values)}"


def run_title(run: Run) -> str:
    """What a run was asked to do, in a few words."""
    if run.capability == SERVE:
        return f"server {target(run.values)}"
    if run.capability == MACHINE:
        return f"this machine and {names.model(run.values)}"
    if run.capability == COMPARE:
        return f"comparison of engines: {names.model(run.values)}"
    load = clean(text_in(run.values, "load", "concurrency"), limit=20)
    return f"{_LOADS.get(load, load)} on {target(run.values)}"


_LOADS: Mapping[str, str] = {
    "one": "one request at a time",
    "concurrency": "fixed concurrency",
    "constant": "constant rate",
    "poisson": "Poisson load",
    "gamma": "bursts",
    "ramp": "ramp",
    "trace": "trace",
    "sweep": "sweep",
}
