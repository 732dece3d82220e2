"""The trade-off between size and quality, over runs on disk."""

from __future__ import annotations

import math
from types import SimpleNamespace
from typing import cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.evaluate.result import Convention
from core.quantize.compare.result import CompareRow, QuantizeCompareResult
from core.quantize.compare.spec import FLOATS, VARIANTS, QuantizeCompareSpec, Variant
from core.quantize.points import _title_of
from core.quantize.spec import QuantizeSpec
from core.result import Better
from core.runs.pareto import Point, models, on_front, pareto, with_frontier, without_repeats
from core.runs.state import store
from core.runs.state.files import write_json
from tests.core.quantize.results import CONVENTION, quantized


def finished(method: str = "gptq", model: str = "bundled:base", evaluation: Convention | None = CONVENTION, **metrics: float) -> str:
    return quantized(QuantizeSpec.model_validate({"model": model, "method": method}), evaluation, **metrics).id


def point(size: float, quality: float) -> Point:
    return Point("r", "t", "m", size, quality, None)


@given(st.lists(st.tuples(st.integers(0, 6), st.integers(0, 6)), max_size=12))
def test_the_frontier_is_what_nothing_beats(pairs: list[tuple[int, int]]) -> None:
    for found in with_frontier([point(size, quality) for size, quality in pairs]):
        beaten = any(size <= found.size and quality <= found.quality and (size, quality) != (found.size, found.quality) for size, quality in pairs)
        assert found.on_frontier == (not beaten)


@given(st.lists(st.tuples(st.integers(0, 6), st.integers(0, 6)), max_size=12), st.sampled_from(["lower", "higher"]))
def test_a_front_has_a_direction_and_its_equals_stand_together(pairs: list[tuple[int, int]], better: Better) -> None:
    sign = 1 if better == "lower" else -1
    for (size, quality), mark in zip(pairs, on_front(pairs, better), strict=True):
        others = [(other, sign * value) for other, value in pairs if (other, value) != (size, quality)]
        assert mark == (not any(other <= size and value <= sign * quality for other, value in others))


def test_qualities_that_are_equal_to_rounding_do_not_beat_a_smaller_size() -> None:
    points = [(1.0, 1.01), (2.0, 1.01 - 1e-7), (2.0, 1.01)]
    assert on_front(points, tolerance=1e-6) == (True, False, False)
    assert on_front(points) == (True, True, False)


def test_points_of_one_model_are_gathered_from_all_its_finished_runs() -> None:
    good = finished("mixed", bits_per_weight=4.2, ppl_ratio=1.01, ln_ppl_ratio_se=0.002, kl_mean=0.01)
    worse = finished("rtn", bits_per_weight=4.3, ppl_ratio=1.03, kl_mean=0.02)
    finished(model="bundled:draft", bits_per_weight=2.0, ppl_ratio=1.0)
    finished(evaluation=None, bits_per_weight=1.0)
    store.create(QuantizeSpec(model="bundled:base"))
    found = pareto("bundled:base")
    assert [(p.run, p.on_frontier) for p in found.points] == [(good, True), (worse, False)]
    assert found.points[0].error == 0.002 * 1.01
    assert found.frontier[0].title == "mixed-4.25bit-g128"
    assert found.notes == ("omitted: 1 finished run without this measurement",)
    assert found.convention == CONVENTION
    assert found.to_json()["frontier"] == [good]
    assert found.to_json()["evaluation"] == CONVENTION.model_dump(mode="json")
    assert [p.quality for p in pareto("bundled:base", by_quality="kl_mean").points] == [0.01, 0.02]
    assert models() == ["bundled:base", "bundled:draft"]


def test_what_was_measured_otherwise_is_told_and_left_out() -> None:
    kept = {finished(bits_per_weight=4.0 + step, ppl_ratio=1.1) for step in range(2)}
    finished(evaluation=CONVENTION.model_copy(update={"context": 1024}), bits_per_weight=4.0, ppl_ratio=1.0)
    found = pareto("bundled:base")
    assert {p.run for p in found.points} == kept
    assert found.notes == ("omitted: 1 point measured on other text or windows, not comparable",)


def test_rows_of_a_comparison_are_points_too() -> None:
    run = store.create(QuantizeSpec(model="bundled:base"))
    path = run.path.rename(run.path.with_name(run.path.name.replace("-quantize-", "-quantize-compare-")))
    figures = {"bits_per_weight": 4.5, "bytes": 10, "ppl_ratio": 1.02, "kl_mean": 0.02, "kl_se": 0.001}
    row = {name: figures.get(name, 1.0) for name, field in CompareRow.model_fields.items() if field.annotation is float} | figures
    row |= {"name": "rtn", "title": "INT4 g128 RTN", "method": "rtn", "bits": 4, "granularity": "group", "group_size": 128}  # type: ignore[dict-item]
    charts = {
        "histogram": {"linear": "a", "edges": [], "original": [], "dequantized": [], "dequantized_title": "b"},
        "scatter": {"linear": "a", "original": [], "dequantized": []},
        "granularity": {"bits": 8, "linears": [], "channel": [], "tensor": []},
        "memory": [],
    }
    whole = {"model": "bundled:base", "parameters": 1, "bytes_before": 1, "ppl_before": 1.0, "ppl_before_se": 0.1, "rows": [row], "charts": charts}
    whole |= {"evaluation": CONVENTION, "calibration": "", "seconds": 1.0, "peak_rss_bytes": 1}
    write_json(path / "result.json", QuantizeCompareResult.model_validate(whole).model_dump(mode="json"))
    store.Run(path).save_state(store.Run(path).state.model_copy(update={"status": "done"}))
    (only,) = pareto("bundled:base", "bytes_after", "kl_mean").points
    assert (only.title, only.size, only.quality, only.error, only.checkpoint, only.on_frontier) == ("rtn-w4-g128", 10, 0.02, 0.001, False, False)


