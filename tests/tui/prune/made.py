"""Prunings on disk as a worker would leave them, made in a moment."""

from __future__ import annotations

import math
from typing import Any

from core.evaluate.result import Convention
from core.prune.compare.result import PruneCompareResult
from core.prune.compare.spec import PruneCompareSpec
from core.prune.methods import METHODS
from core.prune.naming import scheme_name
from core.prune.result import PruneMetrics, PruneResult
from core.prune.spec import PruneSpec
from core.runs.state import events
from core.runs.state.files import write_json
from core.runs.state.store import Run
from tests.tui.quantize.made import EVALUATION, LINEARS

BLOCKS = 10
NAMES = tuple(f"model.layers.{block}.{linear}" for block in range(BLOCKS) for linear in LINEARS)


def spec(**values: Any) -> PruneSpec:
    return PruneSpec.model_validate({"model": "bundled:base"} | values)


def error_of(index: int) -> float:
    """Of the `index`-th linear: grows with the depth, least for keys."""
    return 0.08 + 0.01 * (index // 7) + 0.03 * (index % 7)


def linear_errors(count: int, begin: float, names: tuple[str, ...] = NAMES) -> list[events.Event]:
    """Progress, error and sparsity of `count` linears, one every 0.2 seconds."""
    said: list[events.Event] = []
    for index, name in enumerate(names[:count]):
        at = begin + 0.2 * index
        said.append(events.Progress(at, index, len(names) + 30, f"pruning {name}"))
        said.append(events.Metric(at, "linear_error", error_of(index), index, name))
        said.append(events.Metric(at, "linear_sparsity", 0.5, index, name))
    return said


def without_blocks(count: int, begin: float) -> list[events.Event]:
    """KL divergence of the model without each of `count` blocks, one every second."""
    said: list[events.Event] = []
    for block in range(count):
        said.append(events.Progress(begin + block, block, 40, f"without block {block}"))
        said.append(events.Metric(begin + block, "block_kl", kl_without(block), block, ""))
    return said


def kl_without(block: int) -> float:
    """The first and the last block matter most."""
    return 0.05 + 2.0 * math.exp(-block) + 0.4 * math.exp(block - BLOCKS + 1)


def linears(*, before: float | None = None, swaps: int | None = None, uneven: bool = False) -> list[dict[str, Any]]:
    """What was done to each linear.

    Args:
        before: how many times as large the error was before.
        swaps: exchanges of the first linear; one more of each further one.
        uneven: whether deeper blocks are sparser.
    """
    rows = []
    for index, name in enumerate(NAMES):
        share = 0.35 + 0.03 * (index // 7) if uneven else 0.5
        rows.append({
            "name": name, "block": index // 7, "rows": 256, "columns": 256, "removed": round(65536 * share), "sparsity": share,
            "error": error_of(index),
            "error_before": None if before is None else before * error_of(index), "swaps": None if swaps is None else swaps + index,
        })  # fmt: skip
    return rows


def blocks(removed: tuple[int, ...]) -> list[dict[str, Any]]:
    """Every block by every measure; block influence ranks some of them otherwise."""
    rows = []
    for block in range(BLOCKS):
        step = removed.index(block) + 1 if block in removed else None
        rows.append({
            "block": block, "kl": kl_without(block), "ppl_ratio": 1 + kl_without(block), "influence": 0.05 + 0.02 * ((7 * block) % BLOCKS),
            "angular": 0.1 + 0.01 * block, "removed": step is not None, "step": step, "kl_at_removal": None if step is None else 0.1 * step**2,
        })  # fmt: skip
    return rows


def heads() -> list[dict[str, Any]]:
    """Query heads of ten blocks, of which one of four goes in each KV group."""
    rows = []
    for block in range(BLOCKS):
        scores = [1.0 + ((3 * block + 5 * head) % 8) for head in range(8)]
        removed = sorted(sorted(range(8), key=lambda head: scores[head])[:2])
        kept = 1 - sum(scores[head] for head in removed) / sum(scores)
        rows.append({"block": block, "axis": "KV groups", "size": 8, "kept": 6, "kept_share": kept, "scores": scores, "removed": removed})
    return rows


def finish(
    run: Run, *, checkpoint: str = "/models/out", evaluation: Convention | None = None, parts: dict[str, Any] | None = None, **metrics: Any
) -> Run:
    """Give a run its result; `parts` are those of the result beside the figures."""
    asked = run.spec
    assert isinstance(asked, PruneSpec)
    found = result_of(asked, run.id, checkpoint=checkpoint, evaluation=evaluation, parts=parts, **metrics)
    write_json(run.path / "result.json", found.model_dump(mode="json"))
    return run


def result_of(
    asked: PruneSpec,
    run_id: str,
    *,
    checkpoint: str = "/models/out",
    evaluation: Convention | None = None,
    parts: dict[str, Any] | None = None,
    **metrics: Any,
) -> PruneResult:
    """What a run of `asked` measured."""
    figures = {
        "ppl_before": 12.34, "ppl_after": 16.02, "ppl_ratio": 1.2982, "ln_ppl_ratio": 0.261, "ln_ppl_ratio_se": 0.0041, "kl_mean": 0.2512,
        "kl_se": 0.0044, "top1_agreement": 0.7712, "top1_se": 0.0033, "bytes_before": 17_834_000, "bytes_after": 17_834_000,
        "bits_per_weight": 16.0, "sparsity": 0.5, "parameters_before": 8_916_000, "parameters_after": 8_916_000, "layer_error_mean": 0.215,
        "tokens_per_second_before": 211.4, "tokens_per_second_after": 210.9, "decode_speedup": 0.998, "decode_speedup_se": 0.006,
        "prefill_seconds_before": 0.0412, "prefill_seconds_after": 0.0411, "prefill_speedup": 1.002, "speedup_estimate": 1.73, "seconds": 31.5,
        "seconds_pruning": 17.2, "seconds_evaluating": 14.3, "peak_rss_bytes": 655_000_000,
    } | metrics  # fmt: skip
    described = {
        "pattern": "50 %", "description": "50 % of the weights of the decoder blocks' linears are zero, chosen by wanda.",
        "calibration": "python-stdlib/train, 32768 tokens", "error_of": "outputs", "linears": linears(),
        "speed_note": "Zeros that stay in place bring no speed here: the same products are computed.",
    } | (parts or {})  # fmt: skip
    return PruneResult.model_validate(
        {
            "llmopt_version": "0",
            "run": run_id,
            "model": asked.model,
            "method": asked.method,
            "criterion": asked.criterion,
            "out": checkpoint,
            "metrics": PruneMetrics.model_validate(figures),
            "evaluation": (Convention.model_validate(EVALUATION) if evaluation is None else evaluation) if asked.eval_tokens else None,
        }
        | described
    )


def compared(run: Run) -> Run:
    """Give a comparison its result: every program, those that cut the model faster and worse."""
    asked = run.spec
    assert isinstance(asked, PruneCompareSpec)
    rows = []
    for index, variant in enumerate(asked.variants):
        request = asked.of(variant)
        cuts = METHODS[request.method].shrinks
        kl = 0.12 + 0.11 * index
        rows.append({
            "name": scheme_name(request), "title": request.summary(), "method": request.method, "sparsity": 0.2 if cuts else request.request.share,
            "parameters": 7_150_000 if cuts else 8_916_000, "bytes": 14_300_000 if cuts else 17_834_000, "bits_per_weight": 12.8 if cuts else 16.0,
            "ppl": 12.34 * (1 + kl), "ppl_ratio": 1 + kl, "ln_ppl_ratio_se": 0.004, "kl_mean": kl, "kl_se": 0.004, "top1_agreement": 0.9 - kl / 3,
            "top1_se": 0.003, "decode_speedup": 1.24 if cuts else 0.997, "decode_speedup_se": 0.011, "prefill_speedup": 1.31 if cuts else 1.004,
            "prefill_speedup_se": 0.014, "seconds": 3.0 + index,
        })  # fmt: skip
    result = {
        "llmopt_version": "0", "run": run.id, "model": asked.model, "parameters": 8_916_000, "bytes_before": 17_834_000, "ppl_before": 12.34,
        "ppl_before_se": 0.21, "rows": rows, "evaluation": EVALUATION, "calibration": "python-stdlib/train, 16384 tokens", "seconds": 71.2,
        "peak_rss_bytes": 690_000_000,
    }  # fmt: skip
    write_json(run.path / "result.json", PruneCompareResult.model_validate(result).model_dump(mode="json"))
    return run
