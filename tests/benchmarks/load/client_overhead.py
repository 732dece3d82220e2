"""What the load's own client adds to what it measures: `python -m tests.benchmarks client_overhead [--rounds N]`.

A server of known times in a process of its own (first token after 50 ms, 50 token/s a stream) stamps each piece and knows how late it was itself:
the truth that a client is held against is what the server really did to it. `llmopt benchmark`, guidellm and aiperf send the same load one after
another, each as a person would call it; guidellm and aiperf take part where LLMOPT_PEER_GUIDELLM and LLMOPT_PEER_AIPERF name their Pythons. This
program's time to first token is from the moment at which a request was due, and that is what its own bar is on; theirs is from the sending, so that
tools are compared by it. The distance of a tool from the truth is the larger of its errors of the medians of time to first token from the sending and
of inter-token latency.

Processor time a token is that of the client's processes and of the process that takes the answers apart, while the load runs.
The ceiling of the machine is found, and a load beyond it has to carry the warning.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import median
from typing import Any

from core.benchmark.calibrate.calibrate import calibrated_server
from core.benchmark.client.load import Load, run_load
from core.benchmark.client.request import Request, body_of
from core.benchmark.drive.bench import workers_for
from core.engine import Endpoint
from tests.benchmarks.load._load_tools import LLMOPT, OURS, ROOT, Measured, Streams, ToolFailed, peers, run
from tests.benchmarks.report import Bar, record

TOKENS = 100
STREAMS = (64, 128)
TTFT_BAR = {64: 10.0, 128: 25.0}
"""Percent of the truth."""
ITL_BAR = {64: 3.0, 128: 5.0}
CPU_BAR = 80.0
"""Microseconds a token."""
_MOST = 2048
"""Streams with which the warning is looked for."""


def main(arguments: list[str] | None = None) -> bool:
    """Measure, print, record."""
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks client_overhead", description=__doc__)
    parser.add_argument("--rounds", type=int, default=5, help="answers of each stream")
    parser.add_argument("--streams", type=int, nargs="*", default=STREAMS, help="streams at once")
    chosen = parser.parse_args(arguments)
    figures: dict[str, Any] = {"answers_of_a_stream": chosen.rounds, "tokens_of_an_answer": TOKENS}
    bars: dict[str, Bar] = {}
    for number, count in enumerate(chosen.streams):
        load = Streams(count, count * chosen.rounds, TOKENS)
        for found, held in (compared(load, backwards=bool(number % 2)), processor_time(load)):
            figures |= found
            bars |= held
    found, held = ceiling()
    return record("client_overhead", figures | found, bars | held)


def compared(load: Streams, *, backwards: bool) -> tuple[dict[str, Any], dict[str, Bar]]:
    """Every tool under one load; the order is turned around so that none has always the warmer machine."""
    tools = [OURS, *peers()]
    measured: dict[str, Measured] = {}
    figures: dict[str, Any] = {}
    for tool in reversed(tools) if backwards else tools:
        try:
            measured[tool.name] = run(tool, load)
        except ToolFailed as error:
            figures[f"{load.count}_{tool.name}_failed"] = str(error)
    for tool in tools:
        if tool.name in measured:
            figures |= _figures(f"{load.count}_{tool.name}", measured[tool.name], load)
    return figures, _bars(load, measured, figures, [tool.name for tool in tools[1:]])


def _figures(name: str, measured: Measured, load: Streams) -> dict[str, Any]:
    seen, truth = measured.seen, measured.truth
    figures: dict[str, Any] = {
        f"{name}_version": measured.version,
        f"{name}_requests_done": seen.done,
        f"{name}_ttft_p50_true_ms": truth["ttft_p50_ms"],
    }
    if measured.ttft_due_error is not None:
        figures |= {f"{name}_ttft_p50_ms": seen.ttft_due, f"{name}_ttft_error_percent": 100 * measured.ttft_due_error}
    if measured.gap_error is not None:
        figures |= {f"{name}_itl_p50_ms": seen.gap, f"{name}_itl_p50_true_ms": truth["itl_p50_ms"]}
        figures |= {f"{name}_itl_error_percent": 100 * measured.gap_error}
    return figures | {
        f"{name}_ttft_from_sending_p50_ms": seen.ttft,
        f"{name}_ttft_from_sending_error_percent": 100 * measured.ttft_error,
        f"{name}_mean_gap_p50_ms": seen.mean_gap,
        f"{name}_mean_gap_p50_true_ms": truth["tpot_p50_ms"],
        f"{name}_mean_gap_error_percent": 100 * measured.mean_gap_error,
        f"{name}_distance_percent": 100 * measured.distance,
        f"{name}_server_late_p99_ms": truth["late_p99_ms"],
    }


def _bars(load: Streams, measured: dict[str, Measured], figures: dict[str, Any], others: list[str]) -> dict[str, Bar]:
    """Adds how near this program is, as a share of each other's distance, to `figures`."""
    count = load.count
    bars: dict[str, Bar] = {f"{count}_{name}_requests_done": ("==", load.requests) for name in ("llmopt", *others)}
    if count in TTFT_BAR:
        bars |= {f"{count}_llmopt_ttft_error_percent": ("<=", TTFT_BAR[count]), f"{count}_llmopt_itl_error_percent": ("<=", ITL_BAR[count])}
    ours = measured.get("llmopt")
    for name in others:
        key = f"{count}_distance_as_share_of_{name}"
        bars[key] = ("<", 1.0)
        if ours is not None and name in measured:
            figures[key] = ours.distance / max(measured[name].distance, 1e-9)
    return bars