def test_damaged_results_and_no_runs_at_all_are_no_trouble() -> None:
    assert pareto("bundled:base").points == ()
    finished(bits_per_weight=float("nan"), ppl_ratio=1.0)
    run = store.create(QuantizeSpec(model="bundled:base"))
    write_json(run.path / "result.json", {"evaluation": [], "metrics": 3})
    run.save_state(run.state.model_copy(update={"status": "done"}))
    assert pareto("bundled:base").points == ()


def measured(size: float, quality: float, error: float | None = 0.01, title: str = "t", *, checkpoint: bool = True) -> Point:
    return Point("r", title, "m", size, quality, error, checkpoint)


@pytest.mark.parametrize(
    ("points", "front"),
    [
        ([measured(4, 1.010), measured(4, 1.012)], [True, True]),
        ([measured(4, 1.010), measured(4, 1.110)], [True, False]),
        ([measured(4, 1.010, None), measured(4, 1.012, None)], [True, False]),
        ([measured(4, 1.030, 0.02), measured(4, 1.000, 0.001), measured(4, 1.010, 0.001)], [True, True, False]),
        ([measured(3, 1.010), measured(4, 1.012)], [True, False]),
        ([measured(3.9999, 1.012), measured(4, 1.012)], [True, True]),
        ([measured(3, 1.000, checkpoint=False), measured(4, 1.5), measured(5, 1.4)], [False, True, True]),
        ([measured(3, 1.000, checkpoint=False)], [False]),
        ([measured(3, 1.2), measured(4, 1.195), measured(5, 1.0)], [True, True, True]),
    ],
)
def test_differences_within_noise_and_what_was_only_measured_beat_nothing(points: list[Point], front: list[bool]) -> None:
    found = {(point.size, point.quality): point.on_frontier for point in with_frontier(points)}
    assert [found[point.size, point.quality] for point in points] == front


@given(st.lists(st.tuples(st.integers(0, 5), st.integers(0, 20), st.integers(0, 3), st.booleans()), max_size=8))
def test_nothing_off_the_front_is_there_by_noise(rows: list[tuple[int, int, int, bool]]) -> None:
    found = with_frontier([measured(size, quality, error, checkpoint=kept) for size, quality, error, kept in rows])
    for point in found:
        others = [other for other in found if other.checkpoint]
        certain = any(o.size <= point.size and point.quality - o.quality > 1.959964 * math.hypot(o.error or 0, point.error or 0) for o in others)
        smaller = any(o.size < point.size and o.quality <= point.quality for o in others)
        assert point.on_frontier == (point.checkpoint and not certain and not smaller)


def test_repeats_of_a_recipe_are_one_point_and_different_ones_are_not() -> None:
    oldest = finished(bits_per_weight=4.25, ppl_ratio=1.010, ln_ppl_ratio_se=0.002)
    for ratio in (1.011, 1.012):
        finished(bits_per_weight=4.25, ppl_ratio=ratio, ln_ppl_ratio_se=0.002)
    finished(bits_per_weight=4.25, ppl_ratio=1.030, ln_ppl_ratio_se=0.002)
    finished("rtn", bits_per_weight=4.25, ppl_ratio=1.011, ln_ppl_ratio_se=0.002)
    found = pareto("bundled:base").points
    assert sorted((point.title, point.runs) for point in found) == [("gptq-w4-g128", 1), ("gptq-w4-g128", 3), ("rtn-w4-g128", 1)]
    assert oldest not in {point.run for point in found}, "the newest stands for them"


def test_a_row_of_a_comparison_and_a_run_of_the_same_recipe_are_the_run() -> None:
    run = measured(4.25, 1.01, title="rtn-w4-g128")
    row = measured(4.26, 1.012, title="rtn-w4-g128", checkpoint=False)
    for order in ([run, row], [row, run]):
        (only,) = without_repeats(order)
        assert (only.checkpoint, only.runs, only.size) == (True, 2, 4.25)


_SHARED = ("method", "bits", "granularity", "fp8_format", "activation_bits")


@pytest.mark.parametrize("variant", [*VARIANTS, *FLOATS])
def test_a_variant_of_a_comparison_is_called_as_a_run_of_it(variant: Variant) -> None:
    size = 64 if variant.granularity == "group" else None
    row = SimpleNamespace(title="?", group_size=size, **{name: getattr(variant, name) for name in _SHARED})
    title = _title_of(QuantizeCompareSpec(model="m"), cast("CompareRow", row))
    assert title.startswith(variant.method)
    assert ("g64" in title) == (variant.granularity == "group")
    assert variant.fp8_format is None or variant.fp8_format in title


def test_the_convention_of_the_runs_is_chosen_before_that_of_many_rows() -> None:
    kept = finished(bits_per_weight=4.0, ppl_ratio=1.1)
    other = CONVENTION.model_copy(update={"context": 1024})
    assert [point.run for point in pareto("bundled:base").points] == [kept]
    for step in range(3):
        finished("rtn", evaluation=other, bits_per_weight=5.0 + step, ppl_ratio=1.1)
    assert pareto("bundled:base").convention == other
