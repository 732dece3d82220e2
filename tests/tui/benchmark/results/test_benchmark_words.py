"""What the Benchmark tab says, without a screen."""

from __future__ import annotations

from itertools import count
from typing import Any

import pytest

from core.benchmark.compare.spec import BenchmarkCompareSpec
from core.benchmark.events import SecondEvent
from core.benchmark.result import BenchmarkResult, Threshold
from core.benchmark.spec import BenchmarkSpec
from core.engine import ServeSpec, all_names
from core.runs.state.events import Detail, Log, Metric
from tests.tui.benchmark import made
from tests.tui.benchmark.conftest import judged
from tests.tui.fakes import NOW
from tui.benchmark.live import load_words
from tui.benchmark.live.curves import LoadCurves
from tui.benchmark.live.progress import BenchmarkProgress
from tui.benchmark.results import entries, ranked, target_words
from tui.benchmark.results.entries import BenchmarkRun, Entry
from tui.benchmark.servers import server_words
from tui.benchmark.servers.progress import MEMORY, ServerProgress
from tui.benchmark.setup import engines, foreseen
from tui.benchmark.setup.setup import SECTIONS, guide
from tui.experiment.finished import Finished
from tui.experiment.fit import Fit
from tui.widgets.live import Line

_NUMBERS = count()


def text(line: Line) -> str:
    return "".join(part for part, _ in line)


def heard(name: str) -> BenchmarkProgress:
    progress = BenchmarkProgress()
    progress.add(made.told(name, NOW))
    return progress


def finished(name: str, **changes: Any) -> BenchmarkRun:
    result = BenchmarkResult.model_validate(made.measured(name) | changes)
    return Finished(made.done(name, next(_NUMBERS) % 10), result)


def only(name: str, **changes: Any) -> Entry:
    return entries.rows([finished(name, **changes)])[0]


# -- a load as it goes


def test_seconds_of_a_sweep_go_on_from_level_to_level() -> None:
    told = [event for event in made.told("sweep", NOW) if isinstance(event, Detail) and event.kind == SecondEvent.kind]
    seconds = [second for event in told if (second := SecondEvent.parse(event.data))]
    (throughput,) = heard("sweep").charted.throughput().series
    assert throughput.x is not None
    assert list(throughput.x) == sorted(throughput.x)
    assert len({second.level for second in seconds}) > 1
    assert throughput.x[-1] > max(second.t for second in seconds), "each level begins at 0 again, the chart does not"


def test_a_second_that_is_none_is_passed_over() -> None:
    progress = BenchmarkProgress()
    progress.add([Detail(NOW, "second", {"t": "soon"}), Detail(NOW, "second", {})])
    assert progress.last is None
    assert load_words.figures(progress, 80) == [()] * load_words.LINES


def test_errors_stand_apart_from_the_log() -> None:
    progress = heard("failing")
    assert any("CUDA out of memory" in error for error in progress.errors)
    assert not any(line.startswith("request ") for line in progress.log)
    lines = load_words.errors(progress, 2, 100)
    assert len(lines) == 2
    last = progress.last
    assert last is not None
    assert text(lines[-1]).endswith(f"and {last.failed - 2} more")
    assert load_words.errors(progress, 0, 100) == []


def test_what_a_server_does_not_tell_is_no_zero() -> None:
    progress = heard("failing")
    told = text(load_words.figures(progress, 120)[3])
    assert told == "server  reports no metrics"
    assert progress.charted.concurrency().series == ()


def test_throughput_is_of_requests_where_tokens_are_not_known() -> None:
    known = heard("runtime")
    assert known.charted.throughput().y_unit == "token/s"
    unknown = LoadCurves()
    assert known.last is not None
    unknown.add(1.0, known.last.model_copy(update={"tokens_per_second": None}))
    assert unknown.throughput().y_unit == "request/s"


@pytest.mark.parametrize("width", [1, 20, 60, 200])
def test_figures_never_exceed_the_width(width: int) -> None:
    progress = heard("runtime")
    for line in (*load_words.figures(progress, width), *load_words.errors(heard("failing"), 4, width)):
        assert len(text(line)) <= width


# -- finished loads


def test_a_sweep_has_a_row_for_each_level_and_its_knee_is_marked() -> None:
    found = entries.rows([finished("sweep")])
    assert [entry.title.strip() for entry in found[1:]] == [f"concurrency {level}" for level in (1, 2, 4, 8, 16)]
    assert [entry.level.level for entry in found if entry.level is not None and entry.is_knee] == [found[0].entry.knee]
    assert found[0].best.level == 2, "the figures of the whole are those of the level with the most throughput"


