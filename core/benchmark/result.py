"""What a load showed. The JSON of it is versioned by the run's schema; raw samples stand in `samples`. No torch."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, computed_field

from core.benchmark.percentiles import Distribution
from core.benchmark.percentiles import Percentile as PercentileOf

Counting = Literal["server", "tokenizer", "unknown"]


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class PercentileFigure(_Frozen):
    """One percentile with its interval."""

    level: float
    value: float
    low: float | None
    high: float | None
    enough: bool
    """Whether there are enough samples to claim it at 99 % confidence."""


class SampleFigure(_Frozen):
    """A distribution as the contract has it: p50, p95, p99 and n, and more."""

    title: str
    unit: str
    n: int
    mean: float | None
    deviation: float | None
    least: float | None
    most: float | None
    percentiles: tuple[PercentileFigure, ...]

    @computed_field  # type: ignore[prop-decorator]
    @property
    def p50(self) -> float | None:
        """Median."""
        return self.at(50.0)

    @computed_field  # type: ignore[prop-decorator]
    @property
    def p95(self) -> float | None:
        """95th percentile."""
        return self.at(95.0)

    @computed_field  # type: ignore[prop-decorator]
    @property
    def p99(self) -> float | None:
        """99th percentile."""
        return self.at(99.0)

    def at(self, level: float) -> float | None:
        """The value of a percentile; None where there is no sample."""
        return next((each.value for each in self.percentiles if each.level == level), None)

    @classmethod
    def of(cls, found: Distribution, title: str, unit: str) -> SampleFigure:
        """The figure of a distribution."""
        return cls(
            title=title,
            unit=unit,
            n=found.n,
            mean=found.mean,
            deviation=found.deviation,
            least=found.least,
            most=found.most,
            percentiles=tuple(_percentile(each) for each in found.percentiles),
        )


def _percentile(found: PercentileOf) -> PercentileFigure:
    return PercentileFigure(level=found.level, value=found.value, low=found.low, high=found.high, enough=found.enough)


class RequestCounts(_Frozen):
    """What became of the requests; the five others add up to `scheduled`."""

    scheduled: int
    done: int
    failed: int
    timed_out: int
    unsent: int
    cancelled: int = 0


class ErrorCount(_Frozen):
    """Requests that ended for the same reason."""

    status: str
    reason: str
    count: int


class ServerReport(_Frozen):
    """What the server said of itself while it was measured, and what its processes took; None where nothing was said."""

    peak_running: float | None = None
    peak_waiting: float | None = None
    peak_kv_usage: float | None = None
    prefix_hit_rate: float | None = None
    acceptance: float | None = None
    """Drafted tokens that were accepted / drafted."""
    host_bytes: int | None = None
    """Peak resident memory of the server's processes."""
    gpu_bytes: int | None = None
    """Peak GPU memory of the server's processes, by NVML."""
    joules: float | None = None
    """Energy of the GPUs over the measured window."""
    tokens_per_joule: float | None = None


class Quality(_Frozen):
    """What the model answers, beside how fast."""

    ppl: float | None = None
    kl_mean: float | None = None
    tokens: int = 0
    correct: int | None = None
    questions: int | None = None
    words: str = ""
    """How it was measured, or why it was not."""


class Level(_Frozen):
    """One load: the whole of a measurement, or one level of a sweep."""

    level: float | None = None
    """Rate or concurrency of a sweep."""
    requests: RequestCounts
    seconds: float
    """Of the window that rates are taken over."""
    window: str
    """How the window was chosen."""
    throughput_tokens_per_second: float | None
    throughput_requests_per_second: float | None
    throughput_total_tokens_per_second: float | None
    goodput_requests_per_second: float | None = None
    error_rate: float | None = None
    timeout_rate: float | None = None
    metrics: dict[str, SampleFigure]
    """By the tag of the metric."""
    achieved_rate: float | None = None
    """Requests a second that were really sent."""
    meets_objectives: bool | None = None


class Threshold(_Frozen):
    """One of the things that the whole must meet."""

    expression: str
    value: float | None
    unit: str = ""
    passed: bool | None
    """None: it could not be judged."""
    words: str = ""


class BenchmarkEntry(_Frozen):
    """One target."""

    name: str
    engine: str
    engine_version: str | None
    url: str
    model: str
    served_model: str
    command: str | None = None
    """How the server was started, if it was."""
    requests: RequestCounts
    ttft_ms: SampleFigure
    tpot_ms: SampleFigure
    itl_ms: SampleFigure
    e2el_ms: SampleFigure
    throughput_tokens_per_second: float | None
    throughput_requests_per_second: float | None
    goodput_requests_per_second: float | None = None
    levels: tuple[Level, ...]
    """One of an ordinary load, several of a sweep; the figures above are those of the best that meets the objectives, else of the last."""
    knee: float | None = None
    """Level of a sweep from which on more load brings less than it costs in latency."""
    errors: tuple[ErrorCount, ...] = ()
    token_counts: Counting = "unknown"
    connections: int | None = None
    server: ServerReport = Field(default_factory=ServerReport)
    quality: Quality = Field(default_factory=Quality)
    model_bytes: int | None = None
    """Of the weights on disk."""
    cost_per_million_tokens: float | None = None
    client_lag_ms: float | None = None
    """p99 between the moment a server of known times wrote a piece and the moment the client had it, at this load on this machine."""
    warnings: tuple[str, ...] = ()


class BenchmarkResult(_Frozen):
    """Of `llmopt benchmark`; of a comparison several entries."""

    entries: tuple[BenchmarkEntry, ...]
    thresholds: tuple[Threshold, ...] = ()
    machine: dict[str, Any] = Field(default_factory=dict)
    """Host, processors, GPUs, versions."""
    load: str = ""
    """The load in words."""
    samples: dict[str, dict[str, list[float]]] = Field(default_factory=dict)
    """Raw values by entry and tag."""
    warnings: tuple[str, ...] = ()
    seconds: float = 0.0

    @property
    def exit_code(self) -> int:
        """3 when a threshold was not met."""
        return 3 if any(threshold.passed is False for threshold in self.thresholds) else 0
