"""Raw values of one load against those of another: by which factor they differ, and whether that is more than noise."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import ceil, exp, sqrt
from statistics import NormalDist
from typing import Final, Literal, Self

import numpy as np

from core.benchmark.metrics import BY_TAG
from core.benchmark.result import BenchmarkEntry, BenchmarkResult, Quality
from core.measure.significance import ratio_of
from core.sanitize import clean

Verdict = Literal["better", "worse", "alike", "unknown"]
Samples = Mapping[str, Sequence[float]]
_LEAST = 8
_MOST_NATS = 700.0
_FALSE_ALARM = 0.05
"""Chance that among all aspects of two equal loads one is called different."""
_BEYOND = 1e4


@dataclass(frozen=True)
class Aspect:
    """One statistic of the raw values of a load, or of what a model answers."""

    key: str
    title: str
    tag: str
    level: float | None
    """Percentile; None: the mean."""

    @classmethod
    def of(cls, key: str, tag: str, level: float | None = None) -> Self:
        """Of a metric."""
        return cls(key, BY_TAG[tag].short + ("" if level is None else f" p{level:g}"), tag, level)

    @property
    def lower(self) -> bool:
        """Whether less is better."""
        return BY_TAG[self.tag].better == "lower" if self.tag in BY_TAG else self.tag != "accuracy"

    @property
    def unit(self) -> str:
        """Of its values."""
        return BY_TAG[self.tag].unit if self.tag in BY_TAG else ""

    @property
    def least(self) -> int:
        """Values that it takes to tell: of a percentile so many that one lies beyond it on average."""
        return _LEAST if self.level is None else max(_LEAST, ceil(1 / (1 - self.level / 100) - 1e-9))


ASPECTS: Final = (
    Aspect.of("ttft.p50", "ttft_ms", 50.0),
    Aspect.of("ttft.p95", "ttft_ms", 95.0),
    Aspect.of("tpot.p50", "tpot_ms", 50.0),
    Aspect.of("tpot.p95", "tpot_ms", 95.0),
    Aspect.of("itl.mean", "itl_of_request_ms"),
    Aspect.of("e2el.p50", "e2el_ms", 50.0),
    Aspect.of("e2el.p95", "e2el_ms", 95.0),
    Aspect.of("throughput", "request_tokens_per_second"),
)
PERPLEXITY: Final = Aspect("perplexity", "perplexity", "", None)
ANSWERS: Final = Aspect("accuracy", "questions answered correctly", "accuracy", None)
CONFIDENCE: Final = 1 - _FALSE_ALARM / len(ASPECTS)
"""Of each interval, so that all of them hold together at 95 % (Bonferroni)."""
BETWEEN_LOADS: Final = "intervals cover the requests of one load each, not changes on the machine between two loads"


@dataclass(frozen=True)
class Compared:
    """One aspect of a load over that of another."""

    aspect: Aspect
    value: float | None
    against: float | None
    ratio: float | None
    low: float | None
    """Of the interval of the ratio."""
    high: float | None
    beyond_noise: bool | None
    """None: too few values to tell."""
    verdict: Verdict
    words: str


def compare_samples(these: Samples, those: Samples, aspects: Sequence[Aspect] = ASPECTS, confidence: float = CONFIDENCE) -> tuple[Compared, ...]:
    """Each aspect of a load over that of another; requests, not tokens, are what is drawn again."""
    return tuple(_compared(aspect, these.get(aspect.tag, ()), those.get(aspect.tag, ()), confidence) for aspect in aspects)


def _compared(aspect: Aspect, these: Sequence[float], those: Sequence[float], confidence: float) -> Compared:
    value, against = statistic(these, aspect.level), statistic(those, aspect.level)
    if value is None or against is None:
        return Compared(aspect, value, against, None, None, None, None, "unknown", "not measured in both")
    fewest = min(len(these), len(those))
    found = ratio_of(these, those, aspect.level, confidence=confidence) if fewest >= aspect.least else None
    if found is None:
        ratio = value / against if against else None
        words = f"{fewest} requests are too few to compare: {aspect.least} are needed" if against else "the other value is 0"
        return Compared(aspect, value, against, ratio, None, None, None, "unknown", words)
    interval = f"{_times(found.ratio)} times ({_times(found.low)} to {_times(found.high)})"
    if not found.significant:
        return Compared(aspect, value, against, found.ratio, found.low, found.high, False, "alike", f"{interval}: within noise")
    verdict: Verdict = "better" if (found.ratio < 1) == aspect.lower else "worse"
    return Compared(aspect, value, against, found.ratio, found.low, found.high, True, verdict, f"{interval}: {verdict}, beyond noise")


def compare_quality(this: Quality, that: Quality, confidence: float = CONFIDENCE) -> Compared | None:
    """The perplexity of a model over that of another, token by token on the same text; None where they did not score the same tokens.

    The mean of the differences of the losses is the logarithm of the ratio; its interval is that of a normal distribution.
    """
    if this.ppl is None or that.ppl is None or len(this.losses) != len(that.losses) or len(this.losses) < _LEAST:
        return None
    if this.words.split("; ")[0] != that.words.split("; ")[0]:
        return None
    apart = np.asarray(this.losses) - np.asarray(that.losses)
    middle, spread = float(apart.mean()), float(apart.std(ddof=1)) / sqrt(len(apart))
    reach = NormalDist().inv_cdf((1 + confidence) / 2) * spread
    ratio, low, high = (exp(max(min(value, _MOST_NATS), -_MOST_NATS)) for value in (middle, middle - reach, middle + reach))
    interval = f"{ratio:.4f} times ({low:.4f} to {high:.4f})"
    if low <= 1 <= high:
        return Compared(PERPLEXITY, this.ppl, that.ppl, ratio, low, high, False, "alike", f"{interval}: within noise")
    verdict: Verdict = "better" if ratio < 1 else "worse"
    return Compared(PERPLEXITY, this.ppl, that.ppl, ratio, low, high, True, verdict, f"{interval}: {verdict}, beyond noise")


def compare_answers(this: Quality, that: Quality, confidence: float = CONFIDENCE) -> Compared | None:
    """The share of questions that a model answers right, over that of another; None where they were not asked as many.

    Beyond noise where the difference is larger than the errors of both shares together, each with a success and a failure added (Agresti and Caffo
    2000). That two models fail at the same questions is not taken into account, so that a difference is rather overlooked than invented.
    """
    if this.accuracy is None or that.accuracy is None or not that.accuracy or this.questions != that.questions:
        return None
    questions = (this.questions or 0) + 2
    shares = [((quality.correct or 0) + 1) / questions for quality in (this, that)]
    reach = NormalDist().inv_cdf((1 + confidence) / 2) * sqrt(sum(share * (1 - share) for share in shares) / questions)
    apart, ratio = shares[0] - shares[1], this.accuracy / that.accuracy
    if abs(apart) <= reach:
        return Compared(ANSWERS, this.accuracy, that.accuracy, ratio, None, None, False, "alike", f"{ratio:.3f} times: within noise")
    verdict: Verdict = "better" if apart > 0 else "worse"
    return Compared(ANSWERS, this.accuracy, that.accuracy, ratio, None, None, True, verdict, f"{ratio:.3f} times: {verdict}, beyond noise")


def statistic(values: Sequence[float], level: float | None) -> float | None:
    """Mean, or percentile by the nearest rank; None without values."""
    if not len(values):
        return None
    if level is None:
        return sum(values) / len(values)
    return sorted(values)[max(ceil(level / 100 * len(values) - 1e-9), 1) - 1]


def pairs_of(result: BenchmarkResult, against: BenchmarkResult) -> list[tuple[BenchmarkEntry, BenchmarkEntry]]:
    """Entries that belong together: by their names, else the only one of each."""
    named = {entry.name: entry for entry in against.entries}
    found = [(entry, named[entry.name]) for entry in result.entries if entry.name in named]
    if not found and len(result.entries) == len(against.entries) == 1:
        return [(result.entries[0], against.entries[0])]
    return found


def incomparable_reasons(result: BenchmarkResult, against: BenchmarkResult) -> tuple[str, ...]:
    """Why two results may not be set against each other: sentences."""
    found = []
    if result.load != against.load:
        found.append(f"the loads differ: {clean(result.load, limit=120)}, against {clean(against.load, limit=120)}")
    if names := result.machine.differing(against.machine):
        found.append(f"the machines differ in {', '.join(names)}")
    for entry, other in pairs_of(result, against):
        if entry.shown.level != other.shown.level:
            found.append(f"{clean(entry.name, limit=80)} is shown at the level {entry.shown.level}, was at {other.shown.level}")
    for name, other in ((entry.name, against_entry) for entry, against_entry in pairs_of(result, against) if entry.model != against_entry.model):
        found.append(f"{clean(name, limit=80)} is compared with another model, {clean(other.model, limit=80)}")
    return tuple(found)


def _times(ratio: float) -> str:
    """Of samples that are nearly all zeros a ratio has no upper end."""
    return f"{ratio:.3f}" if ratio < _BEYOND else f"over {_BEYOND:.0f}"
