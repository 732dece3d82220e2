"""What is left of a benchmark that is paused, stopped, or whose server ends."""

from __future__ import annotations

import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from core.benchmark.client.outcome import Outcome
from core.benchmark.drive.reporter import LoadReporter
from core.benchmark.events import ErrorsEvent, SecondEvent
from core.benchmark.result import BenchmarkResult, RequestCounts
from core.benchmark.run import run
from core.benchmark.server.target import Target
from core.benchmark.spec import BenchmarkSpec
from core.engine import Endpoint, look_up
from core.errors import Cancelled, EarlyEnd, RunFailed
from tests.core.conftest import RecordingContext

FIRST, RATE, TOKENS = 40.0, 200.0, 20
SECONDS = FIRST / 1000 + (TOKENS - 1) / RATE


class PausingContext(RecordingContext):
    """Waits when it is told to."""

    def __init__(self, context: RecordingContext) -> None:
        super().__init__(context.artifacts)
        self.pause_when: Callable[[PausingContext], bool] = lambda context: False

    def pause_asked(self) -> bool:
        return self.pause_when(self)

    @property
    def seconds(self) -> list[SecondEvent]:
        found = [SecondEvent.parse(data) for kind, data in self.details if kind == SecondEvent.kind]
        return [each for each in found if each is not None]


@pytest.fixture
def pausing(context: RecordingContext) -> PausingContext:
    return PausingContext(context)


@contextmanager
def known_server() -> Iterator[subprocess.Popen[bytes]]:
    server = subprocess.Popen([sys.executable, "-m", "core.benchmark.calibrate.server", "0", str(FIRST), str(RATE)], stdout=subprocess.PIPE)
    try:
        yield server
    finally:
        server.kill()
        server.wait()


def address(server: subprocess.Popen[bytes]) -> str:
    assert server.stdout is not None
    return f"http://127.0.0.1:{int(server.stdout.readline())}"


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    with known_server() as server:
        yield address(server)


def spec_of(url: str, **options: Any) -> BenchmarkSpec:
    spec = BenchmarkSpec.parse({"model": url, "requests": 120, "output_tokens": TOKENS, "concurrency": 4, "warmup": 0} | options)
    assert isinstance(spec, BenchmarkSpec)
    return spec


def stopped(spec: BenchmarkSpec, context: RecordingContext) -> tuple[EarlyEnd, BenchmarkResult]:
    with pytest.raises(EarlyEnd) as error:
        run(spec, context)
    assert isinstance(error.value.result, BenchmarkResult)
    return error.value, error.value.result


def wait_for(context: RecordingContext, answers: int) -> None:
    """Until the load has reported so many answers."""
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        if any(data["done"] >= answers for kind, data in list(context.details) if kind == SecondEvent.kind):
            return
        time.sleep(0.02)


def adds_up(counts: RequestCounts) -> bool:
    return counts.done + counts.failed + counts.timed_out + counts.unsent == counts.scheduled and counts.cancelled <= counts.unsent


def test_the_figures_of_a_load_that_was_paused_are_those_of_one_that_was_not(pausing: PausingContext, url: str) -> None:
    asked: list[float] = []

    def wait(context: PausingContext) -> bool:
        if not asked and context.seconds and context.seconds[-1].done >= 20:
            asked.append(time.monotonic())
        return bool(asked) and time.monotonic() < asked[0] + 1.2

    pausing.pause_when = wait
    (entry,) = run(spec_of(url, requests=80), pausing).entries
    (pause,) = entry.levels[0].pauses
    assert pause.seconds == pytest.approx(1.2, abs=0.4)
    assert entry.requests.done == 80
    assert entry.throughput_tokens_per_second == pytest.approx(4 * TOKENS / SECONDS, rel=0.15)
    assert (entry.e2el_ms.most or 0) < 1000, "no latency has the pause in it"
    assert any(warning.startswith("the load was paused once, ") for warning in entry.warnings)
    waiting = [each for each in pausing.seconds if each.paused is not None]
    assert waiting
    assert all(each.tokens_per_second is None for each in waiting)
    assert max(each.running for each in pausing.seconds) == 4
    assert (pausing.seconds[-1].paused_before or 0) == pytest.approx(pause.seconds, abs=0.3)
    assert any(line.startswith("resumed after a pause") for line in pausing.lines)
    assert any(label.startswith("paused, ") for _, _, label in pausing.steps)


@pytest.mark.slow
def test_time_that_is_paused_is_no_part_of_the_duration(pausing: PausingContext, url: str) -> None:
    began = time.monotonic()
    pausing.pause_when = lambda context: bool(context.seconds) and time.monotonic() < began + 3
    (entry,) = run(spec_of(url, requests=400, duration=1.6), pausing).entries
    assert time.monotonic() - began > 3.2
    assert entry.requests.unsent > 100
    assert entry.levels[0].pauses
    assert adds_up(entry.requests)


