"""Load generators that are held against a server of known times: this program's own, and two of the field from environments of their own.

`LLMOPT_PEER_GUIDELLM` and `LLMOPT_PEER_AIPERF` name the Pythons of those. All send the same load: as many streams as are asked for, each with
the next request when its last is answered, answers of the same length.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from core.benchmark.calibrate.calibrate import calibrated_server, query

ROOT = Path(__file__).parents[3]
TOKENIZER = ROOT / "core/models/bundled/base"
LLMOPT = (sys.executable, "-c", "from tui.cli import main; raise SystemExit(main())")
PROMPT_TOKENS = 128
PATIENCE = 180.0
"""Seconds for one run of a tool."""


@dataclass(frozen=True)
class Streams:
    """A load."""

    count: int
    requests: int
    tokens: int
    """Of each answer."""


@dataclass(frozen=True)
class Seen:
    """What a tool reports, medians in milliseconds."""

    done: int
    ttft: float
    """From the moment of sending."""
    gap: float | None
    """Between two pieces; None where the tool does not tell it."""
    mean_gap: float
    """Of a request: (last piece - first) / (pieces - 1), which some tools call inter-token latency."""
    ttft_due: float | None = None
    """From the moment at which the request was due, where the tool tells it."""


@dataclass(frozen=True)
class Measured:
    """What a tool reports beside what the server did to it."""

    seen: Seen
    truth: Mapping[str, Any]
    version: str

    @property
    def ttft_error(self) -> float:
        """Share of the truth."""
        return _off(self.seen.ttft, self.truth["ttft_p50_ms"])

    @property
    def ttft_due_error(self) -> float | None:
        """Share of the truth, from the moment at which a request was due: what it waited in the client is in it."""
        return None if self.seen.ttft_due is None else _off(self.seen.ttft_due, self.truth["ttft_p50_ms"])

    @property
    def gap_error(self) -> float | None:
        """Share of the truth, of the gaps between pieces."""
        return None if self.seen.gap is None else _off(self.seen.gap, self.truth["itl_p50_ms"])

    @property
    def mean_gap_error(self) -> float:
        """Share of the truth, of a request's mean gap."""
        return _off(self.seen.mean_gap, self.truth["tpot_p50_ms"])

    @property
    def distance(self) -> float:
        """The larger of the errors of time to first token and of inter-token latency; of two kinds of the latter the better one."""
        gaps = [error for error in (self.gap_error, self.mean_gap_error) if error is not None]
        return max(self.ttft_error, min(gaps))


@dataclass(frozen=True)
class Tool:
    """A load generator."""

    name: str
    command: Callable[[str, Streams, Path], Sequence[str]]
    """From the server's address, the load and a folder for the report."""
    read: Callable[[Path], Seen]
    environment: Mapping[str, str | None]
    """What is set beside the environment of this process; None: not set."""
    version: Callable[[], str]


class ToolFailed(Exception):
    """A tool ended with an error or not at all; the message is the last lines that it said."""


def run(tool: Tool, load: Streams) -> Measured:
    """One run against a server of its own.

    Raises:
        ToolFailed: no report.
    """
    with tempfile.TemporaryDirectory() as scratch, calibrated_server() as url:
        folder = Path(scratch)
        _wait(tool, tool.command(url, load, folder), folder)
        truth = query(url, "truth")
        try:
            return Measured(tool.read(folder), truth, tool.version())
        except (OSError, ValueError, LookupError, TypeError) as error:
            raise ToolFailed(f"{tool.name} left a report that was not understood ({type(error).__name__}: {error})") from error


def _wait(tool: Tool, command: Sequence[str], folder: Path) -> None:
    """Start a tool and wait for its end; standard output is kept in `folder`/out."""
    wanted: dict[str, str | None] = {**os.environ, **tool.environment, "TOKENIZERS_PARALLELISM": "false", "LLMOPT_HOME": str(folder / "home")}
    environment = {name: value for name, value in wanted.items() if value is not None}
    with (folder / "out").open("wb") as out, (folder / "log").open("wb") as log:
        process = subprocess.Popen(command, cwd=folder, env=environment, stdin=subprocess.DEVNULL, stdout=out, stderr=log, start_new_session=True)
        try:
            process.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            raise ToolFailed(f"{tool.name} did not end within {PATIENCE:g} s") from None
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
    if process.returncode:
        last = [line for name in ("out", "log") for line in (folder / name).read_text(errors="replace").splitlines() if line.strip()][-8:]
        raise ToolFailed(f"{tool.name} ended with {process.returncode}: " + "\n".join(last))


