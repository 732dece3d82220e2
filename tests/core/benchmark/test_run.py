"""A whole load on a server of known times, and servers that cannot be measured."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from core.benchmark.calibrate.calibrate import Calibration, Step
from core.benchmark.calibrate.ceiling import keep
from core.benchmark.check import check
from core.benchmark.events import SecondEvent
from core.benchmark.result import BenchmarkResult
from core.benchmark.run import run
from core.benchmark.spec import BenchmarkSpec
from core.errors import RequestError
from core.models.resolve import resolve
from core.runs.launch.admission import admit
from tests.core.benchmark.refusing import refusing
from tests.core.conftest import RecordingContext

FIRST, RATE = 40.0, 100.0


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    server = subprocess.Popen([sys.executable, "-m", "core.benchmark.calibrate.server", "0", str(FIRST), str(RATE)], stdout=subprocess.PIPE)
    assert server.stdout is not None
    yield f"http://127.0.0.1:{int(server.stdout.readline())}"
    server.terminate()
    server.wait()


def measured(context: RecordingContext, url: str, **options: Any) -> BenchmarkResult:
    spec = BenchmarkSpec.parse({"model": url, "requests": 16, "output_tokens": 10, "concurrency": 8, "warmup": 1} | options)
    assert isinstance(spec, BenchmarkSpec)
    admit(spec)
    return run(spec, context)


def test_the_figures_of_a_server_of_known_times(context: RecordingContext, url: str) -> None:
    result = measured(context, url, thresholds=("ttft.p50 < 5s", "throughput > 1k"), objectives=("ttft < 5s",))
    (entry,) = result.entries
    assert entry.requests.done == entry.requests.scheduled == 16
    assert entry.ttft_ms.p50 is not None
    assert FIRST <= entry.ttft_ms.p50 < 5 * FIRST
    assert entry.tpot_ms.p50 == pytest.approx(1000 / RATE, rel=0.3)
    assert entry.itl_ms.n % 9 == 0
    assert entry.itl_ms.n >= 8 * 9
    assert entry.token_counts == "server"
    assert entry.served_model == "calibrated"
    assert entry.goodput_requests_per_second is not None
    assert [threshold.passed for threshold in result.thresholds] == [True, False]
    assert result.exit_code == 3
    timeline = result.timelines[entry.name]
    assert timeline.status == ("done",) * 16
    assert sum(timeline.measured) == len(result.samples[entry.name]["ttft_ms"]) == entry.ttft_ms.n
    assert entry.ttft_ms.p50 in result.samples[entry.name]["ttft_ms"]
    assert timeline.tokens == (10,) * 16
    assert entry.completion_tokens == 160
    for due, sent, first, last in zip(timeline.due, timeline.sent, timeline.first, timeline.last, strict=True):
        assert None not in (sent, first, last)
        assert 0 <= due <= (sent or 0) < (first or 0) < (last or 0) <= result.seconds
    assert entry.server.host_bytes is not None, "the process that listens at the address is known"
    assert any("459" in warning for warning in entry.warnings)
    events = [SecondEvent.parse(data) for kind, data in context.details if kind == SecondEvent.kind]
    assert events
    assert events[-1] is not None
    assert events[-1].done == 16


def test_a_sweep_finds_more_throughput_at_more_load(context: RecordingContext, url: str) -> None:
    (entry,) = measured(context, url, load="sweep", levels=(1, 4, 16), warmup=0).entries
    assert [level.level for level in entry.levels] == [1, 4, 16]
    speeds = [level.throughput_tokens_per_second or 0 for level in entry.levels]
    assert speeds[0] < speeds[1] < speeds[2]
    assert entry.knee == 16
    assert entry.throughput_tokens_per_second == max(speeds)


def test_a_rate_that_cannot_be_sent_is_said(context: RecordingContext, url: str) -> None:
    (entry,) = measured(context, url, load="poisson", rate=1000.0, concurrency=2, requests=12).entries
    assert any("was not reached" in warning for warning in entry.warnings)
    assert any("waited in the client" in warning for warning in entry.warnings)


def test_a_load_ends_with_its_time_and_keeps_what_it_has(context: RecordingContext, url: str) -> None:
    (entry,) = measured(context, url, load="constant", rate=10.0, requests=200, duration=1.5, concurrency=None).entries
    assert entry.requests.done >= 5
    assert entry.requests.unsent > 100
    assert any("not sent before" in warning for warning in entry.warnings)


@pytest.mark.parametrize(
    ("values", "word"),
    [
        ({"model": "http://127.0.0.1:9"}, "no answer from"),
        ({"served_model": "other"}, "serves calibrated"),
        ({"engine": "nobody"}, "unknown engine"),
        ({"thresholds": ("fast",)}, "cannot be read"),
        ({"objectives": ("ttft.p95 < 3",)}, "objective"),
        ({"key_env": "LLMOPT_NO_SUCH_KEY"}, "LLMOPT_NO_SUCH_KEY, which should hold"),
        ({"prompts": "/does/not/exist.jsonl"}, "cannot read"),
    ],
)
def test_what_cannot_be_measured_is_refused(context: RecordingContext, url: str, values: dict[str, Any], word: str) -> None:
    with pytest.raises(RequestError, match=word):
        measured(context, **({"url": url} | ({"url": values.pop("model")} if "model" in values else {})), **values)


def test_a_server_of_another_kind_is_refused(context: RecordingContext) -> None:
    with refusing("a list") as other, pytest.raises(RequestError, match="does not list its models"):
        measured(context, other.url)


def test_a_model_is_not_given_to_an_engine_that_is_only_attached_to() -> None:
    card = resolve("bundled:base").card()
    with pytest.raises(RequestError, match="give the address"):
        check(BenchmarkSpec(model="bundled:base", engine="openai"), card)


def test_the_log_of_a_run_holds_no_key(context: RecordingContext, url: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("MY_KEY", "sk-secret")
    result = measured(context, url, key_env="MY_KEY", requests=2)
    assert "sk-secret" not in result.model_dump_json() + repr(context.lines) + repr(context.details)


@pytest.mark.parametrize(
    ("steps", "lag", "said"),
    [((4,), 0.1, "8 streams at once exceed the 4 that the client can follow"), ((8, 64), 0.1, None), ((8, 64), 0.9, "more than 5% of the")],
)
def test_a_report_says_where_the_client_may_be_what_was_measured(
    context: RecordingContext, url: str, steps: tuple[int, ...], lag: float, said: str | None
) -> None:
    keep(Calibration(tuple(Step(count, 1, count, 0.05, lag, 50.0, 20.0, 0.5, 20.0) for count in steps)))
    (entry,) = measured(context, url).entries
    found = [warning for warning in entry.warnings if "client" in warning and "waited" not in warning]
    assert len(found) == (said is not None)
    assert said is None or said in found[0]
    assert entry.client_lag_ms == (lag if 8 in steps else None)
