"""The trade-off between size and quality, over runs on disk."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from core.quantize.pareto import Point, models, pareto, with_frontier
from core.quantize.spec import QuantizeSpec
from core.runs.state import store
from core.runs.state.files import write_json

CONVENTION = {"corpus": "a", "sha256": "b", "context": 512, "stride": 512, "scoring": "all-targets", "bos": "none", "tokens_scored": 1022}


def finished(method: str = "gptq", model: str = "bundled:base", evaluation: dict[str, Any] | None = CONVENTION, **metrics: float) -> str:
    run = store.create(QuantizeSpec.model_validate({"model": model, "method": method}))
    document = {"method": method, "bits": 4, "granularity": "group", "group_size": 128, "symmetric": True, "evaluation": evaluation}
    write_json(run.path / "result.json", document | {"metrics": metrics})
    run.save_state(run.state.model_copy(update={"status": "done"}))
    return run.id


def point(size: float, quality: float) -> Point:
    return Point("r", "t", "m", size, quality, None)


@given(st.lists(st.tuples(st.integers(0, 6), st.integers(0, 6)), max_size=12))
def test_the_frontier_is_what_nothing_beats(pairs: list[tuple[int, int]]) -> None:
    for found in with_frontier([point(size, quality) for size, quality in pairs]):
        beaten = any(size <= found.size and quality <= found.quality and (size, quality) != (found.size, found.quality) for size, quality in pairs)
        assert found.on_frontier == (not beaten)


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
    assert found.notes == ("left out: 1 finished run without such a measurement",)
    assert found.convention["corpus"] == "a"
    assert found.to_json()["frontier"] == [good]
    assert [p.quality for p in pareto("bundled:base", by_quality="kl_mean").points] == [0.01, 0.02]
    assert models() == ["bundled:base", "bundled:draft"]


def test_what_was_measured_otherwise_is_told_and_left_out() -> None:
    kept = {finished(bits_per_weight=4.0 + step, ppl_ratio=1.1) for step in range(2)}
    finished(evaluation=CONVENTION | {"context": 1024}, bits_per_weight=4.0, ppl_ratio=1.0)
    found = pareto("bundled:base")
    assert {p.run for p in found.points} == kept
    assert found.notes == ("left out: 1 point measured on other text or windows, which cannot be compared",)


def test_rows_of_a_comparison_are_points_too() -> None:
    run = store.create(QuantizeSpec(model="bundled:base"))
    path = run.path.rename(run.path.with_name(run.path.name.replace("-quantize-", "-quantize-compare-")))
    rows = [{"title": "INT4 g128 RTN", "method": "rtn", "bits_per_weight": 4.5, "bytes": 10, "ppl_ratio": 1.02, "kl_mean": 0.02, "kl_se": 0.001}]
    write_json(path / "result.json", {"rows": rows, "evaluation": CONVENTION})
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
