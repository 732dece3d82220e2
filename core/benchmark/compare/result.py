"""What a comparison of engines showed."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from core.benchmark.result import BenchmarkResult
from core.result import Figures

Goal = Literal["throughput", "latency", "memory", "quality"]


class Recommendation(Figures):
    """Which target is the best by one measure, and by how much."""

    goal: Goal
    title: str
    """For example `highest throughput`."""
    name: str
    """Of the entry."""
    value: float
    figure: str
    """Name of the measure among the figures, for example `throughput_tokens_per_second`."""
    runner_up: str | None = None
    margin: float | None = None
    """How many times better than the second: above 1."""
    beyond_noise: bool | None = None
    """None: it is not known."""
    words: str


class LeftOut(Figures):
    """A target that was not measured."""

    target: str
    """As it was asked for."""
    reason: str


class BenchmarkCompareResult(BenchmarkResult):
    """Of `llmopt benchmark-compare`: targets one after the other under the same load."""

    schema_: str = Field("llmopt.benchmark-compare/1", alias="schema")
    capability: str = "benchmark-compare"
    model: str
    left_out: tuple[LeftOut, ...] = ()
    recommendations: tuple[Recommendation, ...] = ()
