"""Looks at a server whose figures are known, and at who listens at an address."""

from __future__ import annotations

import http.server
import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace

import psutil
import pytest

from core.benchmark.analysis.timeline import prefix_found, totals_of
from core.benchmark.client.outcome import Outcome, Usage
from core.benchmark.server import watch as watch_module
from core.benchmark.server.listener import listening
from core.benchmark.server.watch import Watch
from core.engine import Endpoint, ServerFigures
from engines.openai import OpenAi
from engines.vllm import Vllm

METRICS = """
# TYPE vllm:num_requests_running gauge
vllm:num_requests_running{{engine="0"}} {running}
# TYPE vllm:num_requests_waiting gauge
vllm:num_requests_waiting{{engine="0"}} {waiting}
# TYPE vllm:kv_cache_usage_perc gauge
vllm:kv_cache_usage_perc{{engine="0"}} {kv}
# TYPE vllm:prefix_cache_queries counter
vllm:prefix_cache_queries_total{{engine="0"}} {queries}
# TYPE vllm:prefix_cache_hits counter
vllm:prefix_cache_hits_total{{engine="0"}} {hits}
# TYPE vllm:spec_decode_num_draft_tokens counter
vllm:spec_decode_num_draft_tokens_total{{engine="0"}} {drafted}
# TYPE vllm:spec_decode_num_accepted_tokens counter
vllm:spec_decode_num_accepted_tokens_total{{engine="0"}} {accepted}
"""


class Metrics:
    """A server of nothing but `/metrics`."""

    def __init__(self) -> None:
        self.values = {"running": 0.0, "waiting": 0.0, "kv": 0.0, "queries": 0.0, "hits": 0.0, "drafted": 0.0, "accepted": 0.0}
        self.asked, self.speaks = 0, True
        outer = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                outer.asked += 1
                body = METRICS.format(**outer.values).encode() if outer.speaks else b"hello"
                self.send_response(200)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: object) -> None:
                pass

        self._server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.endpoint = Endpoint(f"http://127.0.0.1:{self._server.server_port}")
        threading.Thread(target=self._server.serve_forever, args=(0.01,), daemon=True).start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()


@pytest.fixture
def metrics() -> Iterator[Metrics]:
    server = Metrics()
    yield server
    server.close()


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watch_module, "_EVERY", 0.02)
    monkeypatch.setattr(watch_module, "_SOON", 0.01)


