"""Results set against each other and against a baseline: the truth is known, as the values are made."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from core.benchmark.analysis.baseline import compare_to_baseline
from core.benchmark.analysis.comparison import ASPECTS, CONFIDENCE, Aspect, compare_samples, incomparable_reasons, pairs_of, statistic
from core.benchmark.documents import load_result, parse_result
from core.benchmark.result import BenchmarkResult
from core.errors import RequestError
from core.measure.percentiles import distribution
from core.measure.significance import ratio_of
from core.runs.state import store
from core.runs.state.files import write_json
from tests.core.benchmark.making import made, samples
from tests.core.runs.tick import TickSpec


def test_what_is_half_as_fast_is_worse_beyond_noise_and_the_same_is_not() -> None:
    same = {found.aspect.key: found for found in compare_samples(samples(1), samples(2))}
    assert {found.verdict for found in same.values()} == {"alike"}
    slower = {found.aspect.key: found for found in compare_samples(samples(1, factor=1.5), samples(2))}
    assert {found.verdict for found in slower.values()} == {"worse"}
    for key, found in slower.items():
        assert found.ratio == pytest.approx(1 / 1.5 if key == "throughput" else 1.5, rel=0.15)
        assert found.low is not None
        assert found.high is not None
        assert found.low < (found.ratio or 0) < found.high
        assert "beyond noise" in found.words
    assert {found.verdict for found in compare_samples(samples(1, factor=0.6), samples(2))} == {"better"}


def test_equal_loads_are_called_different_in_at_most_one_of_twenty_comparisons() -> None:
    loads = [samples(seed, count=60) for seed in range(60)]
    alarms = sum(any(found.beyond_noise for found in compare_samples(one, other)) for one, other in zip(loads[::2], loads[1::2], strict=True))
    assert alarms <= 5


def test_too_few_requests_tell_nothing() -> None:
    few = {tag: values[:12] for tag, values in samples(1).items()}
    found = {each.aspect.key: each for each in compare_samples(few, samples(2, factor=3))}
    assert found["ttft.p95"].verdict == "unknown"
    assert "20 are needed" in found["ttft.p95"].words
    assert found["ttft.p95"].ratio is not None
    assert found["ttft.p50"].verdict == "better"
    nothing = compare_samples({}, samples(1))
    assert {each.verdict for each in nothing} == {"unknown"}
    assert {each.beyond_noise for each in nothing} == {None}
    zero = compare_samples({"ttft_ms": [1.0] * 30}, {"ttft_ms": [0.0] * 30}, [Aspect("x", "x", "ttft_ms", 50.0)])
    assert zero[0].ratio is None


def test_a_statistic_is_that_of_the_figures() -> None:
    values = samples(3)["ttft_ms"]
    for level in (50.0, 95.0, 99.0):
        assert statistic(values, level) == distribution(values).at(level)
    assert statistic(values, None) == pytest.approx(np.mean(values))
    assert statistic([], None) is None


def test_a_surer_interval_is_wider_and_long_samples_are_drawn_in_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    one, other = samples(1)["ttft_ms"], samples(2)["ttft_ms"]
    loose, sure = ratio_of(one, other), ratio_of(one, other, confidence=0.999)
    assert loose is not None
    assert sure is not None
    assert sure.low < loose.low < loose.high < sure.high
    monkeypatch.setattr("core.measure.significance._AT_ONCE", 1000)
    parts = ratio_of(one, other)
    assert parts is not None
    assert parts.ratio == loose.ratio
    assert parts.low == pytest.approx(loose.low, rel=0.02)


@pytest.mark.parametrize("level", [50.0, 95.0])
def test_percentiles_drawn_by_their_rank_spread_as_those_of_whole_draws(level: float) -> None:
    one, other = np.array(samples(1)["ttft_ms"]), np.array(samples(2)["ttft_ms"])
    generator = np.random.default_rng(7)

    def drawn(sample: np.ndarray) -> np.ndarray:
        return np.percentile(sample[generator.integers(0, len(sample), (20_000, len(sample)))], level, axis=1, method="inverted_cdf")

    low, high = np.quantile(drawn(one) / drawn(other), [0.025, 0.975])
    found = ratio_of(one, other, level)
    assert found is not None
    assert (found.low, found.high) == (pytest.approx(low, abs=0.01), pytest.approx(high, abs=0.01))


def test_a_regression_beyond_noise_is_a_threshold_that_was_not_met() -> None:
    before, after = made(samples(1)), made(samples(2, factor=1.5))
    held = compare_to_baseline(before, after)
    assert len(held.thresholds) == len(ASPECTS)
    assert all(threshold.passed is False for threshold in held.thresholds)
    assert all("worse, beyond noise" in threshold.words for threshold in held.thresholds)
    assert held.exit_code == 3
    assert held.warnings == ()
    assert all(threshold.passed for threshold in compare_to_baseline(after, before).thresholds)
    untold = compare_to_baseline(made({}), after)
    assert {threshold.passed for threshold in untold.thresholds} == {None}
    assert untold.exit_code == 0
    assert compare_to_baseline(None, after) is after


def test_entries_belong_together_by_name_else_alone() -> None:
    a, b, c = made(samples(1), name="a"), made(samples(1), name="b"), made(samples(1), name="c")
    assert [(one.name, other.name) for one, other in pairs_of(a, b)] == [("a", "b")]
    two = a.model_copy(update={"entries": (*a.entries, *b.entries)})
    assert [(one.name, other.name) for one, other in pairs_of(two, b)] == [("b", "b")]
    assert pairs_of(two, c) == []
    assert compare_to_baseline(c, two).thresholds[0].passed is None


def test_what_may_not_be_compared_is_said() -> None:
    one = made(samples(1))
    other = one.model_copy(update={"load": "2 requests at once", "machine": one.machine.model_copy(update={"cores": 64})})
    assert len(incomparable_reasons(one, other)) == 2
    assert "cores" in " ".join(incomparable_reasons(one, other))
    assert incomparable_reasons(one, one) == ()


def test_a_result_is_read_again_from_all_it_is_written_to(tmp_path: Path) -> None:
    result = made(samples(1))
    document = {"schema": "llmopt.benchmark/1", "run": "x", "capability": "benchmark", "artifacts": []} | result.model_dump(mode="json")
    file = tmp_path / "before.json"
    write_json(file, document)
    assert load_result(str(file)) == result
    write_json(file, {"schema": "llmopt.export/1", "result": document})
    assert load_result(str(file)) == result
    run = store.create(TickSpec(model="x"))
    with pytest.raises(RequestError, match="has no result"):
        load_result(run.id)
    write_json(run.path / "result.json", document)
    assert load_result(run.id) == result
    assert result.metrics["ttft_p50_ms"] == result.entries[0].ttft_ms.p50


@pytest.mark.parametrize(
    ("text", "word"),
    [
        ("[1]", "has no result"),
        ("{", "cannot be read as JSON"),
        ('{"entries": [{}]}', "cannot be read: "),
        ("[" * 100000, "cannot be read as JSON"),
    ],
)
def test_a_file_that_is_no_result_is_refused(tmp_path: Path, text: str, word: str) -> None:
    file = tmp_path / "broken.json"
    file.write_text(text)
    with pytest.raises(RequestError, match=word):
        load_result(str(file))


def test_of_a_result_of_another_version_what_is_understood_is_read() -> None:
    result = made(samples(1))
    document: Any = json.loads(result.model_dump_json()) | {"of_a_later_version": 1}
    document["entries"].append({"name": "a target of which a later version says something else"})
    document["machine"]["cores"] = "many"
    found = parse_result(document, "x")
    assert found.entries == result.entries
    assert (found.machine.cores, found.machine.processor) == (None, "x86_64")


def test_a_baseline_that_is_not_there_is_refused(tmp_path: Path) -> None:
    for name in (str(tmp_path / "none.json"), "none.json"):
        with pytest.raises(RequestError, match="is not a file"):
            load_result(name)
    with pytest.raises(RequestError, match="no run"):
        load_result("20990101-nobody")


def test_any_result_survives_json() -> None:
    result = made(samples(1), name="=cmd()|</script>\x1b[31m")
    document: Any = json.loads(result.model_dump_json())
    assert parse_result(document, "x") == result
    assert isinstance(parse_result(document, "x"), BenchmarkResult)
    assert 0.95 < CONFIDENCE < 1
