"""Short expressions over a result, for a CI: `ttft.p95 < 500ms`, `throughput > 30`, `errors == 0`, and objectives of one request: `ttft < 500ms`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from core.benchmark.metrics import SAMPLES, SampleMetric
from core.benchmark.result import BenchmarkEntry, Level, Threshold
from core.errors import RequestError
from core.measure.percentiles import LEVELS
from core.measure.thresholds import COUNTS, MILLISECONDS, NATS, SHARES, Expression, Grammar, Measurable, Scales
from core.sanitize import clean

_SAMPLED: Final[Mapping[str, SampleMetric]] = {metric.tag.removesuffix("_ms"): metric for metric in SAMPLES}
_OF_A_SAMPLE: Final[Mapping[str, str]] = {"mean": "mean", "min": "least", "max": "most", "n": "n", "deviation": "deviation"}


@dataclass(frozen=True)
class _Plain:
    """A figure that is one number."""

    field: str
    unit: str
    scales: Scales
    needs: str = ""
    """The field of the spec without which it is not measured."""


_PLAINS: Final[Mapping[str, _Plain]] = {
    "throughput": _Plain("throughput_tokens_per_second", "token/s", COUNTS),
    "requests": _Plain("throughput_requests_per_second", "request/s", COUNTS),
    "goodput": _Plain("goodput_requests_per_second", "request/s", COUNTS, "objectives"),
    "errors": _Plain("error_rate", "1", SHARES),
    "timeouts": _Plain("timeout_rate", "1", SHARES),
    "cost": _Plain("cost_per_million_tokens", "1", COUNTS, "price"),
    "ppl": _Plain("ppl", "1", COUNTS, "quality_tokens"),
    "kl": _Plain("kl_mean", "nat", NATS, "quality_reference"),
    "accuracy": _Plain("accuracy", "1", SHARES, "choices"),
}
EXAMPLES: Final = ("ttft.p95 < 500ms", "itl.p99 <= 50ms", "throughput > 30", "errors <= 1%", "ppl < 12", "kl < 0.05", "accuracy >= 60%")
NAMES: Final = (*_SAMPLED, *_PLAINS)
PARTS: Final = (*(f"p{level:g}" for level in LEVELS), *_OF_A_SAMPLE)
"""What can stand behind the point of a latency."""
_PART_SCALES: Final[Mapping[str, Scales]] = {part: {"": 1.0} if part == "n" else MILLISECONDS for part in PARTS}
_GRAMMAR: Final = Grammar(
    {name: Measurable(MILLISECONDS, _PART_SCALES, "p50") for name in _SAMPLED} | {name: Measurable(plain.scales) for name, plain in _PLAINS.items()},
    "'ttft.p95 < 500ms' or 'throughput > 30'",
)
parse: Final = _GRAMMAR.parse


def needs(expression: Expression) -> str:
    """The field of the spec without which the figure is not measured; "" where it always is."""
    return _PLAINS[expression.name].needs if expression.name in _PLAINS else ""


def judge(expressions: Sequence[str], entry: BenchmarkEntry) -> tuple[Threshold, ...]:
    """Each expression held against one target's figures; what was not measured cannot pass. Raises RequestError: an expression cannot be read."""
    return tuple(_judged(parse(text), entry) for text in expressions)


def _judged(expression: Expression, entry: BenchmarkEntry) -> Threshold:
    best = entry.shown
    value, unit, words = _value(expression, entry, best)
    if value is None:
        return Threshold(expression=expression.text, value=None, unit=unit, passed=False, words=words or "it was not measured")
    return Threshold(expression=expression.text, value=value, unit=unit, passed=expression.holds(value), words=words)


def _value(expression: Expression, entry: BenchmarkEntry, level: Level) -> tuple[float | None, str, str]:
    """Figure, unit, and what must be said of it."""
    if expression.name in _PLAINS:
        plain = _PLAINS[expression.name]
        holder = next((each for each in (level, entry, entry.quality) if hasattr(each, plain.field)), None)
        return (getattr(holder, plain.field) if holder is not None else None), plain.unit, ""
    metric = _SAMPLED[expression.name]
    figure = level.metrics.get(metric.tag)
    if figure is None or not figure.n:
        return None, metric.unit, ""
    if expression.part in _OF_A_SAMPLE:
        found: float | None = getattr(figure, _OF_A_SAMPLE[expression.part])
        return found, metric.unit, ""
    wanted = float(expression.part[1:])
    for each in figure.percentiles:
        if each.level == wanted:
            return each.value, metric.unit, "" if each.enough else f"only {figure.n} samples, too few for it"
    return None, metric.unit, f"{expression.part} is not one of the percentiles of this result"


def objectives_of(texts: Sequence[str]) -> dict[SampleMetric, float]:
    """What one request must meet: metric to the limit in milliseconds. Raises RequestError: an expression that is not `metric < time`."""
    found = {}
    for text in texts:
        expression = parse(text)
        if expression.name not in _SAMPLED or not expression.without_part or expression.sign not in ("<", "<="):
            shown = clean(text, limit=80)
            raise RequestError(f"the objective {shown!r} is invalid: write what one request must meet, for example 'ttft < 500ms'")
        found[_SAMPLED[expression.name]] = expression.limit
    return found
