"""Short expressions over a result, for a CI: `ttft.p95 < 500ms`, `throughput > 30`, `errors == 0`, and objectives of one request: `ttft < 500ms`."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from math import isclose
from operator import eq, ge, gt, le, lt, ne
from typing import Final

from core.benchmark.metrics import SAMPLES, SampleMetric
from core.benchmark.result import BenchmarkEntry, Level, Threshold
from core.errors import RequestError
from core.measure.percentiles import LEVELS
from core.sanitize import clean

_FORM = re.compile(r"^\s*([a-z0-9_]+)(?:\.([a-z0-9.]+))?\s*(<=|>=|==|!=|<|>)\s*([0-9]*\.?[0-9]+(?:e[+-]?[0-9]+)?)\s*([a-z/%]*)\s*$", re.IGNORECASE)
_COMPARE: Final[Mapping[str, Callable[[float, float], bool]]] = {
    "<": lt,
    "<=": le,
    ">": gt,
    ">=": ge,
    "==": lambda value, limit: eq(value, limit) or isclose(value, limit, rel_tol=1e-12),
    "!=": ne,
}
_MILLISECONDS: Final[Mapping[str, float]] = {"": 1.0, "ms": 1.0, "s": 1000.0, "us": 0.001}
_SHARES: Final[Mapping[str, float]] = {"": 1.0, "%": 0.01}
_NATS: Final[Mapping[str, float]] = {"": 1.0, "nat": 1.0, "mnat": 0.001}
_COUNTS: Final[Mapping[str, float]] = {"": 1.0, "k": 1000.0}
_SAMPLED: Final[Mapping[str, SampleMetric]] = {metric.tag.removesuffix("_ms"): metric for metric in SAMPLES}
_PERCENTILE = re.compile(r"^p(\d{1,2}(?:\.\d+)?)$")
_KEPT: Final = frozenset(LEVELS)
_OF_A_SAMPLE: Final[Mapping[str, str]] = {"mean": "mean", "min": "least", "max": "most", "n": "n", "deviation": "deviation"}


@dataclass(frozen=True)
class _Plain:
    """A figure that is one number."""

    field: str
    unit: str
    scales: Mapping[str, float]
    needs: str = ""
    """The field of the spec without which it is not measured."""


_PLAINS: Final[Mapping[str, _Plain]] = {
    "throughput": _Plain("throughput_tokens_per_second", "token/s", _COUNTS),
    "requests": _Plain("throughput_requests_per_second", "request/s", _COUNTS),
    "goodput": _Plain("goodput_requests_per_second", "request/s", _COUNTS, "objectives"),
    "errors": _Plain("error_rate", "1", _SHARES),
    "timeouts": _Plain("timeout_rate", "1", _SHARES),
    "cost": _Plain("cost_per_million_tokens", "1", _COUNTS, "price"),
    "ppl": _Plain("ppl", "1", _COUNTS, "quality_tokens"),
    "kl": _Plain("kl_mean", "nat", _NATS, "quality_reference"),
    "accuracy": _Plain("accuracy", "1", _SHARES, "choices"),
}
EXAMPLES: Final = ("ttft.p95 < 500ms", "itl.p99 <= 50ms", "throughput > 30", "errors <= 1%", "ppl < 12", "kl < 0.05", "accuracy >= 60%")
NAMES: Final = (*_SAMPLED, *_PLAINS)
PARTS: Final = (*(f"p{level:g}" for level in LEVELS), *_OF_A_SAMPLE)
"""What can stand behind the point of a latency."""


@dataclass(frozen=True)
class Expression:
    """One parsed expression; the limit is in the figure's own unit."""

    text: str
    name: str
    part: str
    sign: str
    limit: float


def parse(text: str) -> Expression:
    """Take an expression apart.

    Raises:
        RequestError: it is none, or names what is not measured; the sentence lists what is.
    """
    shown = clean(text, limit=80)
    match = _FORM.match(text)
    if match is None:
        raise RequestError(f"the threshold {shown!r} cannot be read: write for example 'ttft.p95 < 500ms' or 'throughput > 30'")
    name, part, sign, number, unit = match[1].lower(), (match[2] or "").lower(), match[3], float(match[4]), match[5].lower()
    if name in _SAMPLED:
        part = part or "p50"
        level = _PERCENTILE.match(part)
        if part not in _OF_A_SAMPLE and (level is None or float(level[1]) not in _KEPT):
            raise RequestError(f"the threshold {shown!r} asks for {part}: there are {', '.join(PARTS)}")
        scales: Mapping[str, float] = {"": 1.0} if part == "n" else _MILLISECONDS
    elif name in _PLAINS and not part:
        scales = _PLAINS[name].scales
    else:
        behind = f": {name} is one number, write it without .{part}" if name in _PLAINS else f": there are {', '.join(NAMES)}"
        raise RequestError(f"the threshold {shown!r} names nothing that is measured{behind}")
    if unit not in scales:
        raise RequestError(f"the threshold {shown!r} has the unit {clean(unit)}: {name} takes {', '.join(filter(None, scales)) or 'none'}")
    return Expression(text.strip(), name, part, sign, number * scales[unit])


def needs(expression: Expression) -> str:
    """The field of the spec without which the figure is not measured; "" where it always is."""
    return _PLAINS[expression.name].needs if expression.name in _PLAINS else ""


def judge(expressions: Sequence[str], entry: BenchmarkEntry) -> tuple[Threshold, ...]:
    """Each expression held against one target's figures; what was not measured cannot pass.

    Raises:
        RequestError: an expression cannot be read.
    """
    return tuple(_judged(parse(text), entry) for text in expressions)


def _judged(expression: Expression, entry: BenchmarkEntry) -> Threshold:
    best = entry.shown
    value, unit, words = _value(expression, entry, best)
    if value is None:
        return Threshold(expression=expression.text, value=None, unit=unit, passed=False, words=words or "it was not measured")
    passed = _COMPARE[expression.sign](value, expression.limit)
    return Threshold(expression=expression.text, value=value, unit=unit, passed=passed, words=words)


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
            return each.value, metric.unit, "" if each.enough else f"only {figure.n} samples: too few to claim it"
    return None, metric.unit, f"{expression.part} is not among the percentiles of this result"


def objectives_of(texts: Sequence[str]) -> dict[SampleMetric, float]:
    """What one request must meet: metric to the limit in milliseconds.

    Raises:
        RequestError: an expression that is not `metric < time`.
    """
    found = {}
    for text in texts:
        expression = parse(text)
        plain = expression.name in _SAMPLED and "." not in re.split("<|>|=|!", text)[0]
        if not plain or expression.sign not in ("<", "<="):
            shown = clean(text, limit=80)
            raise RequestError(f"the objective {shown!r} cannot be used: write what one request must meet, for example 'ttft < 500ms'")
        found[_SAMPLED[expression.name]] = expression.limit
    return found
