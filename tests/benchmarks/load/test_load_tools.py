"""What the benchmarks of the load's client read and reckon."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from core.benchmark.workload import schedule
from tests.benchmarks.load import _load_tools, faults, poisson_workers
from tests.benchmarks.load._load_tools import OURS, Measured, Seen, Streams, Tool, ToolFailed, peers, run
from tests.benchmarks.report import Bar, record

TRUTH = {"ttft_p50_ms": 50.0, "itl_p50_ms": 20.0, "tpot_p50_ms": 20.0}


def test_the_distance_is_the_larger_error_and_the_better_kind_of_gap_counts() -> None:
    assert Measured(Seen(1, 55.0, 26.0, 20.2), TRUTH, "1").distance == pytest.approx(0.1)
    assert Measured(Seen(1, 50.0, 26.0, 21.0), TRUTH, "1").distance == pytest.approx(0.05)
    assert Measured(Seen(1, 45.0, None, 20.0), TRUTH, "1").distance == pytest.approx(0.1)
    assert Measured(Seen(1, 50.0, None, 20.0, 60.0), TRUTH, "1").ttft_due_error == pytest.approx(0.2)


def test_reports_of_the_tools_are_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("GUIDELLM", "AIPERF"):
        monkeypatch.setenv(f"LLMOPT_PEER_{name}", sys.executable)
    guidellm, aiperf = peers()
    metrics = {
        "request_totals": {"successful": 9, "errored": 1},
        "time_to_first_token_ms": {"successful": {"percentiles": {"p50": 51.5}}},
        "inter_token_latency_ms": {"successful": {"percentiles": {"p50": 20.5}}},
    }
    (tmp_path / "report.json").write_text(json.dumps({"benchmarks": [{"metrics": metrics}]}))
    assert guidellm.read(tmp_path) == Seen(9, 51.5, None, 20.5)
    (tmp_path / "report").mkdir()
    report = {name: {"p50": at} for name, at in (("time_to_first_token", 52.0), ("inter_chunk_latency", 19.0), ("inter_token_latency", 20.0))}
    counts = {"completed_request_count": {"avg": 10.0}, "error_request_count": {"avg": 1.0}}
    (tmp_path / "report/profile_export_aiperf.json").write_text(json.dumps(report | counts))
    assert aiperf.read(tmp_path) == Seen(9, 52.0, 19.0, 20.0)
    assert str(Path(sys.executable).with_name("aiperf")) == aiperf.command("http://x", Streams(1, 1, 1), tmp_path)[0]


def test_no_peer_is_assumed(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("GUIDELLM", "AIPERF"):
        monkeypatch.delenv(f"LLMOPT_PEER_{name}", raising=False)
    assert peers() == []


@pytest.mark.parametrize(
    ("code", "words"), [("import sys; print('no such flag'); sys.exit(3)", "ended with 3: no such flag"), ("", "not understood")]
)
def test_a_tool_that_fails_says_so(code: str, words: str) -> None:
    tool = Tool("tool", lambda _url, _load, _folder: (sys.executable, "-c", code), OURS.read, {}, lambda: "1")
    with pytest.raises(ToolFailed, match=words):
        run(tool, Streams(1, 1, 1))


def test_a_tool_that_does_not_end_is_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_load_tools, "PATIENCE", 0.5)
    tool = Tool("tool", lambda _url, _load, _folder: (sys.executable, "-c", "import time; time.sleep(60)"), OURS.read, {}, lambda: "1")
    with pytest.raises(ToolFailed, match="did not end within"):
        run(tool, Streams(1, 1, 1))


def test_the_dispersion_of_poisson_arrivals_is_one_and_that_of_workers_that_draw_alike_is_not() -> None:
    assert poisson_workers.dispersion(schedule.poisson(200, 6000, seed=1).tolist()) == pytest.approx(1, abs=0.1)
    alike = schedule.poisson(20, 600, seed=1)
    assert poisson_workers.dispersion(np.repeat(alike, 10).tolist()) > 5
    assert poisson_workers.dispersion(schedule.constant(200, 6000).tolist()) < 0.1


def test_one_request_in_ten_meets_a_fault_of_each_kind_in_turn() -> None:
    wanted = faults.wishes(10_000)
    assert sum(fault is not faults.WELL for fault in wanted) == 1000
    assert {fault.word for fault in wanted if fault is not faults.WELL} == {fault.word for fault in faults.FAULTS}


@pytest.mark.slow
@pytest.mark.parametrize("part", [faults.every_kind, faults.server_killed, faults.client_stopped, faults.nobody_listens, faults.program_cancelled])
def test_a_small_load_with_faults_meets_its_bars(part: Callable[[int], tuple[dict[str, Any], dict[str, Bar]]], tmp_path: Path) -> None:
    figures, bars = part(1500)
    assert record("small", figures, bars, results=tmp_path)
