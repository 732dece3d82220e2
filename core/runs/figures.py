"""The figures of results: how they are called, what unit they have, which way is better."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any, Literal

Better = Literal["lower", "higher", ""]


def size(n_bytes: float) -> str:
    """Bytes in binary units."""
    value, units = float(n_bytes), ["B", "KiB", "MiB", "GiB", "TiB"]
    while abs(value) >= 1023.95 and len(units) > 1:
        value /= 1024
        units.pop(0)
    return f"{value:.0f} {units[0]}" if units[0] == "B" else f"{value:.1f} {units[0]}"


def duration(seconds: float) -> str:
    """Seconds in the two largest units."""
    if seconds < 9.95:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    minutes, rest = divmod(whole, 60)
    hours, minutes_left = divmod(minutes, 60)
    if hours:
        return f"{hours} h {minutes_left} min"
    return f"{minutes} min {rest} s" if minutes else f"{rest} s"


def number(value: float) -> str:
    """Five significant digits; whole numbers with separators."""
    if isinstance(value, int) or (abs(value) < 1e15 and value == int(value) and abs(value) >= 1000):
        return f"{int(value):,}"
    return f"{value:.5g}"


def percent(value: float) -> str:
    """A share as a percentage."""
    return f"{100 * value:.2f} %"


@dataclass(frozen=True)
class Figure:
    """One measured quantity."""

    title: str
    better: Better = ""
    show: Callable[[float], str] = number
    error: str = ""
    """Name of the figure that is its standard error."""


FIGURES: dict[str, Figure] = {
    "ppl": Figure("perplexity", "lower", error="ppl_se"),
    "ppl_se": Figure("perplexity, standard error"),
    "nll_mean": Figure("negative log-likelihood, nat", "lower", error="nll_se"),
    "nll_se": Figure("negative log-likelihood, standard error, nat"),
    "ppl_ref": Figure("perplexity of the reference"),
    "ln_ppl_ratio": Figure("log of the perplexity ratio", "lower", error="ln_ppl_ratio_se"),
    "ln_ppl_ratio_se": Figure("log of the perplexity ratio, standard error"),
    "ppl_before": Figure("perplexity before", "lower", error="ppl_before_se"),
    "ppl_after": Figure("perplexity after", "lower"),
    "ppl_ratio": Figure("perplexity ratio", "lower"),
    "bits_per_byte": Figure("bits per byte", "lower"),
    "kl_mean": Figure("KL divergence, nat", "lower", error="kl_se"),
    "kl_se": Figure("KL divergence, standard error, nat"),
    "kl_max": Figure("largest KL divergence of a token, nat", "lower"),
    "top1_agreement": Figure("top-1 agreement", "higher", percent, error="top1_se"),
    "top1_se": Figure("top-1 agreement, standard error", "", percent),
    "bytes_before": Figure("size before", "", size),
    "bytes_after": Figure("size after", "lower", size),
    "bits_per_weight": Figure("bits per weight", "lower"),
    "bits_per_quantized_weight": Figure("bits per quantized weight", "lower"),
    "layer_error_mean": Figure("mean relative error of a linear", "lower"),
    "seconds": Figure("time", "lower", duration),
    "seconds_quantizing": Figure("time to quantize", "lower", duration),
    "seconds_evaluating": Figure("time to evaluate", "", duration),
    "peak_rss_bytes": Figure("peak memory", "lower", size),
    "sensitivity_kl": Figure("KL divergence by one linear alone, nat", "lower"),
    "assigned_bits": Figure("bits assigned"),
    "layer_error": Figure("relative error of the output", "lower"),
    "tokens": Figure("tokens"),
    "ppl_before_se": Figure("perplexity before, standard error"),
    "bytes": Figure("size", "lower", size),
    "ratio": Figure("times smaller", "higher"),
    "mean_error": Figure("mean error of a weight", "lower"),
    "relative_error": Figure("relative error of the weights", "lower"),
    "output_error": Figure("relative error of the outputs", "lower"),
    "output_cosine": Figure("cosine of the outputs", "higher"),
    "bytes_held": Figure("bytes held", "lower", size),
    "bytes_per_token": Figure("bytes a token", "lower", number),
    "bytes_formula": Figure("bytes by formula", "", size),
    "bits_per_value": Figure("bits a value", "lower"),
    "compression": Figure("times smaller", "higher"),
    "ttft_ms": Figure("time to first token, ms", "lower"),
    "tpot_ms": Figure("time per token, ms", "lower"),
    "tpot_reference_ms": Figure("time per token of the full cache, ms"),
    "tpot_ratio": Figure("time per token to the full cache", "lower"),
    "needle_rate": Figure("needles found", "higher", percent),
    "needle_gain": Figure("gain by the needle, nat", "higher"),
    "predicted_speedup": Figure("times faster, predicted"),
    "alpha": Figure("drafts accepted (alpha)", "higher", percent),
    "cost_ratio": Figure("a drafted token, in target steps (c)", "lower"),
    "verification_ratio": Figure("a verification, in target steps (v)", "lower"),
    "gamma": Figure("tokens drafted a round (gamma)"),
    "tokens_per_round": Figure("tokens a round", "higher"),
    "tokens_per_second": Figure("tokens a second", "higher"),
    "baseline_tokens_per_second": Figure("tokens a second, plain"),
    "total_variation": Figure("total variation from the target", "lower"),
    "total_variation_bound": Figure("total variation, bound"),
    "p_value": Figure("p-value", "", number),
    "with_ms": Figure("time per token with a cache, ms", "lower"),
    "without_ms": Figure("time per token without a cache, ms"),
    "speedup": Figure("times faster", "higher"),
    "total_speedup": Figure("times faster, all tokens", "higher"),
    "with_total_seconds": Figure("all tokens with a cache", "lower", duration),
    "without_total_seconds": Figure("all tokens without a cache", "", duration),
    "with_projections": Figure("keys and values computed with a cache"),
    "without_projections": Figure("keys and values computed without a cache"),
    "cache_bytes": Figure("bytes of the cache", "lower", size),
    "exponent_with_total": Figure("exponent of the total time with a cache", "lower"),
    "exponent_without_total": Figure("exponent of the total time without a cache"),
    "exponent_with_token": Figure("exponent of the time per token with a cache", "lower"),
    "exponent_without_token": Figure("exponent of the time per token without a cache"),
    "utilization_mean": Figure("blocks in use, mean", "", percent),
    "utilization_peak": Figure("blocks in use, most", "", percent),
    "waste_mean": Figure("slots wasted by pages", "lower", percent),
    "waste_contiguous_mean": Figure("slots wasted by contiguous caches", "", percent),
    "bytes_paged": Figure("bytes of pages, most", "lower", size),
    "bytes_contiguous": Figure("bytes of contiguous caches", "", size),
    "hit_tokens": Figure("prompt tokens found in the pool", "higher"),
    "hit_share": Figure("share of prompt tokens found", "higher", percent),
    "copies": Figure("blocks copied before a write"),
    "reused": Figure("known blocks taken for others"),
    "logit_difference": Figure("largest difference of a logit", "lower"),
    "latency_mean_s": Figure("mean latency, s", "lower"),
    "latency_p95_s": Figure("95th percentile of the latency, s", "lower"),
    "ttft_mean_s": Figure("mean time to first token, s", "lower"),
    "ttft_p95_s": Figure("95th percentile of the time to first token, s", "lower"),
    "throughput_tokens_per_second": Figure("tokens a second", "higher"),
    "throughput_requests_per_second": Figure("requests a second", "higher"),
    "throughput_total_tokens_per_second": Figure("tokens a second, prompts too", "higher"),
    "goodput_requests_per_second": Figure("requests a second that meet the objectives", "higher"),
    "ttft_p50_ms": Figure("time to first token, p50, ms", "lower"),
    "ttft_p95_ms": Figure("time to first token, p95, ms", "lower"),
    "tpot_p50_ms": Figure("time per output token, p50, ms", "lower"),
    "tpot_p95_ms": Figure("time per output token, p95, ms", "lower"),
    "itl_p50_ms": Figure("inter-token latency, p50, ms", "lower"),
    "itl_p95_ms": Figure("inter-token latency, p95, ms", "lower"),
    "e2el_p50_ms": Figure("end-to-end latency, p50, ms", "lower"),
    "e2el_p95_ms": Figure("end-to-end latency, p95, ms", "lower"),
    "requests_done": Figure("requests done"),
    "requests_bad": Figure("requests failed or timed out", "lower"),
    "host_bytes": Figure("memory of the server", "lower", size),
    "gpu_bytes": Figure("GPU memory of the server", "lower", size),
    "model_bytes": Figure("size of the weights", "lower", size),
    "tokens_per_joule": Figure("tokens a joule", "higher"),
    "cost_per_million_tokens": Figure("cost of a million tokens", "lower"),
    "requests_per_second": Figure("requests a second", "higher"),
    "filled_mean": Figure("slots filled, mean", "higher", percent),
    "batch_mean": Figure("sequences a step", ""),
    "preemptions": Figure("preemptions", "lower"),
    "gflops": Figure("GFLOP/s", "higher"),
    "copy_gb_per_second": Figure("memory copied, GB/s", "higher"),
    "read_gb_per_second": Figure("memory read, GB/s", "higher"),
    "balance": Figure("operations a byte at which both bounds meet"),
    "accuracy": Figure("questions answered right", "higher", percent),
    "makespan_s": Figure("time of all, s", "lower"),
}


def figure(name: str) -> Figure:
    """The entry of a figure; one that is not in the table is called by its own name, its unit told by its ending.

    A dotted name, such as `kivi-4.ppl`, is the last part's figure of what stands before it.
    """
    if name in FIGURES:
        return FIGURES[name]
    owner, dot, last = name.rpartition(".")
    if dot and owner and last in FIGURES:
        return replace(FIGURES[last], title=f"{owner}: {FIGURES[last].title}", error="")
    title = name.replace("_", " ")
    for ending, show in (("_bytes", size), ("_seconds", duration), ("_percent", lambda value: f"{number(value)} %"), ("_ms", number)):
        if name.endswith(ending):
            return Figure(title.removesuffix(ending.replace("_", " ")) if ending != "_ms" else f"{title[:-3]}, ms", "", show)
    return Figure(title)


def show(name: str, value: Any) -> str:
    """A figure as a person reads it."""
    if value is None:
        return "—"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int | float):
        return figure(name).show(value)
    return str(value)


def numbers(document: Any, prefix: str = "") -> Iterator[tuple[str, float]]:
    """Every number of a nested mapping with its dotted name, lists left out."""
    if isinstance(document, dict):
        for key, value in document.items():
            yield from numbers(value, f"{prefix}.{key}" if prefix else str(key))
    elif isinstance(document, int | float) and not isinstance(document, bool):
        yield prefix, document
