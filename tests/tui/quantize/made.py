"""Runs on disk as a worker would leave them, made in a moment."""

from __future__ import annotations

import os
import time
from typing import Any

from core.quantize.spec import QuantizeSpec
from core.runs import events, store
from core.runs.files import write_json
from core.runs.process import started
from core.runs.state import Position, Status
from core.runs.store import Run
from core.spec import Spec

LINEARS = ("self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj", "self_attn.o_proj", "mlp.gate_proj", "mlp.up_proj", "mlp.down_proj")
EVALUATION = {
    "corpus": "python-stdlib/held-out",
    "sha256": "5f" * 32,
    "context": 512,
    "stride": 512,
    "scoring": "all",
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


def progressed(run: Run, done: int, total: int, label: str) -> None:
    run.save_state(run.state.model_copy(update={"progress": Position(done=done, total=total, label=label)}))


def finish(run: Run, *, checkpoint: str = "/models/out", evaluation: dict[str, Any] | None = None, **metrics: Any) -> Run:
    """Give a run its result."""
    figures = {
        "ppl_before": 12.34, "ppl_after": 12.61, "ppl_ratio": 1.02188, "ln_ppl_ratio": 0.02164, "ln_ppl_ratio_se": 0.0011,
        "kl_mean": 0.01234, "kl_se": 0.0004, "top1_agreement": 0.9412, "top1_se": 0.0018, "bytes_before": 13_900_000, "bytes_after": 4_610_000,
        "bits_per_weight": 5.31, "bits_per_quantized_weight": 4.13, "layer_error_mean": 0.081, "seconds": 23.4, "seconds_quantizing": 12.2,
        "seconds_evaluating": 11.2, "peak_rss_bytes": 612_000_000,
    } | metrics  # fmt: skip
    result = {"schema": "llmopt.quantize/1", "llmopt_version": "0", "capability": "quantize", "out": checkpoint, "metrics": figures}
    write_json(run.path / "result.json", result | {"evaluation": EVALUATION if evaluation is None else evaluation, "notes": []})
    return run
