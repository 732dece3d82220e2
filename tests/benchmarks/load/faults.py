"""Whether every request is accounted for whatever happens: `python -m tests.benchmarks faults [--requests N]`.

Each load has 10,000 requests. In the first every tenth meets a fault, of all kinds in turn, and each has to be told for what it is; in the second
the server is killed (SIGKILL) while it serves the same faults; in the third the client is stopped; in the fourth nobody listens; the last two are
`llmopt benchmark` itself, against a server that is killed, and cancelled. done + failed + timed out + unsent = scheduled has to hold in all, no
request may last longer than its time limits, and no load longer than its requests can.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from core.benchmark.analysis.figures import counts_of
from core.benchmark.client.client import Patience
from core.benchmark.client.load import Load, LoadResult, OnOutcome, run_load
from core.benchmark.client.outcome import Outcome
from core.benchmark.client.request import Request, body_of
from core.engine import Endpoint
from tests.benchmarks.report import Bar, record

ROOT = Path(__file__).parents[3]
LLMOPT = (sys.executable, "-c", "from tui.cli import main; raise SystemExit(main())")
REQUESTS = 10_000
CONCURRENCY = 64
WORKERS = 2
PATIENCE = Patience(total=3.0, silence=1.5, connect=1.5, retries=1)
SLACK = 1.0
"""Seconds that a request may end after its limit on a busy machine."""
LONGEST = 180.0
"""Seconds of a whole load: far more than its requests can take, far less than for ever."""


@dataclass(frozen=True)
class Fault:
    """What the server does to a request, and what has to become of it."""

    word: str
    status: str
    reason: str = ""
    """Part of what is said of it."""


FAULTS = (
    Fault("reset", "failed", "closed the connection"),
    Fault("hang", "timed_out", "nothing came"),
    Fault("busy", "failed", "HTTP 429"),
    Fault("later", "done"),
    Fault("broken", "failed", "HTTP 500"),
    Fault("latin", "failed", "not UTF-8"),
    Fault("garbage", "failed", "not JSON"),
    Fault("loris", "timed_out", "no end of the answer"),
    Fault("page", "failed", "check its address"),
)
"""`busy` turns away always and `later` once, both with Retry-After."""
WELL = Fault("ok", "done")


def main(arguments: list[str] | None = None) -> bool:
    """Measure, print, record."""
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks faults", description=__doc__)
    parser.add_argument("--requests", type=int, default=REQUESTS, help="of each load")
    count = parser.parse_args(arguments).requests
    figures: dict[str, Any] = {"requests_of_each_load": count, "limit_of_a_request_s": PATIENCE.total}
    bars: dict[str, Bar] = {}
    for part in (every_kind, server_killed, client_stopped, nobody_listens, whole_program, program_cancelled):
        found, held = part(count)
        figures, bars = figures | found, bars | held
    return record("faults", figures, bars)


def every_kind(count: int) -> tuple[dict[str, Any], dict[str, Bar]]:
    """One request in ten, and what is said of each."""
    wanted = wishes(count)
    with faulty_server() as server:
        timed = sent(server, wanted)
    outcomes = timed.carried.outcomes
    told = Counter(fault.word for fault, outcome in zip(wanted, outcomes, strict=True) if _as_wanted(fault, outcome))
    of_each = Counter(fault.word for fault in wanted)
    figures = {f"kinds_{fault.word}_told": told[fault.word] for fault in (WELL, *FAULTS)}
    figures |= {"kinds_requests_with_faults": sum(fault is not WELL for fault in wanted), **timed.figures("kinds")}
    bars: dict[str, Bar] = {f"kinds_{fault.word}_told": ("==", of_each[fault.word]) for fault in (WELL, *FAULTS)}
    return figures, bars | timed.bars("kinds") | {"kinds_unsent": ("==", 0)}


def server_killed(count: int) -> tuple[dict[str, Any], dict[str, Bar]]:
    """The process of the server is gone when two fifths are over."""
    seen = _Counter()
    with faulty_server() as server:
        timed = sent(server, wishes(count), on_outcome=seen.at(2 * count // 5, server.kill))
    refused = sum("Connection refused" in outcome.reason for outcome in timed.carried.outcomes)
    figures = {**timed.figures("killed"), "killed_refused_afterwards": refused}
    bars: dict[str, Bar] = {"killed_unsent": ("==", 0), "killed_refused_afterwards": (">=", count // 4), "killed_done": (">=", count // 3)}
    return figures, timed.bars("killed") | bars


def client_stopped(count: int) -> tuple[dict[str, Any], dict[str, Bar]]:
    """The load ends early: what is done stays done, what was under way is cut off, the rest unsent."""
    seen = _Counter()
    with faulty_server() as server:
        timed = sent(server, wishes(count), on_outcome=seen, stopped=lambda: seen.count >= count // 2)
    bars: dict[str, Bar] = {"stopped_unsent": (">=", 1), "stopped_cut_off": ("<=", CONCURRENCY), "stopped_done": (">=", count // 3)}
    return timed.figures("stopped"), timed.bars("stopped") | bars


def nobody_listens(count: int) -> tuple[dict[str, Any], dict[str, Bar]]:
    """Every connection is refused."""
    with socket.create_server(("127.0.0.1", 0)) as unused:
        port = unused.getsockname()[1]
    timed = sent(_Server(port, None), [WELL] * count)
    return timed.figures("refused"), timed.bars("refused") | {"refused_failed": ("==", count)}


def whole_program(count: int) -> tuple[dict[str, Any], dict[str, Bar]]:
    """`llmopt benchmark` with the faults in a file of prompts, its server killed on the way."""
    with tempfile.TemporaryDirectory() as folder, faulty_server() as server:
        home = Path(folder)
        threading.Thread(target=_kill_after, args=(server, home, count // 3), daemon=True).start()
        began = time.monotonic()
        done = _llmopt(home, *_command(home, server, count), "--json")
        seconds = time.monotonic() - began
    return _of_program("program", count, done, json.loads(done.stdout), seconds, {"program_failed": (">=", count // 3)})


def program_cancelled(count: int) -> tuple[dict[str, Any], dict[str, Bar]]:
    """`llmopt benchmark --detach`, then `llmopt runs cancel`: what was done is kept, and told by `llmopt runs show`."""
    with tempfile.TemporaryDirectory() as folder, faulty_server() as server:
        home = Path(folder)
        began = time.monotonic()
        run = _llmopt(home, *_command(home, server, count), "--detach").stdout.split()[-1]
        reached = _until(home, count // 3, lambda: time.monotonic() < began + LONGEST)
        done = _llmopt(home, "runs", "cancel", run)
        while not (home / "runs" / run / "result.json").exists() and time.monotonic() < began + LONGEST:
            time.sleep(0.1)
        seconds = time.monotonic() - began
        document = json.loads((home / "runs" / run / "result.json").read_text())
        status = json.loads((home / "runs" / run / "state.json").read_text())["status"]
    more: dict[str, Bar] = {"cancelled_unsent": (">=", 1), "cancelled_done": (">=", count // 4), "cancelled_status_is_cancelled": ("==", 1)}
    figures, bars = _of_program("cancelled", count, done, document, seconds, more)
    return figures | {"cancelled_reached": int(reached), "cancelled_status_is_cancelled": int(status == "cancelled")}, bars


def _command(home: Path, server: _Server, count: int) -> tuple[str, ...]:
    prompts = home / "prompts.jsonl"
    lines = [json.dumps({"prompt": f"{fault.word} {index}", "output_tokens": 8}) for index, fault in enumerate(wishes(count))]
    prompts.write_text("\n".join(lines))
    limits = ("--timeout", f"{PATIENCE.total}", "--silence", f"{PATIENCE.silence}", "--retries", f"{PATIENCE.retries}", "--warmup", "0")
    load = ("--prompts", str(prompts), "--requests", str(count), "--concurrency", str(CONCURRENCY), "--served-model", "m", "--style", "chat")
    return ("benchmark", server.url, *load, *limits)


def _llmopt(home: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    environment = os.environ | {"LLMOPT_HOME": str(home), "PYTHONPATH": str(ROOT)}
    return subprocess.run([*LLMOPT, *arguments], cwd=home, env=environment, capture_output=True, text=True, timeout=LONGEST, check=False)


def _of_program(
    name: str, count: int, done: subprocess.CompletedProcess[str], document: Mapping[str, Any], seconds: float, more: Mapping[str, Bar]
) -> tuple[dict[str, Any], dict[str, Bar]]:
    """What a result says of its requests."""
    requests = document["entries"][0]["requests"] if "entries" in document else {}
    figures = {
        f"{name}_exit_code": done.returncode,
        f"{name}_error": document.get("error"),
        f"{name}_seconds": seconds,
        **{f"{name}_{end}": requests.get(end) for end in ("scheduled", *_ENDS)},
        f"{name}_unaccounted_for": None if not requests else requests["scheduled"] - sum(requests[end] for end in _ENDS),
    }
    bars: dict[str, Bar] = {f"{name}_unaccounted_for": ("==", 0), f"{name}_scheduled": ("==", count), f"{name}_seconds": ("<=", LONGEST)}
    return figures, bars | dict(more)


def _kill_after(server: _Server, home: Path, count: int) -> None:
    if _until(home, count, lambda: server.alive):
        server.kill()


def _until(home: Path, count: int, worth: Callable[[], bool]) -> bool:
    """Wait until the run has told of so many requests; whether it did while the waiting was worth it."""
    while worth():
        time.sleep(0.1)
        if any(event.get("done", 0) >= count for events in home.glob("runs/*/events.jsonl") for event in _events(events)):
            return True
    return False


def _events(path: Path) -> Iterator[dict[str, Any]]:
    for line in path.read_text(errors="replace").splitlines():
        with contextlib.suppress(ValueError):
            event = json.loads(line)
            if isinstance(event, dict) and event.get("type") == "progress":
                yield event


def wishes(count: int) -> list[Fault]:
    """A fault in every tenth place, of all kinds in turn."""
    return [FAULTS[index // 10 % len(FAULTS)] if index % 10 == 5 else WELL for index in range(count)]


_ENDS = ("done", "failed", "timed_out", "unsent")


@dataclass(frozen=True)
class Timed:
    """A load that was carried, and how long it took."""

    carried: LoadResult
    seconds: float

    def figures(self, name: str) -> dict[str, Any]:
        """What became of its requests."""
        counts = counts_of(self.carried.outcomes).model_dump()
        lasted = [(outcome.ended - outcome.free) / 1e9 for outcome in self.carried.outcomes if outcome.ended and outcome.free]
        return {
            **{f"{name}_{end}": counts[end] for end in _ENDS},
            f"{name}_cut_off": sum(outcome.status == "cancelled" for outcome in self.carried.outcomes),
            f"{name}_unaccounted_for": counts["scheduled"] - sum(counts[end] for end in _ENDS),
            f"{name}_longest_request_s": max(lasted),
            f"{name}_seconds": self.seconds,
        }

    def bars(self, name: str) -> dict[str, Bar]:
        """What has to hold of each load."""
        limit = PATIENCE.total + SLACK
        return {f"{name}_unaccounted_for": ("==", 0), f"{name}_longest_request_s": ("<=", limit), f"{name}_seconds": ("<=", LONGEST)}


def sent(server: _Server, wanted: Sequence[Fault], on_outcome: OnOutcome | None = None, stopped: Callable[[], bool] = lambda: False) -> Timed:
    """The load, with the faults where they are wanted."""
    target = Endpoint(server.url, "m")
    requests = [Request(index, 0, body_of(target, f"{fault.word} {index}", 8)) for index, fault in enumerate(wanted)]
    began = time.monotonic()
    carried = run_load(Load(target, requests, CONCURRENCY, closed=True, workers=WORKERS, patience=PATIENCE), on_outcome, stopped)
    return Timed(carried, time.monotonic() - began)


def _as_wanted(fault: Fault, outcome: Outcome) -> bool:
    return outcome.status == fault.status and fault.reason in outcome.reason


def _nothing() -> None:
    """Done where nothing was asked for."""


class _Counter:
    """Counts what is over, and does something once when it is enough."""

    def __init__(self) -> None:
        self.count, self._enough = 0, -1
        self._act: Callable[[], None] = _nothing

    def at(self, enough: int, act: Callable[[], None]) -> _Counter:
        self._enough, self._act = enough, act
        return self

    def __call__(self, _outcome: Outcome) -> None:
        self.count += 1
        if self.count == self._enough:
            self._act()


@dataclass
class _Server:
    port: int
    process: subprocess.Popen[bytes] | None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def alive(self) -> bool:
        return self.process is not None and self.process.poll() is None

    def kill(self) -> None:
        assert self.process is not None
        self.process.kill()


@contextlib.contextmanager
def faulty_server() -> Iterator[_Server]:
    """In a process of its own."""
    command = [sys.executable, "-m", "tests.benchmarks.load._faulty_server"]
    process = subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    assert process.stdout is not None
    assert process.stdin is not None
    try:
        yield _Server(int(process.stdout.readline()), process)
    finally:
        process.kill()
        process.wait()
        process.stdin.close()
        process.stdout.close()


if __name__ == "__main__":
    sys.exit(not main())
