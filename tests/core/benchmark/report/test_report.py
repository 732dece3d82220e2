"""A report of benchmarks: nothing lost, nothing loaded, nothing executed, and every figure where it belongs."""

from __future__ import annotations

import csv
import io
import json
import re
from xml.etree import ElementTree

import pytest

from core.benchmark.compare.result import BenchmarkCompareResult, LeftOut, Recommendation
from core.benchmark.compare.spec import BenchmarkCompareSpec
from core.benchmark.metrics import RATES, SAMPLES
from core.benchmark.report import report
from core.benchmark.report.course import first_token, token_rate, under_way
from core.benchmark.report.definitions import definitions
from core.benchmark.report.tables import SAID, intervals, load, thresholds, warnings_by_target
from core.benchmark.result import BenchmarkResult, ErrorCount, RequestCounts, Threshold, Timeline
from core.benchmark.spec import BenchmarkSpec
from core.errors import RequestError
from core.measure.units import number
from core.runs.compare.compare import compare
from core.runs.export import FORMATS, export_run, export_runs
from core.runs.export.report import report_of
from core.runs.state import store
from core.runs.state.files import write_json
from core.runs.state.store import Run
from tests.core.benchmark.making import entry, level, made, samples
from tests.core.runs.test_export import Page

HOSTILE = "=cmd()|</script><img src=x onerror=alert(1)>\x1b[31m"


def sweep(seed: int = 1, name: str = HOSTILE) -> BenchmarkResult:
    values = samples(seed)
    speeds = {1.0: 100.0, 2.0: 190.0, 4.0: 220.0}
    levels = [level(samples(seed, factor=at), at, speed) for at, speed in speeds.items()]
    shown = entry(
        values, name, levels, knee=2.0, errors=(ErrorCount(status="failed", reason=HOSTILE, count=3),), warnings=(HOSTILE,), command=HOSTILE
    )
    held = Threshold(expression="ttft.p95 < 5ms", value=60.5, unit="ms", passed=False, words=HOSTILE)
    return made(values, name).model_copy(update={"entries": (shown,), "thresholds": (held,)})


def compared() -> BenchmarkCompareResult:
    parts = [made(samples(seed, factor=seed), f"engine {seed}", throughput_tokens_per_second=400.0 / seed) for seed in (1, 2, 3)]
    return BenchmarkCompareResult(
        entries=tuple(part.entries[0] for part in parts),
        samples={name: held for part in parts for name, held in part.samples.items()},
        machine=parts[0].machine,
        load="8 requests at once",
        model="bundled:base",
        left_out=(LeftOut(target="vllm", reason=HOSTILE),),
        recommendations=(
            Recommendation(
                goal="throughput",
                title="highest throughput",
                name="engine 1",
                value=400.0,
                figure="throughput_tokens_per_second",
                runner_up="engine 2",
                margin=2.0,
                beyond_noise=True,
                words="engine 1 is 2 times as fast",
            ),
        ),
    )


def run_of(result: BenchmarkResult) -> Run:
    several = isinstance(result, BenchmarkCompareResult)
    asked = BenchmarkCompareSpec(model="bundled:base") if several else BenchmarkSpec(model="http://127.0.0.1:1", served_model=HOSTILE)
    run = store.create(asked)
    write_json(run.path / "result.json", result.model_copy(update={"run": run.id}).model_dump(mode="json"))
    run.save_state(run.state.model_copy(update={"status": "done"}))
    return run


def table(text: str) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(text)))


def test_csv_is_a_line_a_target_and_level() -> None:
    result = sweep()
    rows = table(export_run(run_of(result), FORMATS["csv"]))
    assert [float(row["level"]) for row in rows] == [1.0, 2.0, 4.0]
    assert [row["is_knee"] for row in rows] == ["False", "True", "False"]
    for row, at in zip(rows, result.entries[0].levels, strict=True):
        assert float(row["ttft_ms.p95"]) == at.metrics["ttft_ms"].p95
        assert float(row["itl_ms.mean"]) == at.metrics["itl_ms"].mean
        assert float(row["throughput_tokens_per_second"]) == at.throughput_tokens_per_second
        assert int(row["done"]) == 200
    assert not any(cell.startswith(("=", "+", "@")) or "\x1b" in cell for row in rows for cell in row.values())


def test_samples_are_a_line_a_raw_value() -> None:
    result = sweep()
    rows = table(export_run(run_of(result), FORMATS["samples"]))
    for tag, values in result.samples[HOSTILE].items():
        assert [float(row["value"]) for row in rows if row["metric"] == tag] == values
    assert {row["unit"] for row in rows if row["metric"] == "request_tokens_per_second"} == {"token/s"}
    assert not any(cell.startswith("=") or "\x1b" in cell for row in rows for cell in row.values())