def wait_until(seen: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline and not seen():
        time.sleep(0.005)


def test_what_the_server_says_counts_from_the_mark(metrics: Metrics) -> None:
    metrics.values |= {"running": 99, "kv": 0.9, "queries": 1000, "hits": 1000, "drafted": 50, "accepted": 50}
    with Watch(Vllm(), metrics.endpoint, None) as watch:
        wait_until(lambda: watch.report().peak_running == 99)
        metrics.values |= {"running": 0, "kv": 0.0}
        watch.mark()
        metrics.values |= {"running": 8, "waiting": 3, "kv": 0.5, "queries": 1400, "hits": 1100, "drafted": 90, "accepted": 80}
        wait_until(lambda: watch.report().peak_kv_usage == 0.5)
        metrics.values |= {"running": 0, "waiting": 0, "kv": 0.0}
    report = watch.report()
    assert (report.peak_running, report.peak_waiting, report.peak_kv_usage) == (8, 3, 0.5)
    assert report.mean_running is not None
    assert 0 < report.mean_running <= 8
    assert report.looks >= 1
    assert report.prefix_hit_rate == pytest.approx(100 / 400)
    assert report.acceptance == pytest.approx(30 / 40)


def test_a_server_of_which_only_the_address_is_known_is_recognized_by_its_metrics(metrics: Metrics) -> None:
    metrics.values |= {"running": 4, "kv": 0.25, "hits": 3}
    figures = OpenAi().figures(metrics.endpoint)
    assert (figures.running, figures.kv_usage, figures.prefix_hits) == (4, 0.25, 3)


def test_a_server_without_metrics_that_are_known_is_asked_for_them_once(metrics: Metrics) -> None:
    metrics.speaks, engine = False, OpenAi()
    assert [engine.figures(metrics.endpoint) for _ in range(3)] == [ServerFigures()] * 3
    assert metrics.asked == 1


def test_a_server_that_began_anew_has_no_gains(metrics: Metrics) -> None:
    metrics.values |= {"queries": 1000, "hits": 900}
    with Watch(Vllm(), metrics.endpoint, None) as watch:
        watch.mark()
        metrics.values |= {"queries": 10, "hits": 5}
    assert watch.report().prefix_hit_rate is None


def test_counters_of_a_server_that_was_not_heard_before_the_load_are_not_believed(metrics: Metrics, monkeypatch: pytest.MonkeyPatch) -> None:
    engine = Vllm()
    heard = engine.figures
    monkeypatch.setattr(engine, "figures", lambda _endpoint: ServerFigures())
    with Watch(engine, metrics.endpoint, None) as watch:
        watch.mark()
        metrics.values |= {"queries": 1000, "hits": 900}
        monkeypatch.setattr(engine, "figures", heard)
    assert watch.report().prefix_hit_rate is None


def test_a_server_without_metrics_has_no_looks() -> None:
    with Watch(Vllm(), Endpoint("http://127.0.0.1:9"), None) as watch:
        watch.mark()
        time.sleep(0.1)
    report = watch.report()
    assert (report.peak_running, report.mean_running, report.looks) == (None, None, 0)


def test_the_process_that_listens_is_found_and_its_memory_told(metrics: Metrics) -> None:
    assert listening(metrics.endpoint.url) == os.getpid()
    assert listening(metrics.endpoint.url.replace("127.0.0.1", "localhost") + "/v1") == os.getpid()
    with Watch(Vllm(), metrics.endpoint, None) as watch:
        pass
    host = watch.report().host_bytes
    assert host is not None
    assert 0.2 < host / psutil.Process().memory_info().rss < 5


def test_of_a_server_of_several_processes_the_parent_is_found() -> None:
    """A child that inherits the socket listens at the same address."""
    code = (
        "import os, socket, sys, time\n"
        "s = socket.create_server(('127.0.0.1', 0))\n"
        "os.fork()\n"
        "print(s.getsockname()[1], flush=True) if os.getppid() == int(sys.argv[1]) else None\n"
        "sys.stdin.read()"
    )
    parent = subprocess.Popen([sys.executable, "-c", code, str(os.getpid())], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert parent.stdin is not None
    assert parent.stdout is not None
    with parent.stdin, parent.stdout:
        assert listening(f"http://127.0.0.1:{int(parent.stdout.readline())}") == parent.pid
    parent.wait(10)


def test_who_only_hands_connections_on_is_not_the_server(metrics: Metrics, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(psutil.Process, "name", lambda _process: "ssh")
    assert listening(metrics.endpoint.url) is None


def test_nobody_is_found_where_nobody_listens_or_elsewhere() -> None:
    with socket.create_server(("127.0.0.1", 0)) as held:
        free = held.getsockname()[1]
    assert listening(f"http://127.0.0.1:{free}") is None
    assert listening("http://192.0.2.1:80") is None
    assert listening("http://127.0.0.1:99999") is None
    assert listening("nonsense") is None


def outcome(prompt: int | None, cached: int | None, answer: int | None = 5) -> Outcome:
    return Outcome(0, "done", 0, usage=Usage(prompt, answer, cached))


def test_prefixes_are_told_by_the_usage_of_every_answer() -> None:
    assert prefix_found([outcome(100, 64), outcome(100, 0)]) == pytest.approx(0.32)
    assert prefix_found([outcome(100, 64), outcome(100, None)]) is None
    assert prefix_found([]) is None


def test_totals_are_those_of_all_or_not_known() -> None:
    failed = replace(outcome(None, None, None), status="failed")
    assert totals_of([outcome(100, None), outcome(20, None), failed]) == (120, 10)
    assert totals_of([outcome(100, None), outcome(None, None)]) == (None, 10)
    assert totals_of([]) == (None, None)
