"""Cancel every experiment at random times from its start on: by ctrl+c once or twice, or from another terminal.

Each run must be stored as cancelled with exit code 130, and the command that waited for it must end with 130. A run that was over before it was
asked to stop counts as over and is drawn again; one that did not exist yet must leave none.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from core.errors import RequestError
from core.runs.launch.launch import LocalLauncher
from core.runs.registry import CAPABILITIES
from core.runs.state import store
from tests.benchmarks.report import CANNOT_RUN_HERE, record
from tests.core.benchmark.scripted import scripted_server
from tui.cli.app import COMMANDS

ROOT = Path(__file__).parents[3]
LLMOPT = (sys.executable, "-c", "import sys; from tui.cli import main; print('here', flush=True); sys.exit(main())")
"""`llmopt`, which says when it has begun: what comes while Python itself starts, no program of it can hear."""
BASE, SHORT = "bundled:base", ("--eval-tokens", "4096")
LONGEST = 8.0
"""Seconds from the start of the command to the latest cancel."""
ON_THE_EDGE = 0.5
"""A run that ends this soon after the request to stop had ended by itself."""
ADDRESS, SEEDS = "ADDRESS", "SEEDS"
"""In arguments: a server that takes 0.4 s for an answer, and a file of 400 prompts for it."""
WAYS = ("ctrl+c", "ctrl+c", "ctrl+c twice", "elsewhere")

ARGUMENTS: dict[str, tuple[str, ...]] = {
    "quantize": (BASE, "--method", "gptq", *SHORT),
    "quantize-compare": (BASE, *SHORT),
    "prune": (BASE, "--method", "sparsegpt", *SHORT),
    "prune-compare": (BASE, *SHORT),
    "distill": (BASE, "--layers", "7", *SHORT),
    "distill-compare": (BASE, "--steps", "10", *SHORT),
    "distill-data": (ADDRESS, "--seeds", SEEDS, "--concurrency", "4"),
    "verify": (BASE,),
    "evaluate": (BASE, "--tokens", "16384"),
    "kv-cache": (BASE,),
    "kv-cache-why": (BASE,),
    "kv-cache-pages": (BASE,),
    "speculate": (BASE,),
    "speculate-test": (BASE,),
    "benchmark": (BASE, "--requests", "200"),
    "benchmark-compare": (BASE, "--requests", "100"),
    "benchmark-machine": (BASE,),
    "serve": ("runtime", BASE),
}
"""Command-line arguments of each experiment that has a command, on the bundled model."""
EXPERIMENTS = CAPABILITIES.keys() & {name for name, *_ in COMMANDS}


PLACES: dict[str, str] = {}
"""Values of `ADDRESS` and `SEEDS`."""


@dataclass(frozen=True)
class Outcome:
    """How one try ended: `cancelled`, `over` before it was asked to, `unborn` (no run was made), or a sentence of what is wrong."""

    verdict: str
    seconds: float
    """From the request to stop until the command had ended."""


def main() -> bool:
    """Cancel until `--runs` runs were stored, experiments in turns; print and record."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--runs", type=int, default=200)
    parser.add_argument("--seed", type=int, default=time.time_ns() % 10**6)
    parser.add_argument("--of", choices=ARGUMENTS, nargs="*", default=list(ARGUMENTS), help="experiments")
    asked = parser.parse_args()
    if not any((ROOT / "core/models/bundled/base").glob("*.safetensors")):
        print("the bundled model is not in this checkout")
        sys.exit(CANNOT_RUN_HERE)
    draw, counted, wrong, longest = random.Random(asked.seed), Counter[str](), list[str](), 0.0
    with tempfile.TemporaryDirectory() as folder, scripted_server() as server:
        os.environ["LLMOPT_HOME"] = folder
        seeds = Path(folder) / "seeds.jsonl"
        seeds.write_text("\n".join(json.dumps({"prompt": f"slow {number}"}) for number in range(400)))
        PLACES.update({ADDRESS: server.url, SEEDS: str(seeds)})
        while counted["cancelled"] + len(wrong) < asked.runs:
            key = asked.of[sum(counted.values()) % len(asked.of)]
            way, moment = draw.choice(WAYS), draw.uniform(0.0, LONGEST)
            outcome = cancelled_at(key, way, moment)
            while outcome.verdict == "over":
                counted["over"] += 1
                moment = draw.uniform(0.0, moment)
                outcome = cancelled_at(key, way, moment)
            longest = max(longest, outcome.seconds)
            if outcome.verdict in {"cancelled", "unborn"}:
                counted[outcome.verdict] += 1
            else:
                counted["wrong"] += 1
                wrong.append(f"{key}, {way}, {moment:.2f} s: {outcome.verdict}")
                print(wrong[-1], flush=True)
    figures = {
        "runs": counted["cancelled"] + len(wrong),
        "stored_cancelled": counted["cancelled"],
        "wrong": wrong,
        "not_cancelled": len(wrong),
        "before_there_was_a_run": counted["unborn"],
        "over_before": counted["over"],
        "longest_stop_seconds": longest,
        "experiments": len(asked.of),
        "seed": asked.seed,
    }
    return record("random_cancels", figures, {"runs": (">=", 200), "not_cancelled": ("==", 0), "experiments": ("==", len(EXPERIMENTS))})


