"""Every request is accounted for, whatever the server does, and nothing waits beyond its time."""

from __future__ import annotations

import os
import socket
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from types import SimpleNamespace

import pytest

from core.benchmark.client import client
from core.benchmark.client.client import Patience
from core.benchmark.client.load import Load, run_load
from core.benchmark.client.outcome import Outcome
from core.benchmark.client.raw import Raw
from core.benchmark.client.request import Request, body_of
from core.benchmark.workload import schedule
from core.engine import Endpoint
from core.errors import RequestError
from tests.core.benchmark.scripted import ScriptedServer, scripted_server


@pytest.fixture
def server() -> Iterator[ScriptedServer]:
    with scripted_server() as made:
        yield made


def requests(target: Endpoint, words: list[str], times: list[float] | None = None) -> list[Request]:
    due = [0.0] * len(words) if times is None else times
    return [Request(index, round(at * 1e9), body_of(target, f"{word} {index}", 8)) for index, (word, at) in enumerate(zip(words, due, strict=True))]


def sent(server: ScriptedServer, words: list[str], **options: object) -> list[Outcome]:
    target = Endpoint(server.url, "m")
    options = {"concurrency": 4, "closed": True, "patience": Patience(total=1.0, silence=0.5, connect=1.0)} | options
    return run_load(Load(target, requests(target, words), **options)).outcomes  # type: ignore[arg-type]


def test_an_answer_comes_whole_with_its_times(server: ScriptedServer) -> None:
    (outcome,) = sent(server, ["ok"])
    assert (outcome.status, outcome.text, outcome.tokens, outcome.http) == ("done", "abc", 3, 200)
    stamps = [outcome.due, outcome.free, outcome.sent, *(piece.t for piece in outcome.pieces), outcome.ended]
    assert all(stamp is not None for stamp in stamps)
    assert stamps == sorted(stamps)  # type: ignore[type-var]
    assert server.requests[0]["stream_options"] == {"include_usage": True}


@pytest.mark.parametrize(
    ("word", "status", "reason"),
    [
        ("reset", "failed", "closed the connection mid-response"),
        ("hang", "timed_out", "no data for 0.5 s"),
        ("loris", "timed_out", "no complete response within 1 s"),
        ("busy", "failed", "HTTP 429: slow down"),
        ("broken", "failed", "HTTP 500"),
        ("page", "failed", "check its address"),
        ("latin", "failed", "not UTF-8"),
        ("garbage", "failed", "invalid JSON"),
    ],
)
def test_each_fault_is_told_from_the_others(server: ScriptedServer, word: str, status: str, reason: str) -> None:
    (outcome,) = sent(server, [word])
    assert outcome.status == status
    assert reason in outcome.reason
    assert "\x1b" not in outcome.reason


def test_what_was_turned_away_is_sent_again_when_asked_for(server: ScriptedServer) -> None:
    patience = Patience(total=2.0, silence=1.0, retries=2)
    once, never = sent(server, ["later", "busy"], patience=patience)
    assert (once.status, once.retries, once.text) == ("done", 1, "abc")
    assert (never.status, never.retries) == ("failed", 2)


def test_nobody_listens() -> None:
    with socket.create_server(("127.0.0.1", 0)) as unused:
        port = unused.getsockname()[1]
    target = Endpoint(f"http://127.0.0.1:{port}", "m")
    outcomes = run_load(Load(target, requests(target, ["ok"] * 5), concurrency=2, closed=True)).outcomes
    assert [outcome.status for outcome in outcomes] == ["failed"] * 5
    assert "Connection refused" in outcomes[0].reason


@pytest.mark.parametrize("workers", [1, 3])
def test_requests_add_up_and_connections_are_as_many_as_the_concurrency(server: ScriptedServer, workers: int) -> None:
    words = (["ok"] * 9 + ["broken"]) * 30
    outcomes = sent(server, words, concurrency=6, workers=workers)
    assert Counter(outcome.status for outcome in outcomes) == {"done": 270, "failed": 30}
    assert [outcome.index for outcome in outcomes] == list(range(300))
    assert server.opened <= 6
    assert sum(outcome.connected for outcome in outcomes) == server.opened


def test_no_more_than_the_concurrency_is_under_way(server: ScriptedServer) -> None:
    outcomes = sent(server, ["ok"] * 60, concurrency=5, workers=2)
    edges = sorted(edge for outcome in outcomes for edge in ((outcome.sent, 1), (outcome.pieces[-1].t, -1)))
    under_way = most = 0
    for _, change in edges:
        under_way += change
        most = max(most, under_way)
    assert 4 <= most <= 5