def processor_time(load: Streams) -> tuple[dict[str, Any], dict[str, Bar]]:
    """Of the client's processes and of the one that takes answers apart, from the first request to the last."""
    with calibrated_server() as url:
        target = Endpoint(url, "calibrated")
        body = body_of(target, "calibrate " * 64, load.tokens)
        requests = [Request(index, 0, body) for index in range(load.requests)]
        before = time.process_time()
        carried = run_load(Load(target, requests, concurrency=load.count, closed=True, workers=workers_for(load.count)))
        apart = time.process_time() - before
    done = [outcome for outcome in carried.outcomes if outcome.status == "done"]
    tokens = sum(outcome.tokens or 0 for outcome in done)
    name = f"{load.count}_cpu_us_per_token"
    figures = {
        f"{load.count}_cpu_us_per_token_sending_and_stamping": 1e6 * carried.cpu_seconds / max(tokens, 1),
        f"{load.count}_cpu_us_per_token_taking_apart": 1e6 * apart / max(tokens, 1),
        name: 1e6 * (carried.cpu_seconds + apart) / tokens if len(done) == load.requests else None,
        f"{load.count}_queue_p50_ms": median((outcome.sent - outcome.due) / 1e6 for outcome in done if outcome.sent),
    }
    return figures, {name: ("<=", CPU_BAR)}


def ceiling() -> tuple[dict[str, Any], dict[str, Bar]]:
    """What `llmopt benchmark --calibrate` finds, and whether a report of a load beyond that says so."""
    with tempfile.TemporaryDirectory() as home:
        environment = os.environ | {"LLMOPT_HOME": home, "PYTHONPATH": str(ROOT)}
        found = _json(["benchmark", "--calibrate", "--json"], environment)
        streams = found["ceiling_streams"] or 0
        beyond = 2 * max(streams, 4)
        figures: dict[str, Any] = {"ceiling_streams": streams, "ceiling_steps": len(found["steps"])}
        if beyond > _MOST:
            return figures, {"ceiling_streams": (">=", 1)}
        with calibrated_server() as url:
            report = _json(["benchmark", url, "--concurrency", str(beyond), "--requests", str(beyond), "--output-tokens", "8", "--json"], environment)
    figures["warnings_beyond_the_ceiling"] = sum(
        f"exceed the {streams} that the client can follow" in each for each in report["entries"][0]["warnings"]
    )
    return figures, {"ceiling_streams": (">=", 1), "warnings_beyond_the_ceiling": ("==", 1)}


def _json(arguments: list[str], environment: dict[str, str]) -> Any:
    done = subprocess.run([*LLMOPT, *arguments], cwd=Path(environment["LLMOPT_HOME"]), env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        print(done.stderr[-2000:])
        sys.exit(1)
    return json.loads(done.stdout)


if __name__ == "__main__":
    sys.exit(not main())
