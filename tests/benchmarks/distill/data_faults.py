"""Whether no answer of a teacher is lost or asked for twice: `python -m tests.benchmarks data_faults [--requests N]`.

`llmopt distill-data` asks for 10,000 answers of a server at which one request in ten meets a fault, of ten kinds in turn, that is over when it is
asked again; one kind repeats the request's header with the key in it. The worker is killed (SIGKILL) twice, at a third and at two thirds, and the run
resumed. Then one more run with the same answers has to ask for nothing.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from core.distill.data.run import ANSWERS
from tests.benchmarks.load.faults import faulty_server
from tests.benchmarks.report import Bar, record

ROOT = Path(__file__).parents[3]
LLMOPT = (sys.executable, "-c", "from tui.cli import main; raise SystemExit(main())")
REQUESTS, CONCURRENCY = 10_000, 64
FAULTS = ("reset", "hang", "busy", "broken", "latin", "garbage", "loris", "page", "echo", "later")
VARIABLE, KEY = "LLMOPT_BENCHMARK_KEY", "sk-benchmark-5e0c6c9d1a"
LONGEST = 300.0
"""Seconds that one start may take."""


def main(arguments: list[str] | None = None) -> bool:
    """Ask, kill, resume, count, record."""
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks data_faults", description=__doc__)
    parser.add_argument("--requests", type=int, default=REQUESTS)
    count = parser.parse_args(arguments).requests
    with tempfile.TemporaryDirectory() as folder, faulty_server() as server:
        home = Path(folder)
        seeds = home / "seeds.jsonl"
        seeds.write_text("\n".join(json.dumps({"prompt": prompt}) for prompt in prompts(count)))
        limits = ("--timeout", "3", "--silence", "1.5", "--retries", "8", "--concurrency", str(CONCURRENCY))
        command = ("distill-data", server.url, "--seeds", str(seeds), "--key-env", VARIABLE, "--price-in", "1", "--price-out", "4", *limits)
        began = time.monotonic()
        name = llmopt(home, *command, "--detach").stdout.split()[-1]
        run = home / "runs" / name
        answers = run / "artifacts" / ANSWERS
        killed = []
        for part in (1, 2):
            killed.append(killed_at(run, answers, part * count // 3))
            if part == 1:
                llmopt(home, "runs", "resume", name, "--detach")
        done = llmopt(home, "runs", "resume", name, "--json")
        seconds = time.monotonic() - began
        document = json.loads(done.stdout)
        again = json.loads(llmopt(home, *command, "--answers", str(answers), "--json").stdout)
        lines = [json.loads(line) for line in answers.read_bytes().splitlines()]
        leaks = [path.name for path in home.rglob("*") if path.is_file() and KEY.encode() in path.read_bytes()]
        said = done.stdout + done.stderr
    keys = [line["key"] for line in lines]
    asked, found = set(prompts(count)), {line["messages"][0]["content"] for line in lines}
    metrics = document["metrics"]
    figures: dict[str, Any] = {
        "requests": count,
        "requests_with_faults": sum(not prompt.startswith("ok") for prompt in asked),
        "killed_at_answers": killed,
        "exit_code": done.returncode,
        "answers": len(lines),
        "lost": len(asked - found),
        "twice": len(keys) - len(set(keys)),
        "foreign": len(found - asked),
        "failed": metrics["failed"],
        "retries": metrics["retries"],
        "wrong_texts": sum(line["answer"] != "abc" for line in lines),
        "tokens_off": metrics["completion_tokens"] - 3 * count,
        "cost_off": round(metrics["cost"] - (2 * count * 1 + 3 * count * 4) / 1e6, 9),
        "examples_and_removed_off": metrics["examples"] + metrics["removed"] + metrics["held_out"] - count,
        "asked_again_by_a_second_run": again["metrics"]["answered"],
        "files_with_the_key": leaks,
        "key_leaks": len(leaks) + (KEY in said),
        "seconds": seconds,
        "answers_per_second": metrics["answers_per_second"],
    }
    nothing = ("lost", "twice", "foreign", "failed", "wrong_texts", "tokens_off", "cost_off", "examples_and_removed_off")
    bars: dict[str, Bar] = dict.fromkeys((*nothing, "exit_code", "asked_again_by_a_second_run", "key_leaks"), ("==", 0))
    return record("data_faults", figures, bars | {"answers": ("==", count), "retries": (">=", count // 20)})


def prompts(count: int) -> list[str]:
    """One in ten meets a fault."""
    return [prompt(number, FAULTS[number // 10 % len(FAULTS)]) if number % 10 == 5 else f"ok {number}" for number in range(count)]


def prompt(number: int, kind: str) -> str:
    """For the scripted server: a fault, once."""
    return f"later {number}" if kind == "later" else f"once {kind} {number}"


def killed_at(run: Path, answers: Path, enough: int) -> int:
    """Kill the worker of a run when it has so many answers; how many it had then."""
    deadline = time.monotonic() + LONGEST
    while not answers.exists() or answers.read_bytes().count(b"\n") < enough:
        if time.monotonic() > deadline:
            raise RuntimeError(f"no {enough} answers within {LONGEST:g} s: {(run / 'log.txt').read_text()[-500:]}")
        time.sleep(0.02)
    state = json.loads((run / "state.json").read_text())
    os.kill(state["pid"], signal.SIGKILL)
    while json.loads((run / "state.json").read_text())["status"] == "running" and time.monotonic() < deadline:
        time.sleep(0.02)
    return answers.read_bytes().count(b"\n")


def llmopt(home: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """The command line with the key in its environment."""
    environment = os.environ | {"LLMOPT_HOME": str(home), "PYTHONPATH": str(ROOT), VARIABLE: KEY}
    return subprocess.run([*LLMOPT, *arguments], cwd=home, env=environment, capture_output=True, text=True, timeout=LONGEST, check=False)


if __name__ == "__main__":
    sys.exit(not main())
