"""Runs beside each other."""

from __future__ import annotations

from typing import Any

import pytest

from core.errors import RequestError
from core.measure.units import duration, number, size
from core.runs.compare.compare import Measure, compare, metrics_of
from core.runs.figures import figure, show
from core.runs.state import store
from core.runs.state.files import write_json
from core.runs.state.store import Run
from tests.core.runs.tick import TickSpec

EVALUATION = {"corpus": "python-stdlib/held-out", "sha256": "ab", "context": 512, "stride": 512, "tokens_scored": 100}


def finished(metrics: dict[str, Any], evaluation: dict[str, Any] | None = None, **asked: Any) -> Run:
    run = store.create(TickSpec.model_validate({"model": "bundled:base"} | asked))
    write_json(run.path / "result.json", {"metrics": metrics, "evaluation": evaluation or EVALUATION})
    run.save_state(run.state.model_copy(update={"status": "done"}))
    return run


def measure(name: str, runs: list[Run]) -> Measure:
    return next(measure for measure in compare(runs).measures if measure.name == name)


def test_only_what_was_asked_differently_is_listed() -> None:
    comparison = compare([finished({}, ticks=3), finished({}, ticks=4)])
    assert [(setting.name, setting.values) for setting in comparison.settings] == [("ticks", (3, 4))]


def test_figures_stand_beside_each_other_with_their_ratio_and_the_better_one() -> None:
    runs = [finished({"ppl_after": 8.0, "top1_agreement": 0.9}), finished({"ppl_after": 10.0, "top1_agreement": 0.95})]
    assert measure("ppl_after", runs).ratios == (1.0, 1.25)
    assert measure("ppl_after", runs).best == 0
    assert measure("top1_agreement", runs).best == 1


def test_equal_figures_and_figures_without_a_better_way_have_no_best() -> None:
    runs = [finished({"ppl": 2.0, "tokens": 5}), finished({"ppl": 2.0, "tokens": 9})]
    assert measure("ppl", runs).best is None
    assert measure("tokens", runs).best is None


def test_a_figure_that_a_run_lacks_is_missing_and_not_zero() -> None:
    runs = [finished({"ppl": 2.0}), finished({"kl_mean": 0.1})]
    assert measure("ppl", runs).values == (2.0, None)
    assert measure("ppl", runs).ratios == (1.0, None)


def test_perplexities_under_different_conventions_are_not_passed_off_as_comparable() -> None:
    same = compare([finished({"ppl": 2.0}), finished({"ppl": 3.0})])
    assert same.warnings == ()
    other = compare([finished({"ppl": 2.0}), finished({"ppl": 3.0}, EVALUATION | {"context": 1024})])
    assert "context (512 and 1024)" in other.warnings[0]


def test_a_run_without_result_is_named() -> None:
    unfinished = store.create(TickSpec(model="x"))
    assert compare([unfinished, finished({"ppl": 1.0})]).warnings == (f"run {unfinished.id} has no result (queued)",)


def test_one_run_cannot_be_compared() -> None:
    with pytest.raises(RequestError):
        compare([finished({})])


def test_figures_are_read_from_metrics_or_from_the_top() -> None:
    assert metrics_of({"metrics": {"ppl": 2.0, "text": "x", "flag": True, "kl_percentiles": {"99": 1.0}}}) == {"ppl": 2.0, "kl_percentiles.99": 1.0}
    assert metrics_of({"ppl": 2.0, "name": "x", "rows": []}) == {"ppl": 2.0}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (size(1023), "1023 B"),
        (size(1536), "1.5 KiB"),
        (size(2**30 - 1), "1.0 GiB"),
        (size(5 * 2**40), "5.0 TiB"),
        (duration(0.05), "50 ms"),
        (duration(59.4), "59 s"),
        (duration(59.6), "1 min 0 s"),
        (duration(3600 * 3 + 60 * 7), "3 h 7 min"),
        (number(1234567), "1,234,567"),
        (number(0.000123456), "0.00012346"),
        (show("ppl", None), "—"),
        (show("bytes_after", 2**20), "1.0 MiB"),
        (show("top1_agreement", 0.987), "98.70 %"),
        (show("kv_cache_bytes", 1024), "1.0 KiB"),
        (show("ttft_ms", 12.5), "12.5"),
    ],
)
def test_figures_are_shown_with_their_units(text: str, expected: str) -> None:
    assert text == expected


def test_an_unknown_figure_is_called_by_its_own_name() -> None:
    assert figure("draft_steps").title == "draft steps"
    assert figure("prefill_ms").title == "prefill, ms"
    assert figure("kivi-4.ppl").title == "kivi-4: perplexity"
    assert figure("kivi-4.ppl").better == "lower"
    assert figure("a.b").title == "a.b"


def test_what_single_requests_do_not_tell_apart_has_no_best() -> None:
    """The median is far lower, and the requests are too few, or too spread, to call that better."""
    values = (10.0, 30.0, 12.0)
    assert Measure("ttft_p50_ms", "", "lower", values, (1.0, 3.0, 0.1), (None, True, True)).best == 0
    assert Measure("ttft_p50_ms", "", "lower", values, (1.0, 3.0, 0.1), (None, None, None)).best == 0
    assert Measure("ttft_p50_ms", "", "lower", values, (1.0, 3.0, 0.1), (None, True, False)).best is None
    assert Measure("ttft_p50_ms", "", "lower", values[::-1], (0.1, 3.0, 1.0), (None, False, True)).best == 2
