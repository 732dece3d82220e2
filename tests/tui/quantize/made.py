"""Runs on disk as a worker would leave them, made in a moment."""

from __future__ import annotations

import math
import os
import time
from typing import Any

from core.evaluate.result import Convention
from core.evaluate.verify.result import VerifyResult
from core.quantize.compare.result import QuantizeCompareResult
from core.quantize.compare.spec import QuantizeCompareSpec, Variant
from core.quantize.result import LayerFigures, MixedFigures, QuantizeMetrics, QuantizeResult
from core.quantize.spec import QuantizeSpec
from core.runs.state import events, store
from core.runs.state.files import write_json
from core.runs.state.process import started
from core.runs.state.state import Position, Status
from core.runs.state.store import Run
from core.spec import Spec

LINEARS = ("self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj", "self_attn.o_proj", "mlp.gate_proj", "mlp.up_proj", "mlp.down_proj")
EVALUATION = {
    "corpus": "python-stdlib/held-out",
    "sha256": "5f" * 32,
    "context": 512,
    "stride": 512,
    "scoring": "all-targets",
    "bos": "window",
    "windows": 32,
    "tokens_scored": 16352,
    "bytes": 51234,
    "dtype": "float32",
}


def spec(**values: Any) -> QuantizeSpec:
    return QuantizeSpec.model_validate({"model": "bundled:base"} | values)


def run_of(
    asked: Spec, run_id: str, status: Status = "running", *, created: float | None = None, seconds: float = 20.0, reason: str | None = None
) -> Run:
    """A run with a fixed id; a running one belongs to this process, so that it is found alive."""
    made = store.create(asked)
    run = Run(made.path.rename(made.path.with_name(run_id)))
    begin = time.time() if created is None else created
    state = run.state.model_copy(
        update={"status": status, "created": begin, "started": begin, "pid": os.getpid(), "pid_started": started(os.getpid())}
    )
    if state.is_over:
        state = state.model_copy(update={"ended": begin + seconds, "exit_code": 0 if status == "done" else 1, "exit_reason": reason})
    run.save_state(state)
    return run


def say(run: Run, *said: events.Event) -> None:
    writer = events.EventWriter(run.events_file)
    for event in said:
        writer.write(event)
    writer.close()