def test_requests_are_sent_at_their_times(server: ScriptedServer) -> None:
    target = Endpoint(server.url, "m")
    times = schedule.poisson(100, 60, seed=1).tolist()
    carried = run_load(Load(target, requests(target, ["ok"] * 60, times), workers=2))
    late = [(outcome.sent - carried.begin) / 1e9 - at for outcome, at in zip(carried.outcomes, times, strict=True) if outcome.sent]
    assert len(late) == 60
    assert min(late) >= 0
    assert sorted(late)[30] < 0.05


def test_waiting_for_a_slot_counts_from_the_time_that_was_due(server: ScriptedServer) -> None:
    target = Endpoint(server.url, "m")
    outcomes = run_load(Load(target, requests(target, ["slow"] * 4), concurrency=1)).outcomes
    firsts = [(outcome.pieces[0].t - outcome.due) / 1e9 for outcome in outcomes]
    for turn, first in enumerate(sorted(firsts)):
        assert 0.4 * turn <= first < 0.4 * turn + 1.0


def test_a_server_that_is_killed_leaves_nobody_waiting(server: ScriptedServer) -> None:
    threading.Timer(0.6, server.kill).start()
    began = time.monotonic()
    outcomes = sent(server, ["slow"] * 40, concurrency=4, patience=Patience(total=5, silence=2, connect=1))
    assert time.monotonic() - began < 10
    counts = Counter(outcome.status for outcome in outcomes)
    assert counts["failed"] > 20
    assert sum(counts.values()) == 40


def test_a_load_that_is_stopped_keeps_what_it_has(server: ScriptedServer) -> None:
    target = Endpoint(server.url, "m")
    told: list[Outcome] = []
    began = time.monotonic()
    load = Load(target, requests(target, ["slow"] * 30 + ["hang"]), concurrency=3, closed=True)
    outcomes = run_load(load, told.append, stopped=lambda: len(told) >= 5).outcomes
    assert time.monotonic() - began < 8
    counts = Counter(outcome.status for outcome in outcomes)
    assert counts["done"] >= 5
    assert counts["unsent"] >= 15
    assert 1 <= counts["cancelled"] <= 3
    assert sum(counts.values()) == 31


def test_a_key_is_sent_and_shown_nowhere(server: ScriptedServer) -> None:
    target = Endpoint(server.url, "m", key="sk-secret")
    outcomes = run_load(Load(target, requests(target, ["ok"]), concurrency=1, closed=True)).outcomes
    assert "Authorization: Bearer sk-secret" in server.heads[0]
    assert "sk-secret" not in repr(target) + repr(outcomes)


@pytest.mark.parametrize(
    ("options", "word"), [({"requests": []}, "nothing to send"), ({"closed": True}, "needs a concurrency"), ({"concurrency": 0}, "concurrency = 0")]
)
def test_what_cannot_be_carried_is_refused(options: dict[str, object], word: str) -> None:
    target = Endpoint("http://127.0.0.1:1", "m")
    with pytest.raises(RequestError, match=word):
        run_load(Load(**({"target": target, "requests": requests(target, ["ok"])} | options)))  # type: ignore[arg-type]


@pytest.mark.skipif(sys.platform != "linux", reason="threads have a niceness of their own on Linux")
def test_answers_are_taken_apart_by_a_thread_that_stands_back(server: ScriptedServer, monkeypatch: pytest.MonkeyPatch) -> None:
    whole, seen = Raw.outcome, []

    def outcome(raw: Raw, dialect: str) -> Outcome:
        seen.append(os.getpriority(os.PRIO_PROCESS, 0))
        return whole(raw, dialect)

    monkeypatch.setattr(Raw, "outcome", outcome)
    before = os.getpriority(os.PRIO_PROCESS, 0)
    sent(server, ["ok"])
    assert seen == [min(before + 10, 19)]
    assert os.getpriority(os.PRIO_PROCESS, 0) == before


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_an_answer_that_breaks_the_reader_leaves_nobody_waiting(server: ScriptedServer, monkeypatch: pytest.MonkeyPatch) -> None:
    def outcome(_raw: Raw, _dialect: str) -> Outcome:
        raise ArithmeticError

    monkeypatch.setattr(Raw, "outcome", outcome)
    assert [each.status for each in sent(server, ["ok"] * 3)] == ["failed"] * 3


@pytest.mark.parametrize(
    ("asked", "least", "most"),
    [("0.25", 0.25, 0.25), ("-3", 0.0, 0.0), ("soon", 1.0, 1.0), (None, 1.0, 1.0), ("date", 7.0, 12.0), ("Thu, 01 Jan 1970 00:00:00 GMT", 0.0, 0.0)],
)
def test_a_server_may_ask_for_patience_by_a_number_or_a_date(asked: str | None, least: float, most: float) -> None:
    when = format_datetime(datetime.now(UTC) + timedelta(seconds=10), usegmt=True)
    headers = {} if asked is None else {"Retry-After": when if asked == "date" else asked}
    assert least <= client._retry_after(SimpleNamespace(headers=headers)) <= most  # type: ignore[arg-type]
