"""What the pages showed."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from core import __version__
from core.kvcache.pages.spec import Mode


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", populate_by_name=True, serialize_by_alias=True)


class PagesMetrics(_Frozen):
    """The figures that runs are compared by; None where the mode has none. Of a simulation: those of continuous batching, simulated."""

    utilization_mean: float | None = None
    """Used blocks over blocks, mean over the steps (simulation: over the time)."""
    utilization_peak: float | None = None
    waste_mean: float | None = None
    """Share of the used blocks' slots without a token, mean over the steps (simulation: over the time)."""
    waste_contiguous_mean: float | None = None
    """The same for caches pre-allocated to `context` tokens each."""
    bytes_paged: int | None = None
    """Of the blocks in use at the fullest step."""
    bytes_contiguous: int | None = None
    """Of pre-allocated caches for the most sequences that ran at once."""
    hit_tokens: int | None = None
    """Prompt tokens whose keys and values were found in the pool."""
    hit_share: float | None = None
    """Of all prompt tokens."""
    copies: int | None = None
    """Blocks copied because a shared one was to be written."""
    reused: int | None = None
    """Blocks that held findable tokens and were taken for others."""
    identical: bool | None = None
    """Whether every token is the one that contiguous caches gave."""
    logit_difference: float | None = None
    """Largest difference of a logit from contiguous caches, both fed the same tokens."""
    tokens: int | None = None
    """Generated."""
    seconds: float | None = None
    tokens_per_second: float | None = None
    latency_mean_s: float | None = None
    latency_p95_s: float | None = None
    preemptions: int | None = None
    speedup: float | None = None
    """Throughput of continuous over static batching (simulation)."""


class SequenceRow(_Frozen):
    """One sequence of a decode."""

    name: str
    prompt_tokens: int
    hit_tokens: int
    new_tokens: int
    blocks: int
    shared_blocks: int
    """Of them, with other sequences in their tables too when it finished."""
    waited_steps: int
    text: str


class PolicyRow(_Frozen):
    """One way to batch, simulated over the trace."""

    policy: Literal["continuous", "static"]
    throughput_tokens_per_second: float
    requests_per_second: float
    latency_mean_s: float
    latency_p95_s: float
    ttft_mean_s: float
    ttft_p95_s: float
    utilization_mean: float
    """Blocks in use or set aside over all, mean over the time."""
    filled_mean: float
    """Share of those blocks' slots that hold a token, mean over the time that any are in use."""
    batch_mean: float
    """Sequences in a step, mean over the steps."""
    preemptions: int
    finished: int
    refused: int
    """Requests that could not fit the memory, or the model's context, alone."""
    steps: int
    makespan_s: float
    """From the first arrival to the last token."""


class Series(_Frozen):
    """What a chart draws; at most 512 points, each the mean over its span."""

    title: str
    x: tuple[float, ...]
    """Step of a decode, or simulated seconds."""
    utilization: tuple[float, ...]
    filled: tuple[float, ...]
    """Share of the used blocks' slots that hold a token."""
    contiguous: tuple[float, ...] = ()
    """Share of pre-allocated contiguous caches that holds a token (decode)."""
    running: tuple[float, ...] = ()
    waiting: tuple[float, ...] = ()


class StepEstimate(_Frozen):
    """How the time of a step was reached. An estimate; nothing of it was measured."""

    device: str
    tensor_parallel: int
    bandwidth_bytes_per_second: float
    flops_per_second: float | None
    weight_bytes: int
    """A GPU's share."""
    kv_bytes_per_token: float
    """A GPU's share."""
    block_bytes: int
    blocks: int
    how: tuple[str, ...]
    """The formula and where its figures come from, a sentence each."""


class PagesResult(_Frozen):
    """Result of `llmopt kv-cache-pages`."""

    schema_: str = Field("llmopt.kv-cache-pages/1", alias="schema")
    llmopt_version: str = __version__
    capability: Literal["kv-cache-pages"] = "kv-cache-pages"
    model: str
    mode: Mode
    label: Literal["measured", "simulation"]
    """Whether the model was run, or its times are an estimate's."""
    block_size: int
    blocks: int
    context: int
    """Tokens that contiguous caches are pre-allocated to."""
    metrics: PagesMetrics
    rows: tuple[SequenceRow, ...] | tuple[PolicyRow, ...] = ()
    series: tuple[Series, ...] = ()
    step: StepEstimate | None = None
    """Of a simulation."""
    notes: tuple[str, ...] = ()