def layer_errors(count: int, begin: float) -> list[events.Event]:
    """Progress and error of `count` linears of ten blocks, growing with the depth, one every 0.2 seconds."""
    names = [f"model.layers.{block}.{linear}" for block in range(10) for linear in LINEARS]
    said: list[events.Event] = []
    for index, name in enumerate(names[:count]):
        said.append(events.Progress(begin + 0.2 * index, index, 100, name))
        said.append(events.Metric(begin + 0.2 * index, "layer_error", 0.05 + 0.004 * (index // 7) + 0.01 * (index % 7), index, name))
    return said


def sensitivities(count: int, begin: float) -> list[events.Event]:
    """What `count` linears of ten blocks cost at three widths, one every 0.2 seconds."""
    names = [f"model.layers.{block}.{linear}" for block in range(10) for linear in LINEARS]
    said: list[events.Event] = []
    for index, name in enumerate(names[:count]):
        for at, bits in enumerate((2, 3, 4)):
            said.append(events.Progress(begin + 0.2 * index, 3 * index + at, 280, f"measuring {name} at {bits} bits"))
            said.append(events.Metric(begin + 0.2 * index, "sensitivity_kl", 0.02 * (1 + index % 7) / 4**at / (1 + index // 7), bits, name))
    return said


def mixed_layers() -> list[dict[str, Any]]:
    """The linears of a mixed quantization: more bits where values and down projections are, and in the first block."""
    layers = []
    for index, name in enumerate(f"model.layers.{block}.{linear}" for block in range(10) for linear in LINEARS):
        bits = 8 if index < 2 else 4 if index % 7 in (2, 6) else 3 if index % 3 else 2
        error = 0.6 / 2**bits
        layers.append({"name": name, "error": error, "weight_error": error, "bytes": 256 * 256 * bits // 8 + 1024, "rows": 256, "columns": 256})
    return layers


def progressed(run: Run, done: int, total: int, label: str) -> None:
    run.save_state(run.state.model_copy(update={"progress": Position(done=done, total=total, label=label)}))


def finish(
    run: Run,
    *,
    checkpoint: str = "/models/out",
    evaluation: Convention | None = None,
    mixed: MixedFigures | None = None,
    layers: list[dict[str, Any]] | None = None,
    **metrics: Any,
) -> Run:
    """Give a run its result."""
    asked = run.spec
    assert isinstance(asked, QuantizeSpec)
    found = result_of(asked, run.id, checkpoint=checkpoint, evaluation=evaluation, mixed=mixed, layers=layers, **metrics)
    write_json(run.path / "result.json", found.model_dump(mode="json"))
    return run


def result_of(
    asked: QuantizeSpec,
    run_id: str,
    *,
    checkpoint: str = "/models/out",
    evaluation: Convention | None = None,
    mixed: MixedFigures | None = None,
    layers: list[dict[str, Any]] | None = None,
    **metrics: Any,
) -> QuantizeResult:
    """What a run of `asked` measured."""
    figures = {
        "ppl_before": 12.34, "ppl_after": 12.61, "ppl_ratio": 1.02188, "ln_ppl_ratio": 0.02164, "ln_ppl_ratio_se": 0.0011,
        "kl_mean": 0.01234, "kl_se": 0.0004, "top1_agreement": 0.9412, "top1_se": 0.0018, "bytes_before": 13_900_000, "bytes_after": 4_610_000,
        "bits_per_weight": 5.31, "bits_per_quantized_weight": 4.13, "layer_error_mean": 0.081, "seconds": 23.4, "seconds_quantizing": 12.2,
        "seconds_evaluating": 11.2, "peak_rss_bytes": 612_000_000,
    } | metrics  # fmt: skip
    return QuantizeResult(
        llmopt_version="0",
        run=run_id,
        model=asked.model,
        method=asked.method,
        bits=asked.bits,
        granularity=asked.granularity,
        group_size=asked.group_size if asked.granularity in ("group", "block") else None,
        symmetric=asked.symmetric,
        format=asked.format,
        out=checkpoint,
        parameters=6_950_000,
        calibration="python-stdlib/train, 32768 tokens" if asked.calibrates else None,
        error_of="outputs" if asked.calibrates else "weights",
        metrics=QuantizeMetrics.model_validate(figures),
        evaluation=(Convention.model_validate(EVALUATION) if evaluation is None else evaluation) if asked.eval_tokens else None,
        layers=tuple(LayerFigures.model_validate(layer) for layer in layers or []),
        mixed=mixed,
    )


def verified(run: Run, zeros: str = "pass") -> Run:
    """Give a verification its result; `zeros` is the status of one of its checks."""
    checks = [
        {"id": "config", "title": "the configuration names a supported scheme", "status": "pass", "found": "gptq, 4 bits"},
        {"id": "zeros", "title": "zero points are inside the grid", "status": zeros, "found": "model.layers.3.mlp.up_proj.qzeros: 17 is above 15"},
        {"id": "tokenizer", "title": "transformers reads the tokenizer", "status": "warn", "found": "no chat template"},
        {"id": "perplexity", "title": "the model predicts text better than chance", "status": "skip", "found": ""},
    ]
    result = {
        "schema": "llmopt.verify/1", "llmopt_version": "0", "model": run.values["model"], "verified": zeros != "fail", "format": "gptq",
        "scheme": "v1", "rounds_inputs": False, "linears": 70, "bytes": 4_610_000, "bits_per_weight": 5.31, "bits_per_quantized_weight": 4.13,
        "checks": checks, "ppl": None, "seconds": 3.1, "peak_rss_bytes": 600_000_000, "warnings": [],
    }  # fmt: skip
    write_json(run.path / "result.json", VerifyResult.model_validate(result).model_dump(mode="json"))
    return run


def compared(run: Run) -> Run:
    """Give a comparison its result: seven quantizations with errors that grow as bits shrink, data of the four charts."""
    asked = run.spec
    assert isinstance(asked, QuantizeCompareSpec)
    rows = [_row(variant, asked.group_size) for variant in asked.variants]
    weights = [math.sin(7.0 * index) * math.cos(3.0 * index) * 0.1 for index in range(200)]
    edges = [-0.1 + 0.01 * index for index in range(21)]
    linears = [f"model.layers.{block}.{linear}" for block in range(10) for linear in LINEARS]
    charts = {
        "histogram": {
            "linear": linears[0], "edges": edges, "original": [10 * (10 - abs(index - 10)) for index in range(20)],
            "dequantized": [0 if index % 2 else 200 - 20 * abs(index - 10) for index in range(20)], "dequantized_title": "INT4 g128 RTN",
        },
        "scatter": {"linear": linears[0], "original": weights, "dequantized": [
            {"title": "INT8 per channel RTN", "values": [round(weight * 1270) / 1270 for weight in weights]},
            {"title": "INT4 g128 RTN", "values": [round(weight * 70) / 70 for weight in weights]},
        ]},
        "granularity": {
            "bits": 8, "linears": linears, "channel": [0.006 + 0.00002 * index for index in range(70)],
            "tensor": [0.012 + 0.004 * (index % 7 == 3) for index in range(70)],
        },
        "memory": [
            {"title": row["title"], "codes": row["bytes"] - 2_300_000, "scales": 200_000, "kept": 2_100_000} for row in rows
        ],
    }  # fmt: skip
    result = {
        "schema": "llmopt.quantize-compare/1", "llmopt_version": "0", "capability": "quantize-compare", "model": asked.model, "parameters": 6_950_000,
        "bytes_before": 13_900_000, "ppl_before": 12.34, "ppl_before_se": 0.21, "rows": rows, "charts": charts, "evaluation": EVALUATION,
        "set": asked.set, "calibration": "python-stdlib/train, 16384 tokens", "seconds": 41.2, "peak_rss_bytes": 640_000_000, "notes": [],
    }  # fmt: skip
    write_json(run.path / "result.json", QuantizeCompareResult.model_validate(result | {"run": run.id}).model_dump(mode="json"))
    return run


def _row(variant: Variant, group_size: int) -> dict[str, Any]:
    error = (
        0.6
        / 2**variant.bits
        * {"group": 1.0, "block": 1.0, "channel": 1.7, "tensor": 2.4}[variant.granularity]
        * (0.7 if variant.method == "gptq" else 1.0)
    )
    size = 2_300_000 + 600_000 * variant.bits
    return {
        "name": variant.name, "title": variant.title(group_size), "method": variant.method, "bits": variant.bits, "granularity": variant.granularity,
        "fp8_format": variant.fp8_format, "activation_bits": variant.activation_bits,
        "group_size": group_size if variant.granularity == "group" else None, "bytes": size, "ratio": 13_900_000 / size,
        "bits_per_weight": 8 * size / 6_950_000, "bits_per_quantized_weight": variant.bits + 0.125, "mean_error": error / 12,
        "max_error": error / 2, "relative_error": error,
        "output_error": 0.9 * error, "output_cosine": 1 - error**2 / 2, "ppl": 12.34 * (1 + 4 * error**2), "ppl_ratio": 1 + 4 * error**2,
        "kl_mean": 3 * error**2, "kl_se": 0.05 * error**2, "top1_agreement": 1 - error, "top1_se": 0.002, "seconds": 2.5,
    }  # fmt: skip
