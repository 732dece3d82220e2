"""What generating with and without a cache costs."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, ClassVar, Literal

from pydantic import Field, computed_field

from core.kvcache.result import Path
from core.result import Figure, Figures, PeakMemory, Result, Seconds


class LengthFigures(Figures):
    """Both ways up to one length. Times are medians over the repeats."""

    tokens: Annotated[int, Figure("tokens")]
    with_ms: Annotated[float, Figure("time per token with a cache", "ms", "lower")]
    """Of the token at this length, with a cache."""
    without_ms: Annotated[float, Figure("time per token without a cache", "ms")]
    """Of the same token when everything before it is computed again."""
    speedup: Annotated[float, Figure("times faster", "", "higher")]
    """`without_ms` over `with_ms`."""
    with_total_seconds: Annotated[float, Figure("all tokens with a cache", "second", "lower")]
    """Of all tokens up to this length."""
    without_total_seconds: Annotated[float, Figure("all tokens without a cache", "second")]
    total_speedup: Annotated[float, Figure("times faster, all tokens", "", "higher")]
    with_projections: Annotated[int, Figure("keys and values computed with a cache")]
    """Key and value vectors that were computed up to this length, all blocks together; counted in the model's own projections."""
    without_projections: Annotated[int, Figure("keys and values computed without a cache")]
    with_projections_formula: int
    without_projections_formula: int
    cache_bytes: Annotated[int, Figure("bytes of the cache", "byte", "lower")]
    """What the cache holds at this length: the price of the speed."""


class GrowthFit(Figures):
    """Least squares of ln t = ln c + k ln n over the lengths and repeats."""

    name: str
    """`with total`, `without total`, `with token`, `without token`."""
    quantity: Literal["total seconds", "token ms"]
    cached: bool
    coefficient: float
    exponent: float
    low: float
    """Of the exponent's 95 % interval (Student's t)."""
    high: float
    r_squared: float
    points: int
    tail_exponent: float
    """Between the two longest lengths alone, where constant costs weigh least."""
    sentence: str


class CostParts(Figures):
    """Where the time goes: total = step_ms * n + token_us * n (n + 1) / 2, by least squares of the relative errors.

    Power laws of short lengths lie between the two parts; this split says when the growing one takes over.
    """

    cached: bool
    step_ms: float
    """What every step costs, however long the text is."""
    token_us: float
    """What every token of the text adds to a step."""
    even_tokens: float | None
    """Length from which the growing part is the larger of a total; None where nothing grows."""
    r_squared: float
    sentence: str


class KvCacheWhyResult(Result):
    """Result of `llmopt kv-cache-why`."""

    figures: ClassVar[Mapping[str, Figure]] = {
        "exponent_with_total": Figure("exponent of the total time with a cache", "", "lower"),
        "exponent_without_total": Figure("exponent of the total time without a cache"),
        "exponent_with_token": Figure("exponent of the time per token with a cache", "", "lower"),
        "exponent_without_token": Figure("exponent of the time per token without a cache"),
    }
    schema_: str = Field("llmopt.kv-cache-why/1", alias="schema")
    capability: Literal["kv-cache-why"] = "kv-cache-why"
    model: str
    path: Path
    """What computed the timed steps, the same both ways."""
    threads: int
    device: str
    dtype: str
    repeats: int
    rows: tuple[LengthFigures, ...]
    """By length; the data of both charts: time per token, and projections computed."""
    fits: tuple[GrowthFit, ...]
    parts: tuple[CostParts, ...] = ()
    """With a cache and without."""
    seconds: Seconds
    peak_rss_bytes: PeakMemory
    notes: tuple[str, ...] = ()

    @computed_field  # type: ignore[prop-decorator]
    @property
    def metrics(self) -> dict[str, float]:
        """At the longest length, and the exponents."""
        last = self.rows[-1]
        exponents = {f"exponent_{fit.name.replace(' ', '_')}": fit.exponent for fit in self.fits}
        return {
            "tokens": last.tokens,
            "speedup": last.speedup,
            "total_speedup": last.total_speedup,
            "with_ms": last.with_ms,
            "without_ms": last.without_ms,
            "cache_bytes": last.cache_bytes,
        } | exponents
