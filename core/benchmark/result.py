"""What a load showed. The JSON of it is versioned by the run's schema; raw samples stand in `samples`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, ClassVar, Literal, Self

from pydantic import Field, computed_field, model_validator

from core.benchmark.metrics import BY_TAG
from core.evaluate.result import Kl, KlError, Ppl, PplError
from core.hardware.surroundings import Surroundings
from core.measure.percentiles import Distribution
from core.measure.percentiles import Percentile as PercentileOf
from core.result import Figure, Figures, Result, Seconds

Counting = Literal["server", "tokenizer", "unknown"]
EnergyOf = Literal["GPUs", "processors", ""]
_LATENCIES = ("ttft", "tpot", "itl", "e2el")


class PercentileFigure(Figures):
    """One percentile with its interval."""

    level: float
    value: float
    low: float | None
    high: float | None
    enough: bool
    """Whether there are enough samples to claim it at 99 % confidence."""


class SampleFigure(Figures):
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


class RequestCounts(Figures):
    """What became of the requests: `done`, `failed`, `timed_out` and `unsent` add up to `scheduled`."""

    scheduled: int
    done: int
    failed: int
    timed_out: int
    unsent: int
    """Those that the load ended before: never sent, or cut off under way."""
    cancelled: int = 0
    """Of the unsent, those that were cut off under way."""


class ErrorCount(Figures):
    """Requests that ended for the same reason."""

    status: str
    reason: str
    count: int


class ServerReport(Figures):
    """What the server said of itself while it was measured, and what its processes took; None where nothing was said."""

    peak_running: float | None = None
    peak_waiting: float | None = None
    peak_kv_usage: float | None = None
    mean_running: float | None = None
    """Mean over the looks."""
    mean_waiting: float | None = None
    mean_kv_usage: float | None = None
    looks: int = 0
    """How often the server was asked while it was measured: what lies between two looks is not seen."""
    prefix_hit_rate: float | None = None
    """Tokens of prompts that were found in the prefix cache / all: by the server's metrics, else by the usage of its answers."""
    acceptance: float | None = None
    """Drafted tokens that were accepted / drafted."""
    host_bytes: Annotated[int | None, Figure("memory of the server", "byte", "lower")] = None
    """Peak resident memory of the server's processes."""
    gpu_bytes: Annotated[int | None, Figure("GPU memory of the server", "byte", "lower")] = None
    """Peak GPU memory of the server's processes, by NVML."""
    joules: float | None = None
    """Energy of the GPUs while it was measured, whatever else ran on them."""
    processor_joules: float | None = None
    """Energy of this machine's processors while it was measured, whatever else ran on them."""
    tokens_per_joule: Annotated[float | None, Figure("tokens per joule", "", "higher")] = None
    """Tokens of answers / energy of what computes: the GPUs where the server is on any, else the processors."""
    energy_of: EnergyOf = ""
    """What the tokens a joule are of."""


class Quality(Figures):
    """What the model answers, as opposed to how fast."""

    ppl: Ppl | None = None
    ppl_se: PplError | None = None
    """Standard error."""
    kl_mean: Kl | None = None
    """From the reference; truncated, as `words` defines it."""
    kl_se: KlError | None = None
    tokens: Annotated[int, Figure("tokens")] = 0
    """That were scored."""
    correct: int | None = None
    questions: int | None = None
    words: str = ""
    """How it was measured, or why it was not."""
    losses: tuple[float, ...] = ()
    """Negative log-likelihood of each scored token, nat, in the order of the text: models that score the same tokens are compared token by token."""

    @property
    def accuracy(self) -> float | None:
        """Questions that were answered right, as a share."""
        return None if self.correct is None or not self.questions else self.correct / self.questions


class PauseFigure(Figures):
    """A time in which nothing new was sent, because the user paused it. It is in no rate."""

    at: float
    """Seconds from the beginning of the load."""
    seconds: Seconds


class Level(Figures):
    """One load: the whole of a measurement, or one level of a sweep."""

    level: float | None = None
    """Rate or concurrency of a sweep."""
    requests: RequestCounts
    seconds: Seconds
    """Of the window that rates are taken over."""
    window: str
    """How the window was chosen."""
    throughput_tokens_per_second: Annotated[float | None, Figure("tokens per second", "", "higher")]
    throughput_requests_per_second: Annotated[float | None, Figure("requests per second", "", "higher")]
    throughput_total_tokens_per_second: Annotated[float | None, Figure("tokens per second, prompts too", "", "higher")]
    goodput_requests_per_second: Annotated[float | None, Figure("requests per second that meet the objectives", "", "higher")] = None
    error_rate: float | None = None
    timeout_rate: float | None = None
    metrics: dict[str, SampleFigure]
    """By the tag of the metric."""
    scheduled_rate: float | None = None
    """Requests a second at which those that were sent were due, as their schedule was drawn; None where all were due at once."""
    achieved_rate: float | None = None
    """Requests a second that were really sent."""
    meets_objectives: bool | None = None
    pauses: tuple[PauseFigure, ...] = ()


class Threshold(Figures):
    """One of the things that the whole must meet."""

    expression: str
    value: float | None
    unit: str = ""
    passed: bool | None
    """None: it could not be judged."""
    words: str = ""