def test_what_was_answered_before_the_person_stopped_is_kept(context: RecordingContext, url: str) -> None:
    context.cancel_when = lambda held: sum(kind == SecondEvent.kind for kind, _ in held.details) >= 2
    error, result = stopped(spec_of(url, requests=1000, thresholds=("ttft.p50 < 5s",), quality_tokens=64), context)
    assert isinstance(error, Cancelled)
    (entry,) = result.entries
    assert adds_up(entry.requests)
    assert 20 < entry.requests.done < 1000
    assert 1 <= entry.requests.cancelled <= 4
    assert entry.ttft_ms.p50 == pytest.approx(FIRST, rel=0.5)
    assert entry.throughput_tokens_per_second == pytest.approx(4 * TOKENS / SECONDS, rel=0.15)
    assert str(error) == f"the figures of {entry.requests.done} of 1000 requests are kept"
    assert entry.warnings[0].startswith("stopped by the user: the figures cover the")
    assert result.stopped == entry.warnings[0]
    assert entry.errors == ()
    assert BenchmarkResult.model_validate(result.model_dump(mode="json")) == result


@pytest.mark.slow
def test_a_sweep_that_is_stopped_keeps_the_levels_it_has(context: RecordingContext, url: str) -> None:
    context.cancel_when = lambda held: any(data["level"] == 4 for kind, data in held.details if kind == SecondEvent.kind)
    _, result = stopped(spec_of(url, load="sweep", levels=(1, 4, 8), requests=8), context)
    (entry,) = result.entries
    assert [level.level for level in entry.levels] in ([1], [1, 4])
    assert entry.levels[0].requests.done == 8
    assert all(adds_up(level.requests) for level in entry.levels)


def test_nothing_is_kept_of_a_load_that_answered_nothing(context: RecordingContext, url: str) -> None:
    context.cancel_when = lambda _: True
    with pytest.raises(Cancelled) as error:
        run(spec_of(url), context)
    assert error.value.result is None


@pytest.mark.parametrize(
    ("number", "words"),
    [
        (signal.SIGKILL, "the server was ended by SIGKILL during the load: by kill -9, or out of memory"),
        pytest.param(signal.SIGSEGV, "was ended by SIGSEGV during the load; its last output: loading | Segmentation fault", marks=pytest.mark.slow),
    ],
)
def test_a_server_that_ends_is_told_with_its_last_words_and_costs_only_what_it_did_not_answer(
    context: RecordingContext, monkeypatch: pytest.MonkeyPatch, number: signal.Signals, words: str
) -> None:
    """One that was started for the load: there is nobody left to ask."""
    with known_server() as server:
        url = address(server)
        (context.artifacts / "server.log").write_text("loading\nSegmentation fault \x1b[31m(core dumped)\n")

        @contextmanager
        def opened(*_: Any) -> Iterator[Target]:
            yield Target(look_up("openai"), Endpoint(url, "calibrated"), "a server", server.pid)

        monkeypatch.setattr("core.benchmark.drive.measure.opened", opened)
        threading.Thread(target=lambda: (wait_for(context, 6), server.send_signal(number))).start()
        error, result = stopped(spec_of(url, requests=2000, load="constant", rate=30.0, concurrency=None), context)
    assert isinstance(error, RunFailed)
    assert words in str(error)
    assert "\x1b" not in str(error)
    counts = result.entries[0].requests
    assert adds_up(counts)
    assert counts.done > 5
    assert counts.unsent > 1500, "the schedule had a minute to go"
    assert "requests are kept" in str(error)


def test_a_server_elsewhere_that_dies_costs_the_requests_it_did_not_answer(context: RecordingContext) -> None:
    with known_server() as server:
        url = address(server)
        threading.Thread(target=lambda: (wait_for(context, 6), server.kill())).start()
        (entry,) = run(spec_of(url, requests=400, timeout=5.0), context).entries
    assert adds_up(entry.requests)
    assert entry.requests.done > 5
    assert entry.requests.failed > 100
    told = [ErrorsEvent.parse(data) for kind, data in context.details if kind == ErrorsEvent.kind]
    assert told
    assert told[-1] is not None
    assert sum(count for _, _, count in told[-1].reasons) + told[-1].others == entry.requests.failed
    assert any("Connection refused" in reason for _, reason, _ in told[-1].reasons)


def test_what_ended_since_it_was_counted_is_not_under_way(context: RecordingContext) -> None:
    live = LoadReporter(context, 10, 10, 0, None, lambda: None)
    live.on_look(4, paused=True)
    for index in range(10):
        live.on_outcome(Outcome(index, "done", 0))
    told = [SecondEvent.parse(data) for _, data in context.details]
    assert [(each.done, each.running, each.sent) for each in told if each is not None] == [(0, 4, 4), (10, 0, 10)]


def test_errors_are_counted_by_their_reason(context: RecordingContext) -> None:
    live = LoadReporter(context, 30, 30, 0, None, lambda: None)
    for index in range(30):
        live.on_outcome(Outcome(index, "failed" if index % 3 else "timed_out", 0, reason=f"reason {index % 10}"))
    live.close()
    (told,) = [ErrorsEvent.parse(data) for kind, data in context.details if kind == ErrorsEvent.kind]
    assert told is not None
    assert len(told.reasons) == 8
    assert sum(count for _, _, count in told.reasons) + told.others == 30
    assert len(context.lines) == 5


@pytest.mark.parametrize("data", [{}, {"reasons": "x", "others": 0}, {"reasons": [["a", "b"]], "others": 0}, {"reasons": [], "others": float("inf")}])
def test_what_is_not_an_event_of_errors_is_none(data: dict[str, Any]) -> None:
    assert ErrorsEvent.parse(data) is None


def test_text_of_servers_is_safe_to_show() -> None:
    told = ErrorsEvent.parse({"reasons": [["failed", "\x1b[2Jgone\nnow", 3]], "others": 0})
    assert told is not None
    assert told.reasons[0][1].isprintable()