def test_json_holds_the_raw_values_and_the_comparison() -> None:
    one, other = run_of(sweep(1, "a")), run_of(sweep(2, "a"))
    document = json.loads(export_runs([one, other], "json"))
    assert document["schema"] == "llmopt.benchmark-report/1"
    assert [each["run"] for each in document["results"]] == [one.id, other.id]
    assert BenchmarkResult.model_validate(document["results"][0]["result"]) == sweep(1, "a").model_copy(update={"run": one.id})
    (against,) = document["comparison"]
    assert against["aspects"]["ttft.p50"]["beyond_noise"] is False
    assert "result" in json.loads(export_runs([one], "json"))


def test_markdown_keeps_its_columns_and_executes_nothing() -> None:
    for text in (export_run(run_of(sweep()), FORMATS["md"]), export_runs([run_of(sweep()), run_of(compared())], "md")):
        assert "\x1b" not in text
        assert "<img" not in text
        for block in re.split(r"\n\n", text):
            if block.startswith("|"):
                assert len({len(re.findall(r"(?<!\\)\|", line)) for line in block.splitlines()}) == 1, block
    assert "NOT MET" in text
    assert "ttft.p95 &lt; 5ms" in text


def test_a_report_is_named_after_the_models_that_its_runs_were_about() -> None:
    one = made(samples(1))
    model = one.entries[0].model
    formats = compared()
    several = tuple(entry.model_copy(update={"model": f"{model}-{number}"}) if number else entry for number, entry in enumerate(formats.entries))
    formats = formats.model_copy(update={"entries": several})
    titles = [report([("run", result)]).title for result in (one, formats)]
    assert titles == [f"Benchmark of {model}", f"Benchmark of {model} on 3 targets"]


def test_the_page_needs_nothing_and_runs_nothing() -> None:
    for text in (export_run(run_of(sweep()), FORMATS["html"]), export_runs([run_of(sweep()), run_of(compared())], "html")):
        page = Page(text)
        assert page.open == []
        assert not {"script", "img", "link", "iframe", "object", "a"} & set(page.tags)
        assert not [name for name, _ in page.attributes if name.startswith("on") or name in {"src", "href", "xlink:href"}]
        assert "\x1b" not in text
        assert "</script><img src=x onerror=alert(1)>" in page.text
        for chart in re.findall(r"<svg.*?</svg>", text, re.DOTALL):
            ElementTree.fromstring(chart)


def titles(text: str) -> list[str]:
    return re.findall(r"<h2>([^<]*)</h2><figure>", text)


def test_a_sweep_is_drawn_as_latency_against_throughput() -> None:
    text = export_run(run_of(sweep()), FORMATS["html"])
    assert titles(text)[:3] == [f"{name} against throughput" for name in ("Time to first token", "Time per output token", "End-to-end latency")]
    chart = ElementTree.fromstring(re.findall(r"<svg.*?</svg>", text, re.DOTALL)[0])
    assert len(chart.findall("polyline")) == 2
    places = [float(circle.attrib["cx"]) for circle in chart.findall("circle")[:3]]
    assert (places[1] - places[0]) / (places[2] - places[1]) == pytest.approx((190 - 100) / (220 - 190), rel=0.01)
    assert "the knee" in text


def test_distributions_rise_to_the_99th_percentile() -> None:
    text = export_run(run_of(made(samples(1))), FORMATS["html"])
    found = dict(zip(titles(text), re.findall(r"<svg.*?</svg>", text, re.DOTALL), strict=True))
    chart = ElementTree.fromstring(found["Distribution: time to first token"])
    heights = [float(circle.attrib["cy"]) for circle in chart.findall("circle")]
    assert heights == sorted(heights, reverse=True)
    value = sorted(samples(1)["ttft_ms"])[100 - 1]
    assert f"p50: {value:.5g} ms" in found["Distribution: time to first token"]


def test_targets_are_ranked_by_bars_that_are_as_long_as_their_figures() -> None:
    text = export_run(run_of(compared()), FORMATS["html"])
    found = dict(zip(titles(text), re.findall(r"<svg.*?</svg>", text, re.DOTALL), strict=True))
    bars = ElementTree.fromstring(found["Throughput, highest first"]).findall("rect")
    heights = [float(bar.attrib["height"]) for bar in bars]
    assert heights[0] == pytest.approx(2 * heights[1], rel=0.02)
    assert heights[0] == pytest.approx(3 * heights[2], rel=0.02)
    assert "engine 1 is 2 times as fast" in text
    assert "Not measured" in text


def test_signs_say_what_was_met() -> None:
    held = [Threshold(expression="x", value=1.0, passed=passed) for passed in (True, False, None)]
    assert [row[0] for row in thresholds(held)[1:]] == ["met", "NOT MET", "unknown"]


def test_a_damaged_result_is_exported_without_a_report() -> None:
    run = run_of(sweep())
    write_json(run.path / "result.json", {"entries": [{"name": HOSTILE}], "seconds": 3.0})
    for exporter in FORMATS.values():
        assert export_run(run, exporter).endswith("\n")
    with pytest.raises(RequestError, match="only benchmark results"):
        export_runs([run, run_of(sweep())], "html")
    assert report_of("benchmark", [("x", BenchmarkResult.read({}))]) is None
    assert any(f"run {run.id} holds a result that this version cannot read" in warning for warning in compare([run_of(sweep()), run]).warnings)


