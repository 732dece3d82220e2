"""What the pages showed."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from core.kvcache.pages.spec import Mode
from core.result import Figure, Figures, Result, Seconds


class PagesMetrics(Figures):
    """The figures that runs are compared by; None where the mode has none. Of a simulation: those of continuous batching, simulated."""

    utilization_mean: Annotated[float | None, Figure("blocks in use, mean", "share")] = None
    """Used blocks over blocks, mean over the steps (simulation: over the time)."""
    utilization_peak: Annotated[float | None, Figure("blocks in use, most", "share")] = None
    waste_mean: Annotated[float | None, Figure("slots wasted by pages", "share", "lower")] = None
    """Share of the used blocks' slots without a token, mean over the steps (simulation: over the time)."""
    waste_contiguous_mean: Annotated[float | None, Figure("slots wasted by contiguous caches", "share")] = None
    """The same for caches pre-allocated to `context` tokens each."""
    bytes_paged: Annotated[int | None, Figure("bytes of pages, most", "byte", "lower")] = None
    """Of the blocks in use at the fullest step."""
    bytes_contiguous: Annotated[int | None, Figure("bytes of contiguous caches", "byte")] = None
    """Of pre-allocated caches for the most sequences that ran at once."""
    hit_tokens: Annotated[int | None, Figure("prompt tokens found in the pool", "", "higher")] = None
    """Prompt tokens whose keys and values were found in the pool."""
    hit_share: Annotated[float | None, Figure("share of prompt tokens found", "share", "higher")] = None
    """Of all prompt tokens."""
    copies: Annotated[int | None, Figure("blocks copied before a write")] = None
    """Blocks copied because a shared one was to be written."""
    reused: Annotated[int | None, Figure("cached blocks reused for others")] = None
    """Blocks that held findable tokens and were taken for others."""
    identical: bool | None = None
    """Whether every token is the one that contiguous caches gave."""
    logit_difference: Annotated[float | None, Figure("largest difference of a logit", "", "lower")] = None
    """Largest difference of a logit from contiguous caches, both fed the same tokens."""
    tokens: Annotated[int | None, Figure("tokens")] = None
    """Generated."""
    seconds: Seconds | None = None
    tokens_per_second: Annotated[float | None, Figure("tokens per second", "", "higher")] = None
    latency_mean_s: Annotated[float | None, Figure("mean latency", "s", "lower")] = None
    latency_p95_s: Annotated[float | None, Figure("95th percentile of the latency", "s", "lower")] = None
    preemptions: Annotated[int | None, Figure("preemptions", "", "lower")] = None
    speedup: Annotated[float | None, Figure("times faster", "", "higher")] = None
    """Throughput of continuous over static batching (simulation)."""


class SequenceRow(Figures):
    """One sequence of a decode."""

    name: str
    prompt_tokens: int
    hit_tokens: Annotated[int, Figure("prompt tokens found in the pool", "", "higher")]
    new_tokens: int
    blocks: int
    shared_blocks: int
    """Of them, with other sequences in their tables too when it finished."""
    waited_steps: int
    text: str


class PolicyRow(Figures):
    """One way to batch, simulated over the trace."""

    policy: Literal["continuous", "static"]
    throughput_tokens_per_second: Annotated[float, Figure("tokens per second", "", "higher")]
    requests_per_second: Annotated[float, Figure("requests per second", "", "higher")]
    latency_mean_s: Annotated[float, Figure("mean latency", "s", "lower")]
    latency_p95_s: Annotated[float, Figure("95th percentile of the latency", "s", "lower")]
    ttft_mean_s: Annotated[float, Figure("mean time to first token", "s", "lower")]
    ttft_p95_s: Annotated[float, Figure("95th percentile of the time to first token", "s", "lower")]
    utilization_mean: Annotated[float, Figure("blocks in use, mean", "share")]
    """Blocks in use or set aside over all, mean over the time."""
    filled_mean: Annotated[float, Figure("slots filled, mean", "share", "higher")]
    """Share of those blocks' slots that hold a token, mean over the time that any are in use."""
    batch_mean: Annotated[float, Figure("sequences a step")]
    """Sequences in a step, mean over the steps."""
    preemptions: Annotated[int, Figure("preemptions", "", "lower")]
    finished: int
    refused: int
    """Requests that could not fit the memory, or the model's context, alone."""
    steps: int
    makespan_s: Annotated[float, Figure("time of all", "s", "lower")]
    """From the first arrival to the last token."""


class Series(Figures):
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


class StepEstimate(Figures):
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


class PagesResult(Result):
    """Result of `llmopt kv-cache-pages`."""

    schema_: str = Field("llmopt.kv-cache-pages/1", alias="schema")
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