def _off(found: float, truth: float) -> float:
    return abs(found - truth) / truth


def _llmopt(url: str, load: Streams, _folder: Path) -> Sequence[str]:
    options = ("--warmup", "0", "--input-tokens", str(PROMPT_TOKENS), "--output-tokens", str(load.tokens), "--json")
    return (*LLMOPT, "benchmark", url, "--concurrency", str(load.count), "--requests", str(load.requests), *options)


def _read_llmopt(folder: Path) -> Seen:
    entry = json.loads((folder / "out").read_text())["entries"][0]
    of = {tag: figure["p50"] for tag, figure in entry["levels"][-1]["metrics"].items()}
    return Seen(entry["requests"]["done"], of["ttft_sent_ms"], of["itl_ms"], of["tpot_ms"], of["ttft_ms"])


def _llmopt_version() -> str:
    from core import __version__

    return __version__


def _guidellm(python: str) -> Callable[[str, Streams, Path], Sequence[str]]:
    def command(url: str, load: Streams, folder: Path) -> Sequence[str]:
        return (
            *(str(Path(python).with_name("guidellm")), "run", "--disable-console"),
            *("--backend", f"kind=openai_http,target={url},model=calibrated"),
            *("--profile", f"kind=concurrent,streams={load.count}"),
            *("--constraint", f"kind=max_requests,count={load.requests}"),
            *("--tokenizer", f"kind=huggingface_auto,model={TOKENIZER}"),
            *("--data", f"kind=synthetic_text,prompt_tokens={PROMPT_TOKENS},output_tokens={load.tokens}"),
            *("--output", f"kind=json,path={folder / 'report.json'}"),
        )

    return command


def _read_guidellm(folder: Path) -> Seen:
    metrics = json.loads((folder / "report.json").read_text())["benchmarks"][0]["metrics"]
    ttft, gap = (metrics[name]["successful"]["percentiles"]["p50"] for name in ("time_to_first_token_ms", "inter_token_latency_ms"))
    return Seen(metrics["request_totals"]["successful"], ttft, None, gap)


def _aiperf(python: str) -> Callable[[str, Streams, Path], Sequence[str]]:
    def command(url: str, load: Streams, folder: Path) -> Sequence[str]:
        return (
            *(str(Path(python).with_name("aiperf")), "profile", "-m", "calibrated", "-u", url, "--endpoint-type", "chat", "--streaming"),
            *("--concurrency", str(load.count), "--request-count", str(load.requests), "--ui", "none", "--export-level", "summary"),
            *("--isl", str(PROMPT_TOKENS), "--osl", str(load.tokens), "--tokenizer", str(TOKENIZER), "--use-server-token-count"),
            *("--no-server-metrics", "--no-gpu-telemetry", "--artifact-dir", str(folder / "report")),
        )

    return command


def _read_aiperf(folder: Path) -> Seen:
    report = json.loads((folder / "report/profile_export_aiperf.json").read_text())
    ttft, gap, mean = (report[name]["p50"] for name in ("time_to_first_token", "inter_chunk_latency", "inter_token_latency"))
    return Seen(int(report["completed_request_count"]["avg"] - report.get("error_request_count", {"avg": 0})["avg"]), ttft, gap, mean)


def _version(python: str, package: str) -> Callable[[], str]:
    code = f"import importlib.metadata as m; print(m.version({package!r}))"
    return lambda: subprocess.run([python, "-c", code], capture_output=True, text=True, check=False).stdout.strip()


OURS = Tool("llmopt", _llmopt, _read_llmopt, {"PYTHONPATH": str(ROOT)}, _llmopt_version)


def peers() -> list[Tool]:
    """Those that are configured. aiperf takes a folder as tokenizer only where it may look online first; it needs no network for it."""
    found = []
    for name, command, read, environment in (
        ("guidellm", _guidellm, _read_guidellm, {"HF_HUB_OFFLINE": "1", "PYTHONPATH": None}),
        ("aiperf", _aiperf, _read_aiperf, {"HF_HUB_OFFLINE": None, "TRANSFORMERS_OFFLINE": None, "PYTHONPATH": None}),
    ):
        if python := os.environ.get(f"LLMOPT_PEER_{name.upper()}"):
            found.append(Tool(name, command(python), read, environment, _version(python, name)))
    return found
