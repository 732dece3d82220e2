"""Results of quantizations as runs keep them."""

from __future__ import annotations

from core.evaluate.result import Convention
from core.quantize.result import QuantizeMetrics, QuantizeResult
from core.quantize.spec import QuantizeSpec
from core.runs.state import store
from core.runs.state.files import write_json
from core.runs.state.store import Run

CONVENTION = Convention(
    corpus="text",
    sha256="b" * 64,
    context=512,
    stride=512,
    scoring="all-targets",
    bos="none",
    windows=2,
    tokens_scored=1022,
    bytes=None,
    dtype="float32",
)


def quantized(spec: QuantizeSpec, evaluation: Convention | None = CONVENTION, **metrics: float) -> Run:
    """A finished run with these figures."""
    figures = {
        "bytes_before": 100, "bytes_after": 50, "bits_per_weight": 8.0, "bits_per_quantized_weight": 8.0, "layer_error_mean": 0.1, "seconds": 1.0,
        "seconds_quantizing": 1.0, "seconds_evaluating": 0.0, "peak_rss_bytes": 1,
    }  # fmt: skip
    run = store.create(spec)
    result = QuantizeResult(
        run=run.id,
        model=spec.model,
        method=spec.method,
        bits=spec.bits,
        granularity=spec.granularity,
        group_size=spec.group_size,
        symmetric=spec.symmetric,
        format=spec.format,
        out="/models/out",
        parameters=50,
        calibration=None,
        error_of="weights",
        metrics=QuantizeMetrics.model_validate(figures | metrics),
        evaluation=evaluation,
        layers=(),
    )
    write_json(run.path / "result.json", result.model_dump(mode="json"))
    run.save_state(run.state.model_copy(update={"status": "done"}))
    return run
