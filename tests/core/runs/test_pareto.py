"""The trade-off between size and quality, over runs on disk."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from core.evaluate.result import Convention
from core.quantize.compare.result import CompareRow, QuantizeCompareResult
from core.quantize.spec import QuantizeSpec
from core.result import Better
from core.runs.pareto import Point, models, on_front, pareto, with_frontier
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
    assert (only.title, only.size, only.quality, only.error) == ("INT4 g128 RTN", 10, 0.02, 0.001)


def test_damaged_results_and_no_runs_at_all_are_no_trouble() -> None:
    assert pareto("bundled:base").points == ()
    finished(bits_per_weight=float("nan"), ppl_ratio=1.0)
    run = store.create(QuantizeSpec(model="bundled:base"))
    write_json(run.path / "result.json", {"evaluation": [], "metrics": 3})
    run.save_state(run.state.model_copy(update={"status": "done"}))
    assert pareto("bundled:base").points == ()