def test_a_level_has_its_own_samples_and_the_whole_those_of_the_best() -> None:
    whole, *levels = entries.rows([finished("sweep")])
    assert [len(level.samples["ttft_ms"]) for level in levels] == [16] * 5
    assert whole.samples == levels[1].samples
    assert levels[0].samples != levels[1].samples


def test_a_target_is_held_to_its_own_thresholds() -> None:
    one, other = finished("runtime").result, finished("transformers").result
    judged = [{"expression": f"{entry.name}: ttft < 1s", "value": 1.0, "passed": at == 0} for at, entry in enumerate((*one.entries, *other.entries))]
    both = finished("runtime", entries=[*one.entries, *other.entries], thresholds=judged)
    assert [target_words.passed(entry) for entry in entries.rows([both])] == [True, False]


def test_only_equal_loads_on_the_same_machine_are_set_against_each_other() -> None:
    one, other = finished("runtime"), finished("transformers")
    assert [entry.foreign for entry in entries.rows([one, other])] == [False, False]
    elsewhere = finished("sweep", load=one.result.load, machine=one.result.machine.model_copy(update={"cores": 64}))
    assert entries.rows([one, elsewhere])[1].foreign
    assert [entry.foreign for entry in entries.rows([one, elsewhere], elsewhere.run.id)][:2] == [True, False]
    with_gpu = finished("runtime", machine=one.result.machine.model_copy(update={"gpus": "1 x H200"}))
    assert entries.rows([one, with_gpu])[1].foreign


def test_a_percentile_without_enough_samples_says_so() -> None:
    entry = only("runtime")
    cells = {column.title: str(column.cell(entry)) for column in target_words.SPEED if column.title in ("TTFT p50",)}
    assert cells == {"TTFT p50": "468"}
    told = dict(target_words.facts(entry))
    assert told["TTFT"].startswith("p50 468 (171 to 698), p95 728?, p99 728? ms")
    assert told["TTFT"].endswith("n 11")
    assert "p99: 459, p95: 90" in target_words.signs([entry], entry)


QUALITY = {"ppl": 7.41, "ppl_se": 0.98, "kl_mean": 0.0123, "kl_se": 0.0045, "tokens": 300, "correct": 15, "questions": 20, "words": "by the text"}


def with_quality(name: str, **changes: Any) -> Entry:
    (entry,) = made.measured(name)["entries"]
    return only(name, entries=[entry | {"quality": QUALITY | changes}])


def test_quality_is_told_with_its_errors() -> None:
    told = dict(target_words.facts(with_quality("runtime")))
    assert told["perplexity"] == "7.410 ± 0.98, 300 tokens scored"
    assert told["KL"] == "0.0123 ± 0.0045 nat from the reference"
    assert told["questions"] == "15 of 20 right, 75.0 % ± 9.9"
    assert told["quality"] == "by the text"
    one = dict(target_words.facts(with_quality("runtime", correct=1, questions=1, ppl=None, kl_mean=None)))
    assert one["questions"] == "1 of 1 right, 100.0 %"
    assert not {"perplexity", "KL"} & set(one)
    assert not {"perplexity", "KL", "questions"} & set(dict(target_words.facts(only("runtime"))))


def test_every_set_of_columns_fits_the_window_that_it_is_shown_in() -> None:
    for _, columns in target_words.SETS:
        for width in (59, 66, 68, 70, 77, 79, 84, 85, 91, 94, 98, 101, 105, 108, 113, 116, 119, 124, 134, 145, 150, 156, 170):
            assert sum(column.width for column in columns if column.needs <= width < column.below) <= width + 1, width


@pytest.mark.parametrize("width", [78, 80])
def test_medians_and_tails_of_all_latencies_stand_beside_each_other_in_80_columns(width: int) -> None:
    titles = [column.title for column in target_words.SPEED if column.needs <= width < column.below]
    assert titles[2:] == ["token/s", "TTFT p50", "p99", "TPOT p50", "ITL p50", "p99", "errors"]


def test_targets_are_ranked_by_what_at_least_two_of_them_tell() -> None:
    one, other = with_quality("runtime"), with_quality("transformers", ppl=7.0, kl_mean=None)
    found = {plot.title.partition(" (")[0]: plot for plot in ranked.ranked([one, other])}
    assert "KL divergence from the reference, nat" not in found
    assert "tokens per joule" not in found
    assert found["perplexity"].series[0].y == (7.0, 7.41)
    assert found["perplexity"].categories[0].startswith("a Transformers")
    assert found["questions answered correctly, %"].series[0].y == (75.0, 75.0)
    tpot = found["time per output token, p50, ms"].series[0].y
    assert list(tpot) == sorted(tpot)
    assert ranked.ranked([one]) == ()


