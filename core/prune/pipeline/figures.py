"""From what was written and measured to the figures of the result."""

from __future__ import annotations

from pathlib import Path

from core.evaluate.compared import Measured
from core.models.card import ModelCard
from core.models.disk.headers import weight_bytes
from core.prune.methods import METHODS
from core.prune.methods.base import Method
from core.prune.pipeline.speed import Speed
from core.prune.pipeline.writer import Written
from core.prune.plan.request import Request
from core.prune.result import PruneMetrics
from core.prune.spec import PruneSpec

_NORMAL_95 = 1.959964


def metrics_of(
    card: ModelCard, folder: Path, out: Path, written: Written, measured: Measured | None, speed: Speed | None, spec: PruneSpec, memory: int
) -> PruneMetrics:
    """Every figure but the times.

    Args:
        card: of the original.
        folder: of the original.
        out: of the result.
        written: what the method reports.
        measured: quality, None where it was not measured.
        speed: None where it was not measured.
        spec: the request.
        memory: peak resident set in bytes, before the speed was measured.
    """
    figures: dict[str, float] = {}
    if measured is not None:
        found = measured.others["pruned"]
        figures = {"ppl_before": found.ppl_ref, "ppl_after": found.ppl} | measured.quality_of("pruned")
        if (raw := measured.others.get("unrecovered")) is not None:
            figures |= {"ppl_unrecovered": raw.ppl, "kl_unrecovered": raw.kl_mean}
    if speed is not None:
        figures |= {name: getattr(speed, name) for name in speed.__dataclass_fields__ if name in PruneMetrics.model_fields}
    method = METHODS[spec.method]
    weights = sum(linear.rows * linear.columns for linear in written.linears)
    zeros = sum(linear.removed for linear in written.linears)
    return PruneMetrics(
        **figures,
        bytes_before=card.file_bytes or weight_bytes(folder),
        bytes_after=weight_bytes(out),
        bits_per_weight=8 * weight_bytes(out) / card.parameters,
        sparsity=1 - written.parameters / card.parameters if method.shrinks else zeros / max(weights, 1),
        parameters_before=card.parameters,
        parameters_after=written.parameters if method.shrinks else card.parameters,
        layer_error_mean=sum(linear.error for linear in written.linears) / len(written.linears) if written.linears else None,
        speedup_estimate=_estimate(card, written, method, spec.request),
        seconds=0.0,
        seconds_pruning=0.0,
        seconds_evaluating=0.0,
        peak_rss_bytes=memory,
    )


def _estimate(card: ModelCard, written: Written, method: Method, request: Request) -> float | None:
    """Weights that each decoded token reads, before over after: all but an embedding that is not the head; of n:m the groups' own ratio."""
    if method.shrinks:
        embedding = 0 if card.tied_embeddings else card.vocabulary * card.hidden_size
        return (card.parameters - embedding) / max(written.parameters - embedding, 1)
    return None if request.keep is None else request.keep[1] / request.keep[0]


def speed_note(metrics: PruneMetrics, method: Method, request: Request) -> str:
    """A plain sentence on what the removal brings in speed."""
    estimate = metrics.speedup_estimate
    if metrics.decode_speedup is None:
        measured = "The speed was not measured."
    else:
        decode = _with_spread(metrics.decode_speedup, metrics.decode_speedup_se)
        measured = f"Decoding measured {decode} of the original's speed, prefill {_with_spread(metrics.prefill_speedup, metrics.prefill_speedup_se)}."
    if method.shrinks:
        return f"{measured} Estimate from the weights read per token: x{estimate:.2f}." if estimate is not None else measured
    zeros = "Zeros are stored and multiplied like other weights, so no engine on a CPU is faster for them"
    if request.keep is None:
        return f"{measured} {zeros}; GPUs have no kernel for unstructured zeros either."
    if (kernel := metrics.sparse_kernel_speedup) is not None:
        measured += f" torch's 2:4 product of the largest linear measured x{kernel:.2f} of the dense one at 2,048 tokens."
    groups = f"{request.keep[0]}:{request.keep[1]} groups"
    return (
        f"{measured} {zeros}; x{estimate or 0:.2f} is the most that hardware which skips {groups} could give (estimate), and decoding one token at a "
        "time gains little even there."
    )


def _with_spread(ratio: float | None, error: float | None) -> str:
    """A ratio with its 95 % interval."""
    return f"x{ratio or 0:.2f} ± {_NORMAL_95 * (error or 0):.2f}"