class BenchmarkEntry(Figures):
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
    throughput_tokens_per_second: Annotated[float | None, Figure("tokens a second", "", "higher")]
    throughput_requests_per_second: Annotated[float | None, Figure("requests a second", "", "higher")]
    goodput_requests_per_second: Annotated[float | None, Figure("requests a second that meet the objectives", "", "higher")] = None
    levels: Annotated[tuple[Level, ...], Field(min_length=1)]
    """One of an ordinary load, several of a sweep; the figures above are those of the best that meets the objectives, else of the last."""
    knee: float | None = None
    """Level of a sweep from which on more load brings less than it costs in latency."""
    highest_meeting: float | None = None
    """Highest level of a sweep that still meets the objectives; None without objectives, or where none does."""
    errors: tuple[ErrorCount, ...] = ()
    token_counts: Counting = "unknown"
    prompt_tokens: int | None = None
    """Of the requests that are done, as the server counted them; None where it did not."""
    completion_tokens: int | None = None
    """Of their answers, counted by `token_counts`."""
    retries: int = 0
    """Times that a request was sent again because the server had turned it away."""
    connections: int | None = None
    server: ServerReport = Field(default_factory=ServerReport)
    quality: Quality = Field(default_factory=Quality)
    model_bytes: Annotated[int | None, Figure("size of the weights", "byte", "lower")] = None
    """Of the weights on disk."""
    cost_per_million_tokens: Annotated[float | None, Figure("cost per million tokens", "", "lower")] = None
    client_lag_ms: float | None = None
    """p99 between the moment a server of known times wrote a piece and the moment the client had it, at this load on this machine."""
    warnings: tuple[str, ...] = ()

    @property
    def shown(self) -> Level:
        """The level that the entry's own figures are of."""
        return next((level for level in self.levels if level.throughput_tokens_per_second == self.throughput_tokens_per_second), self.levels[-1])


class Timeline(Figures):
    """Every request of a load, a column a quantity; seconds count from the begin of the load, None where a request never came so far."""

    status: tuple[str, ...]
    due: tuple[float, ...]
    sent: tuple[float | None, ...]
    first: tuple[float | None, ...]
    """First piece with content."""
    last: tuple[float | None, ...]
    """Last piece with content."""
    tokens: tuple[int | None, ...]
    """Of the answer."""
    measured: tuple[bool, ...]
    """Whether the latencies of the request are among the figures: it began within the window."""

    @model_validator(mode="after")
    def _even(self) -> Self:
        if len({len(getattr(self, name)) for name in type(self).model_fields}) > 1:
            raise ValueError("columns of different lengths")
        return self


def headline(entry: BenchmarkEntry) -> dict[str, float | None]:
    """The main figures of a target."""
    return {
        "throughput_tokens_per_second": entry.throughput_tokens_per_second,
        "throughput_requests_per_second": entry.throughput_requests_per_second,
        "goodput_requests_per_second": entry.goodput_requests_per_second,
        "ttft_p50_ms": entry.ttft_ms.p50,
        "ttft_p95_ms": entry.ttft_ms.p95,
        "tpot_p50_ms": entry.tpot_ms.p50,
        "tpot_p95_ms": entry.tpot_ms.p95,
        "itl_p50_ms": entry.itl_ms.p50,
        "itl_p95_ms": entry.itl_ms.p95,
        "e2el_p50_ms": entry.e2el_ms.p50,
        "e2el_p95_ms": entry.e2el_ms.p95,
        "requests_done": entry.requests.done,
        "requests_bad": entry.requests.failed + entry.requests.timed_out,
        "host_bytes": entry.server.host_bytes,
        "gpu_bytes": entry.server.gpu_bytes,
        "model_bytes": entry.model_bytes,
        "ppl": entry.quality.ppl,
        "kl_mean": entry.quality.kl_mean,
        "accuracy": entry.quality.accuracy,
        "tokens_per_joule": entry.server.tokens_per_joule,
        "cost_per_million_tokens": entry.cost_per_million_tokens,
    }


class BenchmarkResult(Result):
    """Of `llmopt benchmark`; of a comparison several entries."""

    figures: ClassVar[Mapping[str, Figure]] = {
        **{f"{name}_{part}_ms": Figure(f"{BY_TAG[f'{name}_ms'].title}, {part}", "ms", "lower") for name in _LATENCIES for part in ("p50", "p95")},
        "requests_done": Figure("requests done"),
        "requests_bad": Figure("requests failed or timed out", "", "lower"),
        "accuracy": Figure("questions answered correctly", "share", "higher"),
    }
    schema_: str = Field("llmopt.benchmark/1", alias="schema")
    capability: str = "benchmark"
    entries: Annotated[tuple[BenchmarkEntry, ...], Field(min_length=1)]
    thresholds: tuple[Threshold, ...] = ()
    machine: Surroundings = Surroundings()
    """Host, processors, GPUs, versions."""
    load: str = ""
    """The load in words."""
    samples: dict[str, dict[str, list[float]]] = Field(default_factory=dict)
    """Raw values by entry and tag, of the requests that the figures are of."""
    timelines: dict[str, Timeline] = Field(default_factory=dict)
    """By entry: every request, in the order of the schedule."""
    warnings: tuple[str, ...] = ()
    stopped: str = ""
    """Why the load ended before its end; empty when it did not."""
    seconds: Seconds = 0.0

    @computed_field  # type: ignore[prop-decorator]
    @property
    def metrics(self) -> dict[str, float]:
        """The figures by which runs are compared; of several entries behind the name of each."""
        alone = len(self.entries) == 1
        return {
            name if alone else f"{entry.name}.{name}": value for entry in self.entries for name, value in headline(entry).items() if value is not None
        }

    @property
    def exit_code(self) -> int:
        """3 when a threshold was not met."""
        return 3 if any(threshold.passed is False for threshold in self.thresholds) else 0