def test_what_was_stopped_or_paused_is_told() -> None:
    (entry,) = made.measured("runtime")["entries"]
    (level,) = entry["levels"]
    paused = entry | {"levels": [level | {"pauses": [{"at": 3.0, "seconds": 12.5}]}]}
    told = dict(target_words.facts(only("runtime", entries=[paused], stopped="stopped by the user after 8 of 12 requests")))
    assert told["stopped"] == "stopped by the user after 8 of 12 requests"
    assert told["pauses"] == "12 s at 3.0 s: no new requests were sent, excluded from rates"
    assert not {"stopped", "pauses"} & set(dict(target_words.facts(only("runtime"))))


def test_the_figures_of_a_sweep_are_of_the_level_that_its_result_says() -> None:
    assert "the figures are of 2, the most throughput" in dict(target_words.facts(only("sweep")))["sweep"]
    (entry,) = made.measured("sweep")["entries"]
    told = dict(target_words.facts(only("sweep", entries=[entry | {"highest_meeting": 2.0}])))
    assert told["sweep"].endswith("the most throughput that meets the objectives; they are met up to 2")


def test_a_row_with_warnings_is_marked() -> None:
    plain, warned = only("runtime", warnings=[]), only("runtime", warnings=["the client was slow"])
    (entry,) = made.measured("runtime")["entries"]
    silent = only("runtime", entries=[entry | {"warnings": []}], warnings=[])
    sign = target_words.SPEED[0].cell
    assert "!" in str(sign(warned))
    assert "! warnings" in target_words.signs([warned], None)
    assert warned.warnings == (*plain.warnings, "the client was slow")
    assert "!" not in str(sign(silent))
    assert "warnings" not in target_words.signs([silent], None)


def test_signs_that_do_not_occur_are_not_explained() -> None:
    assert "knee" not in target_words.signs([only("runtime")], None)
    assert "knee" in target_words.signs(entries.rows([finished("sweep")]), None)


def test_everything_that_went_wrong_is_told() -> None:
    told = target_words.facts(only("failing"))
    assert ("requests", "195 of 240 answered, 45 failed") in told
    assert any(name == "34 x" and "CUDA out of memory" in words for name, words in told)
    assert dict(told)["goodput"] == "0 request/s met ttft<300ms, itl<40ms, objectives missed by more than 1 % of the requests"
    assert dict(told)["cost"] == "3.31 per million tokens"


def test_thresholds_are_told_by_sign_and_in_their_unit() -> None:
    found = [target_words.threshold(each) for each in only("failing").result.thresholds]
    assert found == [
        "✗ ttft.p95 < 500ms: 2240 ms (only 64 samples: too few to claim it)",
        "✗ throughput > 1000: 210 token/s",
        "✗ errors < 1%: 18.8 %",
    ]
    assert (
        target_words.threshold(Threshold(expression="ppl < 9", value=None, passed=None, words="it was not measured"))
        == "– ppl < 9: - (it was not measured)"
    )
    assert target_words.passed(only("failing")) is False
    assert target_words.passed(only("runtime")) is None


# -- what is foreseen


def words(found: Fit) -> dict[str, str]:
    assert not found.refusal
    return dict(found.lines)


def test_the_command_is_that_of_the_server_with_a_context_for_the_load() -> None:
    found = judged(BenchmarkSpec(model="bundled:base", threads=2), foreseen.benchmark)
    assert found.command.startswith("PYTHONUNBUFFERED=1 OMP_NUM_THREADS=2 /opt/llmopt/bin/python -m engines.server")
    assert "--context 256" in found.command
    assert words(found)["sends"] == "64 requests, 8 at once, 2 more to warm up, 128 tokens in, 64 out"


@pytest.mark.parametrize(
    ("values", "told"),
    [
        ({"load": "poisson", "rate": 10}, "about 6.4 s at 10 requests per second (estimate)"),
        ({"load": "constant", "rate": 0.5, "duration": 30}, "30 s at most"),
        ({"load": "ramp", "rate": 1, "ramp_to": 9, "duration": 60}, "from 1 to 9 requests per second"),
        ({}, "as long as the server needs"),
    ],
)
def test_how_long_a_load_takes(values: dict[str, Any], told: str) -> None:
    assert told in words(judged(BenchmarkSpec(model="bundled:base", **values), foreseen.benchmark))["takes"]