def test_runs_are_compared_beyond_noise() -> None:
    comparison = compare([run_of(made(samples(1))), run_of(made(samples(2, factor=1.5)))])
    ((*found,),) = comparison.differences
    assert {difference.beyond_noise for difference in found} == {True}
    assert all("worse" in difference.words for difference in found)
    assert comparison.to_json()["differences"][0][0]["ratio"] == pytest.approx(1.5, rel=0.1)
    assert next(measure for measure in comparison.measures if measure.name == "ttft_p50_ms").better == "lower"
    other = made(samples(3)).model_copy(update={"load": "1 request at once"})
    assert any("loads differ" in warning for warning in compare([run_of(made(samples(1))), run_of(other)]).warnings)


def test_intervals_stand_beside_their_percentiles() -> None:
    result = sweep(name="a")
    shown = result.entries[0].shown.metrics["ttft_ms"]
    (row, *_) = [row for row in table(export_run(run_of(result), FORMATS["csv"])) if row["level"] == str(result.entries[0].shown.level)]
    for figure in shown.percentiles:
        assert [row[f"ttft_ms.p{figure.level:g}{part}"] for part in ("", "_low", "_high")] == [
            "" if value is None else str(value) for value in (figure.value, figure.low, figure.high)
        ]
    median = next(figure for figure in shown.percentiles if figure.level == 50)
    assert median.low is not None
    assert median.high is not None
    written = next(line for line in intervals(result.entries[0], SAID) if line[0].startswith("time to first token, ms"))
    assert written[1] == f"{number(median.low)} to {number(median.high)}"
    assert written[3].endswith("at least"), "200 values have no upper end of a p99"


def test_every_metric_is_defined_with_unit_direction_and_formula() -> None:
    lines = definitions()[1:]
    assert len(lines) == len(SAMPLES) + len(RATES) + 1
    for name, unit, better, words in lines:
        assert all((name, unit, better))
        assert "=" in words or "/" in words, f"{name} has no formula"


def test_the_course_of_a_load_is_that_of_its_requests() -> None:
    timeline = Timeline(
        status=("done",) * 4,
        due=(0.0, 0.0, 1.0, 1.0),
        sent=(0.0, 0.0, 1.0, 1.0),
        first=(0.5, 0.5, 1.5, 1.5),
        last=(1.0, 1.0, 2.0, 1.5),
        tokens=(10, 10, 10, 4),
        measured=(True,) * 4,
    )
    assert [round(point.y, 6) for point in under_way(timeline)] == [2, 2, 2, 1]
    assert [round(point.y, 6) for point in token_rate(timeline)] == [0, 40, 0, 28]
    assert [(point.x, point.y) for point in first_token(timeline)] == [(0.25, 500.0), (1.25, 500.0)]


def test_requests_are_drawn_over_time_and_kept_as_raw_values() -> None:
    count = 12
    starts = tuple(float(index) for index in range(count))
    timeline = Timeline(
        status=(*("done",) * (count - 1), "failed"),
        due=starts,
        sent=starts,
        first=(*(start + 0.5 for start in starts[:-1]), None),
        last=(*(start + 0.9 for start in starts[:-1]), None),
        tokens=(*(8,) * (count - 1), None),
        measured=(True,) * count,
    )
    run = run_of(made(samples(1), "a").model_copy(update={"timelines": {"a": timeline}}))
    assert [title for title in titles(export_run(run, FORMATS["html"])) if title.startswith("Over time")] == [
        "Over time: requests in flight",
        "Over time: tokens per second",
        "Over time: time to first token",
    ]
    rows = [row for row in table(export_run(run, FORMATS["samples"])) if row["metric"].startswith("request.")]
    assert [row["value"] for row in rows if row["metric"] == "request.status"] == list(timeline.status)
    assert [row["value"] for row in rows if row["metric"] == "request.first"] == [str(start + 0.5) for start in starts[:-1]] + [""]


def test_a_warning_of_several_targets_is_told_once() -> None:
    entries = [entry(samples(1), name, warnings=warnings) for name, warnings in {"a": ("x", "y"), "b": ("x",), "c": ("x", "z", "y")}.items()]
    assert warnings_by_target(entries) == ["every target: x", "a, c: y", "c: z"]
    assert warnings_by_target(entries[:1]) == ["x", "y"]


def test_of_a_sweep_the_level_and_all_levels_are_told_apart() -> None:
    held = sweep(name="a").entries[0]
    all_levels = RequestCounts(scheduled=600, done=590, failed=6, timed_out=4, unsent=0)
    told = dict(load(held.model_copy(update={"requests": all_levels, "prompt_tokens": 9})))
    assert told["requests"] == "200 of 200 done"
    assert told["requests, all levels"] == "590 of 600 done, 6 failed, 4 timed out"
    assert told["prompt tokens, all levels"] == "9"
    alone = dict(load(made(samples(1), "a").entries[0]))
    assert alone["requests"] == "200 of 200 done"
    assert not any("level" in name for name in alone)
