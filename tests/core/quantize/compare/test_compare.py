"""The comparison: every variant of one model on the same inputs, ordered as theory says, with consistent charts."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from core.errors import Cancelled, RequestError
from core.models.stream.streaming import StreamedModel
from core.numerics.errors import weight_error
from core.numerics.grid import Grid
from core.quantize.compare.result import QuantizeCompareResult
from core.quantize.compare.run import run
from core.quantize.compare.spec import FLOATS, VARIANTS, QuantizeCompareSpec
from core.quantize.linear import rtn
from tests.core.quantize.conftest import RecordingContext

SMALL = {"group_size": 32, "calibration_samples": 8, "calibration_length": 64, "context": 64, "eval_tokens": 512}


@pytest.fixture(scope="module")
def result(tiny_llama_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> QuantizeCompareResult:
    artifacts = tmp_path_factory.mktemp("compare")
    found = run(QuantizeCompareSpec(model=str(tiny_llama_dir), **SMALL), RecordingContext(artifacts))
    assert list(artifacts.iterdir()) == [], "checkpoints that were only measured are removed"
    return found


def test_every_variant_has_a_row(result: QuantizeCompareResult) -> None:
    assert [row.name for row in result.rows] == [variant.name for variant in VARIANTS]
    assert len({row.title for row in result.rows}) == len(VARIANTS)


def test_errors_are_ordered_as_theory_says(result: QuantizeCompareResult) -> None:
    rows = {row.name: row for row in result.rows}
    order = ["rtn-w8-channel", "rtn-w8-tensor", "rtn-w4-group", "rtn-w4-channel", "rtn-w3-group"]
    assert [rows[name].relative_error for name in order] == sorted(rows[name].relative_error for name in order)
    for bits in (4, 3):
        assert rows[f"gptq-w{bits}-group"].output_error < rows[f"rtn-w{bits}-group"].output_error
        assert rows[f"gptq-w{bits}-group"].output_cosine > rows[f"rtn-w{bits}-group"].output_cosine
    assert rows["rtn-w8-channel"].kl_mean < rows["rtn-w4-group"].kl_mean < rows["rtn-w3-group"].kl_mean


def test_weight_errors_are_those_of_the_weights(result: QuantizeCompareResult, tiny_llama_dir: Path) -> None:
    relative = []
    with StreamedModel.open(tiny_llama_dir, torch.float32) as streamed:
        for index in range(streamed.n_blocks):
            for name in streamed.block_tensors(index):
                if name.endswith("_proj.weight"):
                    weight = streamed.read_tensor(name).float()
                    relative.append(weight_error(weight, rtn.quantize(weight, None, Grid(4, group_size=32, scale_dtype=torch.bfloat16)).dequantize()))
    row = next(row for row in result.rows if row.name == "rtn-w4-group")
    assert row.relative_error == pytest.approx(sum(error.relative for error in relative) / len(relative), rel=1e-6)
    assert row.mean_error == pytest.approx(sum(error.mean_absolute for error in relative) / len(relative), rel=1e-6)


def test_memory_bars_add_up_and_count_scales(result: QuantizeCompareResult) -> None:
    for row, bar in zip(result.rows, result.charts.memory[1:], strict=True):
        assert bar.codes + bar.scales + bar.kept == row.bytes
        assert bar.title == row.title
    by_name = {row.name: bar for row, bar in zip(result.rows, result.charts.memory[1:], strict=True)}
    assert by_name["rtn-w8-tensor"].scales == 2 * 14
    assert by_name["rtn-w4-group"].codes * 2 == by_name["rtn-w8-channel"].codes
    assert by_name["rtn-w4-group"].scales * 32 * 8 == by_name["rtn-w4-group"].codes * 2 * 16


def test_pictures_show_the_same_weights_before_and_after(result: QuantizeCompareResult) -> None:
    histogram, scatter = result.charts.histogram, result.charts.scatter
    assert histogram.linear == scatter.linear == "model.layers.0.self_attn.q_proj"
    assert sum(histogram.original) == sum(histogram.dequantized) == 64 * 64
    assert len(histogram.edges) == len(histogram.original) + 1
    assert list(scatter.original) == sorted(scatter.original)
    spreads = [max(abs(a - b) for a, b in zip(scatter.original, series.values, strict=True)) for series in scatter.dequantized]
    assert spreads[0] < spreads[-1], "8 bits lie closer to the diagonal than 3"
    assert len(result.charts.granularity.linears) == 14
    assert sum(result.charts.granularity.tensor) > sum(result.charts.granularity.channel)


@pytest.fixture(scope="module")
def floats(tiny_llama_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> QuantizeCompareResult:
    artifacts = tmp_path_factory.mktemp("floats")
    spec = QuantizeCompareSpec(model=str(tiny_llama_dir), **(SMALL | {"set": "floats", "symmetric": False}))
    found = run(spec, RecordingContext(artifacts))
    assert list(artifacts.iterdir()) == [], "files that were only measured are removed"
    return found


def test_floats_stand_beside_integers_in_the_order_of_their_mantissas(floats: QuantizeCompareResult) -> None:
    assert [row.name for row in floats.rows] == [variant.name for variant in FLOATS]
    assert len({row.title for row in floats.rows}) == len(FLOATS)
    rows = {row.name: row for row in floats.rows}
    order = ["rtn-w8-channel", "fp8-e4m3-channel", "fp8-e5m2-channel", "rtn-w4-group", "rtn-w4-channel"]
    for measure in ("relative_error", "output_error", "mean_error"):
        assert [getattr(rows[name], measure) for name in order] == sorted(getattr(rows[name], measure) for name in order)
    assert rows["fp8-e4m3-channel"].kl_mean < rows["fp8-e4m3a8-channel"].kl_mean, "rounded inputs cost something too"
    assert rows["fp8-e4m3-channel"].bytes == rows["fp8-e5m2-channel"].bytes == rows["rtn-w8a8-channel"].bytes
    assert (rows["fp8-e5m2-channel"].fp8_format, rows["rtn-w8a8-channel"].activation_bits) == ("e5m2", 8)
    for row in floats.rows:
        assert row.max_error is not None
        assert row.max_error > row.mean_error
    for row, bar in zip(floats.rows, floats.charts.memory[1:], strict=True):
        assert bar.codes + bar.scales + bar.kept == row.bytes


def test_e5m2_errors_are_those_of_torchs_cast(floats: QuantizeCompareResult, tiny_llama_dir: Path) -> None:
    found = []
    with StreamedModel.open(tiny_llama_dir, torch.float32) as streamed:
        for index in range(streamed.n_blocks):
            for name in streamed.block_tensors(index):
                if name.endswith("_proj.weight"):
                    weight = streamed.read_tensor(name).float()
                    scale = (weight.abs().amax(1, keepdim=True) / 57344).bfloat16().float()
                    found.append(weight_error(weight, (weight / scale).clamp(-57344, 57344).to(torch.float8_e5m2).float() * scale))
    row = next(row for row in floats.rows if row.name == "fp8-e5m2-channel")
    assert row.relative_error == pytest.approx(sum(error.relative for error in found) / len(found), rel=1e-6)
    assert row.max_error == pytest.approx(max(error.maximum_absolute for error in found), rel=1e-6)


def test_the_result_survives_json(result: QuantizeCompareResult) -> None:
    assert QuantizeCompareResult.model_validate(json.loads(result.model_dump_json())) == result


def test_an_unknown_linear_is_refused(tiny_llama_dir: Path, context: RecordingContext) -> None:
    with pytest.raises(RequestError, match=r"its names look like model\.layers\.0"):
        run(QuantizeCompareSpec(model=str(tiny_llama_dir), linear="nope", **SMALL), context)
    assert list(context.artifacts.iterdir()) == []


def test_cancelling_leaves_nothing_behind(tiny_llama_dir: Path, context: RecordingContext) -> None:
    context.cancel_when = lambda context: len(context.metrics) > 40
    with pytest.raises(Cancelled):
        run(QuantizeCompareSpec(model=str(tiny_llama_dir), **SMALL), context)
    assert list(context.artifacts.iterdir()) == []