def test_a_comparison_tells_which_engines_are_left_out() -> None:
    found = words(judged(BenchmarkCompareSpec(model="bundled:base"), foreseen.comparison))
    assert found["transformers"] == "Transformers 5.23.0"
    assert found["vllm"].startswith("is skipped: vLLM is not installed")
    assert "no such" in judged(BenchmarkCompareSpec(model="/nowhere"), foreseen.comparison).refusal


def test_what_a_comparison_recommends_is_told() -> None:
    (first, *_) = entries.of_runs([made.comparison()])
    told = target_words.recommended(first.result)
    assert any(name == "highest throughput" for name, _ in told)
    assert ("skipped", "vllm: vLLM is not installed: make an environment with `pip install vllm`") in told


def test_an_address_starts_nothing() -> None:
    found = judged(BenchmarkSpec(model=made.URL), foreseen.benchmark)
    assert words(found)["attaches to"] == f"OpenAI-compatible server at {made.URL}; nothing is started"
    assert found.command == made.URL


def test_what_cannot_be_is_refused_in_a_sentence() -> None:
    assert "context" in judged(BenchmarkSpec(model="bundled:base", input_tokens=1000, output_tokens=100), foreseen.benchmark).refusal
    assert "vLLM is not installed" in judged(BenchmarkSpec(model="bundled:base", engine="vllm"), foreseen.benchmark).refusal
    assert "not started by this program" in judged(ServeSpec(model="bundled:base", engine="tgi"), foreseen.server).refusal
    assert "no such path" in judged(ServeSpec(model="/nowhere", engine="runtime"), foreseen.server).refusal


def test_a_server_that_others_can_reach_is_warned_of() -> None:
    assert judged(ServeSpec(model="bundled:base", engine="runtime"), foreseen.server).warnings == ()
    open_ = judged(ServeSpec(model="bundled:base", engine="runtime", host="0.0.0.0"), foreseen.server)
    assert "other machines can reach it" in open_.warnings[0]


def test_the_table_of_engines_tells_versions_and_reasons() -> None:
    found = {row.value: row for row in engines.options(to_start=False).rows}
    assert set(found) == set(all_names())
    assert found["transformers"].cells[1] == "5.23.0"
    assert found["vllm"].cells[1] == "missing"
    assert "LLMOPT_ENGINE_VLLM" in found["vllm"].detail
    assert found["openai"].cells[1] == "attach"
    assert "openai" not in {row.value for row in engines.options(to_start=True).rows}


def test_every_field_is_in_the_form_once() -> None:
    placed = [name for _, fields in SECTIONS for name in fields]
    assert sorted(placed) == sorted(BenchmarkSpec.model_fields)


def test_fields_that_mean_nothing_are_hidden() -> None:
    assert {"key_env", "insecure"} <= guide({"model": "bundled:base"}).hidden
    attached = guide({"model": made.URL})
    assert {"dtype", "threads", "context", "device"} <= attached.hidden
    assert attached.defaults["engine"] == "openai"
    assert "input_tokens" in guide({"model": "bundled:base", "prompts": "mine.jsonl"}).hidden


# -- servers


def test_a_server_says_when_it_answers_and_what_it_takes() -> None:
    progress = ServerProgress()
    progress.add(made.told("server", NOW))
    assert progress.ready is not None
    assert progress.ready.url == "http://127.0.0.1:48901"
    assert len(progress.course[MEMORY]) > 3
    assert server_words.memory_plot(progress).series[0].y[0] == pytest.approx(322.5, rel=0.01)
    assert server_words.memory_plot(ServerProgress()).series == ()


def test_a_ready_event_that_is_none_is_passed_over() -> None:
    progress = ServerProgress()
    progress.add([Detail(NOW, "ready", {"url": "http://x"}), Metric(NOW, "server_running", None, 0, ""), Log(NOW, "loading")])
    assert progress.ready is None
    assert progress.course == {}
    assert SecondEvent.parse({}) is None


@pytest.mark.parametrize("width", [56, 60, 80, 120])
def test_a_row_of_a_server_is_as_wide_as_its_head(width: int) -> None:
    run = made.server()
    row = server_words.ServerRow(run, run.state, "http://127.0.0.1:48901", "bundled:base", "runtime", 1, 2, 2**30)  # type: ignore[attr-defined]
    line = server_words.line(row, NOW, width)
    assert len(text(line)) == len(text(server_words.head(width))) - 1, "the cursor's sign comes before it"
    assert len(text(line)) < width