def cancelled_at(key: str, way: str, moment: float) -> Outcome:
    """Start experiment `key`, ask it to stop in one of `WAYS` `moment` seconds after its command has begun, and look at what is stored."""
    known = {run.id for run in store.list_runs()}
    options = () if key == "serve" else ("--device", "cpu")
    front = subprocess.Popen(
        [*LLMOPT, key, *(PLACES.get(word, word) for word in ARGUMENTS[key]), *options],
        cwd=ROOT,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=_listen,
    )
    assert front.stdout is not None
    assert front.stdout.readline() == "here\n"
    time.sleep(moment)
    pressed, ended = time.time(), front.poll() is not None
    # The command of a server ends when that answers.
    over = not (_cancelled_elsewhere(known, front) if ended or way == "elsewhere" else _pressed(front, times=2 if way == "ctrl+c twice" else 1))
    try:
        _, said = front.communicate(timeout=60)
    except subprocess.TimeoutExpired:
        front.kill()
        front.communicate()
        return Outcome("the command did not end within 60 s", 60.0)
    seconds = time.time() - pressed
    states = [run.state for run in store.list_runs() if run.id not in known]
    if over or any(state.status == "done" and (state.ended or 0.0) < pressed + ON_THE_EDGE for state in states):
        return Outcome("over", 0.0)
    if front.returncode != 130 and not ended:
        return Outcome(f"exit code {front.returncode}: {said[-300:]}", seconds)
    stored = [(state.status, state.exit_code) for state in states]
    if stored not in ([], [("cancelled", 130)]):
        return Outcome(f"stored as {stored} ({states[0].exit_reason})", seconds)
    return Outcome("cancelled" if stored else "unborn", seconds)


def _pressed(front: subprocess.Popen[str], times: int) -> bool:
    """Press ctrl+c; True."""
    for _ in range(times):
        if front.poll() is None:
            front.send_signal(signal.SIGINT)
            time.sleep(0.05)
    return True


def _cancelled_elsewhere(known: set[str], front: subprocess.Popen[str]) -> bool:
    """Cancel the run as `llmopt runs cancel` does, once there is one; whether it was not over by then."""
    while True:
        over = front.poll() is not None
        if found := [run for run in store.list_runs() if run.id not in known]:
            try:
                LocalLauncher().cancel(found[0])
            except RequestError:
                return False
            return True
        if over:
            return False
        time.sleep(0.01)


def _listen() -> None:
    """A shell without job control keeps ctrl+c from what it starts."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


if __name__ == "__main__":
    sys.exit(not main())
