"""What a run survives, on the real thing: bundled:base through the command line, killed and cut off from its disk.

The front end is killed with SIGKILL in the middle of a run; the worker is killed with SIGKILL; the output's disk is full; the output's folder is
read-only. The last two need the right to mount a small file system; without it they are left out.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Set
from pathlib import Path
from typing import Any

from tests.benchmarks.report import CANNOT_RUN_HERE, Bar, record

ROOT = Path(__file__).parents[3]
MODEL = "bundled:base"
LLMOPT = [sys.executable, "-c", "from tui.cli import main; raise SystemExit(main())"]
QUICK = ["--method", "rtn", "--eval-tokens", "2048"]


def main() -> bool:
    """Run all four, print and record."""
    if not any((ROOT / "core/models/bundled/base").glob("*.safetensors")):
        print("the bundled model is not in this checkout")
        sys.exit(CANNOT_RUN_HERE)
    figures: dict[str, Any] = {}
    bars: dict[str, Bar] = {}
    with tempfile.TemporaryDirectory() as folder:
        os.environ["LLMOPT_HOME"] = folder
        for measure in (front_killed, worker_killed, full_disk, read_only):
            found, asked = measure(Path(folder))
            figures |= found
            bars |= asked
    return record("run_survival", figures, bars)


def front_killed(home: Path) -> tuple[dict[str, Any], dict[str, Bar]]:
    """Kill the program that started the run; the run ends well and the next look shows it."""
    front = subprocess.Popen([*LLMOPT, "quantize", MODEL, *QUICK], cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    run = started(home)
    front.kill()
    front.wait()
    state = until_over(run)
    listed = next(row for row in llmopt("runs", "list", "--json")["runs"] if row["run"] == run.name)
    whole = state["status"] == listed["status"] == "done" and any(run.glob("artifacts/*/config.json"))
    return {"front_killed_runs_done": int(whole)}, {"front_killed_runs_done": ("==", 1)}


def worker_killed(home: Path) -> tuple[dict[str, Any], dict[str, Bar]]:
    """Kill the worker; the time until the command line shows it as killed by SIGKILL, start of the command included."""
    before = set((home / "runs").iterdir())
    llmopt("quantize", MODEL, *QUICK, "--detach", "--json")
    run = started(home, before)
    os.kill(json.loads((run / "state.json").read_text())["pid"], signal.SIGKILL)
    began = time.monotonic()
    while "SIGKILL" not in str(llmopt("runs", "show", run.name, "--json")["exit_reason"]) and time.monotonic() - began < 60:
        pass
    seconds = time.monotonic() - began
    left = len(list((run / "artifacts").iterdir()))
    return (
        {"worker_killed_shown_after_seconds": seconds, "worker_killed_artifacts_left": left},
        {"worker_killed_shown_after_seconds": ("<=", 2), "worker_killed_artifacts_left": ("==", 0)},
    )


def full_disk(home: Path) -> tuple[dict[str, Any], dict[str, Bar]]:
    """Write the checkpoint to a disk of 2 MiB that holds an earlier output."""
    return on_small_disk(home, "full_disk", "size=2m")


def read_only(home: Path) -> tuple[dict[str, Any], dict[str, Bar]]:
    """Write the checkpoint to a folder that is read-only and holds an earlier output."""
    return on_small_disk(home, "read_only", "size=64m", remount="ro")


def on_small_disk(home: Path, name: str, options: str, remount: str = "") -> tuple[dict[str, Any], dict[str, Bar]]:
    """Exit code, lines that explain it, and whether an earlier file is as it was and the only one."""
    place = home / name
    place.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", options, "tmpfs", place], check=False, capture_output=True).returncode:
        print(f"{name}: no right to mount, left out")
        return {}, {}
    try:
        (place / "earlier").write_text("output")
        if remount:
            subprocess.run(["mount", "-o", f"remount,{remount}", place], check=True)
        answer = subprocess.run(
            [*LLMOPT, "quantize", MODEL, *QUICK, "--out", str(place / "new")], cwd=ROOT, capture_output=True, text=True, check=False
        )
        sentences = [line for line in answer.stderr.splitlines() if line.startswith("llmopt: ")]
        intact = [path.name for path in place.iterdir()] == ["earlier"] and (place / "earlier").read_text() == "output"
    finally:
        subprocess.run(["umount", "-l", place], check=True)
    figures = {f"{name}_exit_code": answer.returncode, f"{name}_sentences": len(sentences), f"{name}_earlier_outputs_untouched": int(intact)}
    return figures, dict.fromkeys(figures, ("==", 1))


def llmopt(*arguments: str) -> Any:
    """The document that a command answers."""
    return json.loads(subprocess.run([*LLMOPT, *arguments], cwd=ROOT, stdout=subprocess.PIPE, check=True).stdout)


def started(home: Path, before: Set[Path] = frozenset()) -> Path:
    """The folder of the run that is not in `before`, once it quantizes."""
    while True:
        for run in set((home / "runs").glob("2*")) - before:
            if any("layer_error" in line for line in (run / "events.jsonl").read_text().splitlines()):
                return run
        time.sleep(0.01)


def until_over(run: Path) -> dict[str, Any]:
    """The final state of a run."""
    while (state := json.loads((run / "state.json").read_text()))["status"] in {"queued", "running"}:
        time.sleep(0.05)
    return dict(state)


if __name__ == "__main__":
    sys.exit(not main())
