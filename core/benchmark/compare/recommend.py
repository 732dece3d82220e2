"""Which of several targets is the best by each measure, by how much, and whether that is more than noise."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Final

from core.benchmark.analysis.comparison import ASPECTS, Compared, Samples, compare_answers, compare_quality, compare_samples
from core.benchmark.compare.result import Goal, Recommendation
from core.benchmark.result import BenchmarkEntry, Quality, headline
from core.measure.units import number, percent, size

_FALSE_ALARM = 0.05
_EQUAL = 5e-4
_TWICE = 1.5
"""Margins from here on are written as how many times, smaller ones as a share."""
_LEAST_DONE = 0.5
"""Share of the requests that a target must have answered to be recommended."""


@dataclass(frozen=True)
class _Goal:
    goal: Goal
    title: str
    figures: tuple[str, ...]
    """The first of them that all targets have, else the last."""
    lower: bool
    show: Callable[[float], str]
    unit: str
    aspect: str = ""
    """Key of the aspect whose raw values tell what is noise; none when empty."""
    by: Callable[[Quality, Quality, float], Compared | None] | None = None
    """What compares two qualities at a confidence, where no aspect does."""
    otherwise: str = ""
    """Why the two cannot be compared."""
    instead: bool = False
    """Only where the same goal before it has no figure of any target."""


_GOALS: Final = (
    _Goal("throughput", "highest throughput", ("throughput_tokens_per_second",), False, number, " token/s", "throughput"),
    _Goal("latency", "lowest latency", ("e2el_p50_ms",), True, number, " ms end to end, p50", "e2el.p50"),
    _Goal("memory", "least memory", ("gpu_bytes", "host_bytes"), True, size, ""),
    _Goal("quality", "best quality", ("ppl",), True, number, " perplexity", by=compare_quality, otherwise="the two did not score the same tokens"),
    _Goal(
        *("quality", "best quality", ("accuracy",), False, percent, " of the questions answered correctly"),
        by=compare_answers,
        otherwise="the two were not asked the same number of questions",
        instead=True,
    ),
)


def recommend(entries: Sequence[BenchmarkEntry], samples: Mapping[str, Samples]) -> tuple[Recommendation, ...]:
    """The best of each goal that at least one target has a figure of; targets that answered less than half of their requests are not considered."""
    fit = [entry for entry in entries if entry.requests.done >= _LEAST_DONE * entry.requests.scheduled]
    return tuple(_recommended(fit, samples))


def _recommended(entries: Sequence[BenchmarkEntry], samples: Mapping[str, Samples]) -> Iterator[Recommendation]:
    figures = {entry.name: headline(entry) for entry in entries}
    done: set[str] = set()
    for goal in _GOALS:
        if goal.instead and goal.goal in done:
            continue
        name = next((each for each in goal.figures if all(held[each] is not None for held in figures.values())), goal.figures[-1])
        known = sorted((value, entry) for entry, held in figures.items() if (value := held[name]) is not None and value > 0)
        if not goal.lower:
            known.reverse()
        if known:
            done.add(goal.goal)
            yield _best(goal, name, known, samples, {entry.name: entry.quality for entry in entries})


def _best(
    goal: _Goal, figure: str, known: Sequence[tuple[float, str]], samples: Mapping[str, Samples], qualities: Mapping[str, Quality]
) -> Recommendation:
    value, name = known[0]
    shown = f"{name} with {goal.show(value)}{goal.unit}"
    best = partial(Recommendation, goal=goal.goal, title=goal.title, name=name, value=value, figure=figure)
    if len(known) < 2:
        return best(words=f"{shown}, the only one measured")
    second, runner_up = known[1]
    margin = second / value if goal.lower else value / second
    if margin < 1 + _EQUAL:
        return best(runner_up=runner_up, margin=margin, beyond_noise=False, words=f"{shown}, and {runner_up} as well")
    # So strictly that among all pairs with the best one false alarm is as rare as with two targets.
    confidence = 1 - _FALSE_ALARM / max(len(qualities) - 1, 1)
    if goal.by is not None:
        beyond, why = _noise(goal.by(qualities[name], qualities[runner_up], confidence), goal.otherwise)
    elif goal.aspect:
        aspects = [aspect for aspect in ASPECTS if aspect.key == goal.aspect]
        (found,) = compare_samples(samples.get(name, {}), samples.get(runner_up, {}), aspects, confidence)
        beyond, why = _noise(found)
    else:
        beyond, why = None, "measured once each, noise unknown"
    return best(runner_up=runner_up, margin=margin, beyond_noise=beyond, words=f"{shown}, {margin_words(margin)} {runner_up}: {why}")


def margin_words(margin: float) -> str:
    """How many times better, in words that the name of the second follows: as a share where it is little."""
    if margin < 1 + _EQUAL:
        return "as good as"
    return f"{100 * (margin - 1):.2g} % better than" if margin < _TWICE else f"{margin:.2f} times as good as"


def _noise(found: Compared | None, otherwise: str = "") -> tuple[bool | None, str]:
    """Whether the best is beyond noise, and why."""
    if found is None:
        return None, otherwise
    if found.beyond_noise is None:
        return None, found.words
    return found.verdict == "better", "beyond noise" if found.verdict == "better" else "within noise"
