"""What the tab makes of events and results, without a screen."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.evaluate.result import Convention
from core.models.card import LinearShape
from core.models.resolve import resolve
from core.quantize.check import check
from core.quantize.compare.result import QuantizeCompareResult
from core.quantize.compare.spec import VARIANTS, QuantizeCompareSpec
from core.quantize.methods import METHODS
from core.quantize.result import LayerFigures, QuantizeMetrics, QuantizeResult
from core.runs.compare.compare import compare
from core.runs.pareto import pareto
from core.runs.state.events import Log, Metric, Progress
from core.runs.state.store import list_runs
from core.spec import narrowed
from tests.tui.fakes import NOW
from tests.tui.quantize import made
from tests.tui.quantize.conftest import MadeUp
from tui.compression import errors
from tui.compression.artifact import describe, loading
from tui.experiment.finished import newest
from tui.experiment.follower import Follower
from tui.experiment.live_head import heading
from tui.quantize.compare import charts as comparison_data
from tui.quantize.live.progress import RunProgress
from tui.quantize.results import figures, history, outcome
from tui.services.live_runs import LiveRuns
from tui.widgets import words
from tui.widgets.hanging import hanging
from tui.widgets.progress import bar


def test_the_progress_keeps_errors_figures_and_words_apart() -> None:
    progress = RunProgress()
    progress.add(
        [
            Progress(10.0, 0, 4, "begin"),
            Metric(11.0, "layer_error", 0.1, 0, "model.layers.0.q"),
            Metric(12.0, "ppl_before", 12.0, 0, ""),
            Log(12.0, "said"),
            Progress(14.0, 1, 4, "on"),
        ]
    )
    assert progress.errors == [("model.layers.0.q", 0.1)]
    assert progress.metrics == {"ppl_before": 12.0}
    assert progress.log == ["said"]
    assert progress.progress == Progress(14.0, 1, 4, "on")


def test_each_pass_over_the_model_begins_anew() -> None:
    progress = RunProgress()
    progress.add([Metric(1.0, "layer_error", 0.1, 0, "q"), Metric(1.0, "layer_error", 0.2, 1, "k"), Metric(2.0, "layer_error", 0.3, 0, "q")])
    assert progress.errors == [("q", 0.3)]
    assert progress.passes == 1


def test_time_left_follows_the_pace_and_is_not_told_too_early_or_too_late() -> None:
    progress = RunProgress()
    assert progress.seconds_left(20.0) is None
    progress.add([Progress(10.0, 0, 4, "")])
    assert progress.seconds_left(20.0) is None
    progress.add([Progress(20.0, 1, 4, "")])
    assert progress.seconds_left(20.0) == 30.0
    progress.add([Progress(50.0, 4, 4, "")])
    assert progress.seconds_left(50.0) is None


def test_a_follower_reads_on_where_it_stopped() -> None:
    run = made.run_of(made.spec(), "20260101-115900-quantize-0aaa", created=NOW - 20)
    follower = Follower(run, RunProgress())
    said = made.layer_errors(6, NOW - 18)
    made.say(run, *said[:5])
    follower.look(LiveRuns(resolve))
    assert len(follower.progress.errors) == 2
    made.say(run, *said[5:])
    follower.look(LiveRuns(resolve))
    follower.look(LiveRuns(resolve))
    assert len(follower.progress.errors) == 6
    assert not follower.over


def test_errors_are_drawn_by_block_and_those_that_are_not_finite_are_left_out() -> None:
    plot = errors.plot([("m.layers.0.q", 0.1), ("m.layers.0.k", 0.3), ("m.layers.1.q", None), ("m.layers.2.q", 0.2), ("head", 0.5)])
    worst, mean = plot.series
    assert worst.x == mean.x == (0.0, 2.0, 4.0)
    assert worst.y == (0.3, 0.2, 0.5)
    assert mean.y == (0.2, 0.2, 0.5)


@pytest.mark.parametrize(
    ("values", "words_"),
    [
        ({}, "gptq 4 bit g128"),
        ({"method": "rtn", "bits": 8, "granularity": "channel"}, "rtn 8 bit per channel"),
        ({"symmetric": False, "clipping": "mse", "act_order": True}, "gptq 4 bit g128 asym mse act-order"),
    ],
)
def test_a_recipe_says_what_departs_from_the_defaults(values: dict[str, Any], words_: str) -> None:
    assert made.spec(**values).summary() == words_


def test_outcomes_are_those_of_the_model_newest_first_and_only_finished_ones() -> None:
    made.finish(made.run_of(made.spec(bits=3), "20260101-100000-quantize-0001", "done", created=NOW), checkpoint="/models/a")
    made.finish(made.run_of(made.spec(bits=4), "20260101-100001-quantize-0002", "done", created=NOW))
    made.finish(made.run_of(made.spec(model="/models/other"), "20260101-100002-quantize-0003", "done", created=NOW))
    made.run_of(made.spec(), "20260101-100003-quantize-0004", "failed", created=NOW)
    found = outcome.of_model(list_runs(), "bundled:base")
    assert [each.values["bits"] for each in found] == [4, 3]
    assert found[1].result.out == "/models/a"


def test_figures_of_another_convention_are_marked() -> None:
    other = Convention.model_validate(made.EVALUATION | {"context": 2048})
    made.finish(made.run_of(made.spec(bits=3), "20260101-100000-quantize-0001", "done", created=NOW), evaluation=other)
    made.finish(made.run_of(made.spec(bits=8), "20260101-100001-quantize-0002", "done", created=NOW), bits_per_weight=8.6, kl_mean=0.001)
    made.finish(made.run_of(made.spec(bits=4), "20260101-100002-quantize-0003", "done", created=NOW))
    chosen, alike, foreign = outcome.of_model(list_runs(), "bundled:base")
    assert history.cells(foreign, chosen)[3].startswith("≠")
    assert not history.cells(alike, chosen)[3].startswith("≠")


def test_runs_that_scored_other_tokens_are_compared_nowhere() -> None:
    """The Results tab, the Pareto front and the comparison of runs decide alike."""
    few = Convention.model_validate(made.EVALUATION | {"tokens_scored": 4088})
    one = made.finish(made.run_of(made.spec(bits=3), "20260101-100000-quantize-0001", "done", created=NOW), evaluation=few)
    other = made.finish(made.run_of(made.spec(bits=4), "20260101-100001-quantize-0002", "done", created=NOW))
    chosen, foreign = outcome.of_model(list_runs(), "bundled:base")
    assert history.cells(foreign, chosen)[3].startswith("≠")
    assert len(pareto("bundled:base").points) == 1
    assert [warning for warning in compare([one, other]).warnings if "tokens scored (4088 and 16352)" in warning]


def test_a_linear_of_few_rows_in_the_gptq_format_keeps_its_width() -> None:
    spec = made.spec(format="gptq")
    shapes = [("k_proj", 64), ("q_proj", 256)]
    layers = []
    for name, rows in shapes:
        linear = LinearShape(name_suffix=name, out_features=rows, in_features=256, count=1)
        size = METHODS[spec.method].stored_bytes(spec.request, linear)
        figures_ = LayerFigures(name=f"model.layers.0.{name}", error=0.1, weight_error=0.1, bytes=size, rows=rows, columns=256, bits=4)
        layers.append(figures_.model_dump())
    found = outcome.read(made.finish(made.run_of(spec, "20260101-100000-quantize-0001", "done", created=NOW), layers=layers))
    assert found is not None
    assert [layer.bits for layer in found.layers] == [4, 4]
    assert not found.is_mixed
    for layer in layers:
        del layer["bits"]
    older = outcome.read(made.finish(made.run_of(spec, "20260101-100001-quantize-0002", "done", created=NOW), layers=layers))
    assert older is not None
    assert [round(layer.bits or 0) for layer in older.layers] == [5, 4], "index and zero points of a small linear weigh a bit"


def test_a_result_states_every_figure_with_its_error_and_its_convention() -> None:
    run = made.finish(made.run_of(made.spec(), "20260101-100000-quantize-0001", "done", created=NOW))
    found = outcome.read(run)
    assert found is not None
    text = "\n".join(f"{name}: {what}" for name, what in figures.lines(found))
    assert "perplexity: 12.34 to 12.61, ratio 1.022 ± 0.0011" in text
    assert "KL divergence: 0.01234 ± 0.00040 nats" in text
    assert "top-1 agreement: 94.12 % ± 0.18 %" in text
    assert "3.02 times smaller), 5.31 bits per weight" in text
    assert "peak memory" in text
    assert "python-stdlib/held-out (sha256 5f5f5f5f), windows of 512, stride 512, 16,352 tokens scored, BOS window" in text
    assert "checkpoint: /models/out" in text


def test_the_estimate_stands_beside_the_measured_memory_while_the_model_is_there() -> None:
    run = made.finish(made.run_of(made.spec(out="/models/out"), "20260101-100000-quantize-0001", "done", created=NOW))
    card = MadeUp("bundled:base").card()
    foreseen = check(made.spec(), card).peak_memory_bytes
    with_card, without = outcome.of_model([run], "bundled:base", card)[0], outcome.of_model([run], "bundled:base")[0]
    assert f"peak memory 583.6 MiB ({words.size(foreseen)} estimated)" in dict(figures.lines(with_card))["cost"]
    assert dict(figures.lines(without))["cost"].endswith("peak memory 583.6 MiB")


def test_without_an_evaluation_no_quality_is_claimed() -> None:
    run = made.run_of(made.spec(eval_tokens=0), "20260101-100000-quantize-0001", "done", created=NOW)
    found = outcome.read(made.finish(run, ppl_before=None, ppl_after=None, ppl_ratio=None, kl_mean=None, kl_se=None))
    assert found is not None
    lines = dict(figures.lines(found))
    assert lines["quality"] == "not measured: eval tokens was 0"
    assert "perplexity" not in lines
    assert "measured on" not in lines


STRANGE = st.one_of(st.none(), st.booleans(), st.text(max_size=5), st.floats(), st.integers(), st.lists(st.integers()))


@given(
    st.dictionaries(st.sampled_from(list(QuantizeMetrics.model_fields)), STRANGE), st.dictionaries(st.sampled_from(list(made.EVALUATION)), STRANGE)
)
def test_any_result_is_shown_or_passed_over(metrics: dict[str, Any], evaluation: dict[str, Any]) -> None:
    document = made.result_of(made.spec(), "id").model_dump(mode="json")
    document["metrics"] |= metrics
    document["evaluation"] |= evaluation | {"corpus": "\x1b[31m"}
    document["notes"] = ["\x1b[2Jhello", 7]
    result = QuantizeResult.read(document)
    if result is None:
        return
    found = outcome.Outcome("id", "", {}, result)
    for _, text in figures.lines(found):
        assert "\x1b" not in text
        assert "nan" not in text.lower()
    assert history.cells(found, found)


def test_a_comparison_is_read_from_the_newest_run_that_holds_one() -> None:
    spec = QuantizeCompareSpec(model="bundled:base")
    made.compared(made.run_of(spec, "20260101-100000-quantize-compare-0001", "done", created=NOW))
    made.run_of(spec, "20260101-100001-quantize-compare-0002", "failed", created=NOW)
    found = newest(list_runs(), spec.capability, "bundled:base", QuantizeCompareResult)
    assert found is not None
    assert found.run.id.endswith("0001")
    assert newest(list_runs(), spec.capability, "/models/other", QuantizeCompareResult) is None
    assert all(column.cell(row) for column in comparison_data.COLUMNS for row in found.result.rows)
    titles = [plot.title for plot in comparison_data.plots(found.result.charts)]
    assert titles == ["weights", "dequantized", "relative error at 8 bits", "memory"]
    memory = comparison_data.plots(found.result.charts)[3]
    assert sum(series.y[0] for series in memory.series) == pytest.approx(found.result.rows[0].bytes / 2**20), "scales are counted"


def test_a_comparison_asks_for_every_variant() -> None:
    spec = narrowed(made.spec(group_size=64, bits=3, seed=7), QuantizeCompareSpec)
    assert isinstance(spec, QuantizeCompareSpec)
    single = [spec.of(variant) for variant in spec.variants]
    assert [(each.method, each.bits, each.granularity) for each in single] == [(each.method, each.bits, each.granularity) for each in VARIANTS]
    assert {(each.group_size, each.seed) for each in single} == {(64, 7)}


def test_the_head_of_a_failed_run_gives_the_reason() -> None:
    run = made.run_of(made.spec(), "20260101-100000-quantize-0001", "failed", created=NOW, reason="no space left on /data: free some")
    text = heading(run, "a quantization", run.state, RunProgress(), NOW, 80).plain
    assert "failed after 20 s: no space left on /data: free some" in text
    assert "r resumes it" in text


@given(st.floats(allow_nan=False, allow_infinity=False, min_value=-1, max_value=2), st.integers(1, 60))
def test_a_bar_is_as_long_as_it_should_be(fraction: float, width: int) -> None:
    drawn = bar(fraction, width)
    assert drawn.cell_length == width
    assert drawn.plain.count("█") == math.floor(round(min(max(fraction, 0), 1) * width * 8) / 8)


@given(st.floats(min_value=-1e300, max_value=1e300) | st.sampled_from([math.inf, -math.inf, math.nan]))
def test_a_figure_keeps_its_digits(value: float) -> None:
    text = words.figure(value, 4)
    if not math.isfinite(value):
        assert text == words.NOTHING
    else:
        assert float(text) == pytest.approx(value, rel=6e-4)


def test_what_was_not_measured_is_a_dash() -> None:
    assert [words.size(None), words.duration(float("nan")), words.figure(True), words.percent("x"), words.plus_minus("-", 0.1)] == ["-"] * 5


@given(st.lists(st.tuples(st.text("abc ", max_size=6), st.text("xyz ", max_size=80)), max_size=5), st.integers(24, 80))
def test_long_texts_go_on_under_themselves(rows: list[tuple[str, str]], width: int) -> None:
    drawn = hanging(rows, width).plain.split("\n") if rows else []
    assert all(len(line) <= width for line in drawn)
    assert "".join("".join(drawn).split()) == "".join("".join(name + text for name, text in rows).split())


@pytest.mark.parametrize(
    ("settings", "line"),
    [({}, None), ({"quant_method": "gptq"}, "with gptqmodel and optimum installed"), ({"quant_method": "\x1b[2J"}, None), ("broken", None)],
)
def test_a_checkpoint_says_what_loading_it_takes(tmp_path: Path, settings: Any, line: str | None) -> None:
    (tmp_path / "config.json").write_text(json.dumps({"quantization_config": settings}))
    assert loading(tmp_path, ["config.json"])[1:] == ([] if line is None else [line])


def test_a_gguf_file_is_loaded_by_llama_cpp(tmp_path: Path) -> None:
    assert loading(tmp_path, ["imatrix.gguf", "model.gguf"]) == [f"llama-server -m {tmp_path}/model.gguf"]


def test_the_files_of_a_checkpoint_and_a_folder_that_is_gone(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text("{}")
    (tmp_path / "evil\x1b[2J").write_text("")
    text = describe(tmp_path).plain
    assert "2 B  config.json" in text
    assert "in 2 files" in text
    assert "\x1b" not in text
    assert f"from_pretrained('{tmp_path}')" in text
    assert "could not be read: no such file or directory" in describe(tmp_path / "gone").plain
