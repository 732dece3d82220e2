"""What a machine does: values against numpy, counts against torch's own counter and identities, a whole run of tiny sizes."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.utils.flop_counter import FlopCounterMode

from core.benchmark.machine import products as machine_products
from core.benchmark.machine.events import Roof
from core.benchmark.machine.report import report
from core.benchmark.machine.result import BenchmarkMachineResult, roof_chart, size_chart
from core.benchmark.machine.roofline import attainable, bound, operations, traffic
from core.benchmark.machine.run import run
from core.benchmark.machine.shapes import has_experts, products_of
from core.benchmark.machine.spec import BenchmarkMachineSpec
from core.errors import RequestError
from core.measure.units import percent
from core.models.card import LinearShape, ModelCard
from core.models.resolve import resolve
from tests.core.conftest import RecordingContext

WHOLE = st.integers(1, 4096)


@pytest.mark.parametrize("dtype", ["float32", "bfloat16", "float16", "int8"])
def test_products_are_those_of_numpy(dtype: str) -> None:
    left, weight = (machine_products.random(rows, 64, dtype, "cpu", seed) for rows, seed in ((24, 0), (40, 1)))
    found = machine_products.multiply(left, weight)
    exact = left.to(torch.float64).numpy() @ weight.to(torch.float64).numpy().T
    assert found.dtype == (torch.int32 if dtype == "int8" else left.dtype)
    tolerance = {"float32": 1e-5, "int8": 0.0}.get(dtype, 2e-2)
    np.testing.assert_allclose(found.to(torch.float64).numpy(), exact, rtol=tolerance, atol=tolerance * 64)


def test_operations_are_counted_as_torch_counts_them() -> None:
    with FlopCounterMode(display=False) as counter:
        torch.ones(5, 7) @ torch.ones(7, 11)
    assert counter.get_total_flops() == operations(5, 11, 7)


@given(WHOLE, WHOLE, WHOLE)
def test_operations_and_bytes_add_up(rows: int, outputs: int, inputs: int) -> None:
    assert operations(2 * rows, outputs, inputs) == 2 * operations(rows, outputs, inputs)
    held = rows * inputs * 2 + outputs * inputs * 2 + rows * outputs * 2
    assert traffic(rows, outputs, inputs, 2, 2) == held


@given(st.floats(0.01, 1e4), st.floats(1, 1e5), st.floats(1, 1e4))
def test_a_product_is_bound_by_what_is_slower(intensity: float, peak: float, bandwidth: float) -> None:
    most = attainable(intensity, peak, bandwidth)
    assert most <= peak
    if bound(intensity, peak / bandwidth) == "memory":
        assert most == pytest.approx(intensity * bandwidth)
    else:
        assert most == pytest.approx(peak)


def test_one_sequence_reads_weights_and_many_multiply() -> None:
    """At batch 1 a 16-bit product does about one operation a byte; a batch multiplies that."""
    one = operations(1, 4096, 4096) / traffic(1, 4096, 4096, 2, 2)
    many = operations(512, 4096, 4096) / traffic(512, 4096, 4096, 2, 2)
    assert one == pytest.approx(1.0, rel=1e-3)
    assert many > 300


def test_a_blocks_products_hold_all_its_weights(tiny_llama_dir: Path) -> None:
    card = resolve(str(tiny_llama_dir)).card()
    *block, head = products_of(card)
    assert [(each.name, each.outputs, each.inputs) for each in block] == [
        ("qkv", 64 + 2 * 32, 64),
        ("out", 64, 64),
        ("gate, up", 256, 64),
        ("down", 64, 128),
    ]
    assert sum(each.outputs * each.inputs * each.count for each in block) == sum(
        linear.out_features * linear.in_features * linear.count for linear in card.linears
    )
    assert (head.outputs, head.inputs, head.prefill) == (320, 64, False)


@pytest.mark.parametrize(
    ("names", "roles"),
    [
        (("self_attn.qkv_proj", "self_attn.o_proj", "mlp.gate_up_proj", "mlp.down_proj"), ("qkv", "out", "gate, up", "down")),
        (("attn.c_attn", "attn.c_proj", "mlp.c_fc", "mlp.c_proj"), ("qkv", "out", "gate, up", "down")),
        (("self_attention.query_key_value", "self_attention.dense", "mlp.dense_h_to_4h", "mlp.dense_4h_to_h"), ("qkv", "out", "gate, up", "down")),
        (("attn_q", "attn_k", "attn_v", "attn_output", "ffn_gate", "ffn_up", "ffn_down"), ("qkv", "out", "gate, up", "down")),
        (("self_attn.kv_a_proj_with_mqa", "self_attn.o_proj"), ("out", "self_attn.kv_a_proj_with_mqa")),
    ],
)
def test_products_are_known_by_many_families_names(names: tuple[str, ...], roles: tuple[str, ...]) -> None:
    card = card_of(*(LinearShape(name_suffix=name, out_features=8, in_features=8, count=2) for name in names))
    assert [each.name for each in products_of(card)[:-1]] == list(roles)


def test_experts_are_left_out() -> None:
    card = card_of(
        LinearShape(name_suffix="self_attn.q_proj", out_features=8, in_features=8, count=2),
        LinearShape(name_suffix="mlp.experts.up_proj", out_features=8, in_features=8, count=16),
    )
    assert [each.name for each in products_of(card)] == ["qkv", "head"]
    assert has_experts(card)


def card_of(*linears: LinearShape) -> ModelCard:
    return resolve("bundled:base").card().model_copy(update={"linears": linears})


@pytest.fixture(scope="module")
def result(tiny_llama_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[BenchmarkMachineResult, RecordingContext]:
    context = RecordingContext(tmp_path_factory.mktemp("artifacts"))
    return run(tiny(str(tiny_llama_dir)), context), context


def tiny(model: str, **options: Any) -> BenchmarkMachineSpec:
    usual = {"model": model, "sizes": (16, 32), "repeats": 2, "batches": (1, 3), "prompt_tokens": 8, "memory_bytes": 1 << 16, "threads": 1}
    spec = BenchmarkMachineSpec.parse(usual | options)
    assert isinstance(spec, BenchmarkMachineSpec)
    return spec


def test_everything_is_measured(result: tuple[BenchmarkMachineResult, RecordingContext]) -> None:
    found, context = result
    assert [(each.dtype, each.size) for each in found.squares] == [(dtype, size) for dtype in ("float32", "bfloat16", "int8") for size in (16, 32)]
    assert all(each.gflops or each.reason for each in found.squares)
    assert [(each.traffic, each.bytes) for each in found.bandwidths] == [("copy", 1 << 16), ("read", 1 << 16)]
    assert all(each.gb_per_second and each.repeats == 2 for each in found.bandwidths)
    assert len(found.rows) == 3 * (2 * 5 + 4)
    assert {(row.phase, row.rows) for row in found.rows} == {("decode", 1), ("decode", 3), ("prefill", 8)}
    for row in found.rows:
        roof = next(each for each in found.roofs if each.dtype == row.dtype)
        assert row.flops == operations(row.rows, row.outputs, row.inputs)
        assert row.intensity == pytest.approx(row.flops / row.bytes)
        assert row.bound == bound(row.intensity, roof.balance)
        assert row.attainable_gflops == pytest.approx(min(roof.peak_gflops, row.intensity * roof.gb_per_second))
    assert [step[0] for step in context.steps] == list(range(len(context.steps)))
    assert {step[1] for step in context.steps} == {len(context.steps)}
    assert {kind for kind, _ in context.details} == {"square", "bandwidth", "roof", "product"}
    assert [Roof.model_validate(row) for kind, row in context.details if kind == "roof"] == list(found.roofs)
    assert any("fit into the last-level cache" in note for note in found.notes) or found.devices[0].cache_bytes is None


def test_a_result_can_be_read_again_and_drawn(result: tuple[BenchmarkMachineResult, RecordingContext]) -> None:
    found, _ = result
    written = json.loads(found.model_dump_json())
    assert BenchmarkMachineResult.model_validate(written | {"of_a_later_version": 1}) == found
    assert found.metrics["cpu.read_gb_per_second"] == found.bandwidths[1].gb_per_second
    curves = size_chart(found)
    assert [curve.name for curve in curves] == ["cpu float32", "cpu bfloat16", "cpu int8"]
    assert curves[0].x == (16.0, 32.0)
    roof, *phases = roof_chart(found, "cpu", "float32")
    assert list(roof.y) == sorted(roof.y)
    assert [len(line.x) for line in phases] == [5, 5, 4]
    assert phases[0].labels == ("qkv", "out", "gate, up", "down", "head")
    assert roof_chart(found, "cpu", "float16") == ()


def test_a_report_has_every_figure_and_both_charts(result: tuple[BenchmarkMachineResult, RecordingContext]) -> None:
    found, _ = result
    made = report([("run-1", found)])
    counts = [len(rows) - 1 for _, rows in made.tables]
    assert counts[:-1] == [len(found.devices), len(found.squares), len(found.bandwidths), len(found.rows), len(found.roofs)]
    products = made.tables[3][1]
    assert [row[products[0].index("of the attainable")] for row in products[1:]] == [
        "—" if row.share is None else percent(row.share) for row in found.rows
    ]
    titles = [title for title, _ in made.charts()]
    assert titles == ["square products", *(f"roofline of cpu, {dtype}" for dtype in ("float32", "bfloat16", "int8"))]
    assert [title for title, _ in report([("a", found), ("b", found)]).charts()][:2] == ["a: square products", "a: roofline of cpu, float32"]
    assert all(svg.startswith("<svg") for _, svg in made.charts())
    head, *lines = made.values()
    assert len(lines) == len(found.squares) + len(found.bandwidths) + len(found.rows)
    assert lines[0][head.index("gflops")] == found.squares[0].gflops
    assert [row[head.index("kind")] for row in lines if row[1] == "bandwidth"] == ["copy", "read"]
    assert BenchmarkMachineResult.model_validate(made.document()["results"][0]["result"]) == found  # type: ignore[index]


def test_what_a_format_cannot_do_here_is_a_row_with_its_reason(
    context: RecordingContext, tiny_llama_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise RuntimeError("no kernel for this\x1b[2J\nat line 5")

    monkeypatch.setattr(torch, "_int_mm", refuse)
    found = run(tiny(str(tiny_llama_dir), dtypes=("int8",)), context)
    (reason,) = {each.reason for each in found.squares}
    assert reason.startswith("no kernel for this")
    assert "\x1b" not in reason
    assert "line 5" not in reason
    assert all(row.gflops is None and row.bound is None and row.reason for row in found.rows)
    assert found.roofs == ()


def test_a_product_that_does_not_fit_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(machine_products, "free_memory", lambda _device: 1 << 20)
    assert "are free" in machine_products.refusal("cpu", "float32", 512, 512, 512)
    assert machine_products.refusal("cpu", "float32", 16, 16, 16) == ""
    assert "rows" in machine_products.refusal("cuda:0", "int8", 1, 64, 64)
    assert machine_products.array_bytes(None, "cpu") == 1 << 18


def test_a_weight_comes_back_after_the_others() -> None:
    weights = machine_products.rotated(torch.ones(4, 4), between=200.0, device="cpu")
    assert len({next(weights).data_ptr() for _ in range(30)}) == 3


def test_a_run_is_stopped_between_products(context: RecordingContext, tiny_llama_dir: Path) -> None:
    from core.errors import Cancelled

    context.cancel_when = lambda held: len(held.steps) > 3
    with pytest.raises(Cancelled):
        run(tiny(str(tiny_llama_dir)), context)


@pytest.mark.parametrize(
    ("values", "word"),
    [
        ({"sizes": (512, 256)}, "ascending"),
        ({"sizes": (0,)}, "whole numbers from 1"),
        ({"dtypes": ("int3",)}, "int3"),
        ({"dtypes": ("int8", "int8")}, "twice"),
        ({"batches": ()}, "batches"),
        ({"repeats": 1}, "repeats"),
    ],
)
def test_what_cannot_be_measured_is_refused(values: dict[str, Any], word: str) -> None:
    with pytest.raises(RequestError, match=word):
        tiny("bundled:base", **values)


@pytest.mark.gpu
def test_a_gpu_is_measured_beside_the_processor(tiny_llama_dir: Path, tmp_path: Path) -> None:
    context = RecordingContext(tmp_path)
    context.device = "cuda:0"
    found = run(tiny(str(tiny_llama_dir), sizes=(32, 64)), context)
    assert [each.device for each in found.devices] == ["cpu", "cuda:0"]
    assert all(each.gflops for each in found.squares if each.device == "cuda:0")
    assert any(row.reason for row in found.rows if row.dtype == "int8" and row.rows == 1)
