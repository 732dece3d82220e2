"""Run benchmarks: `python -m tests.benchmarks [NAME ...] [OPTIONS] [-- ARGUMENTS]`; 1 when a bar is missed.

Without a name every benchmark runs; options and arguments go to the one that is named. Each runs in a process of its own, so that one's memory or
imports do not colour another's figures. One that needs something this machine lacks says what and counts as not run.
"""

from __future__ import annotations

import subprocess
import sys
import time
from itertools import takewhile
from pathlib import Path

from tests.benchmarks.report import CANNOT_RUN_HERE

_VERDICTS = {0: "met", CANNOT_RUN_HERE: "not run"}


def modules() -> dict[str, str]:
    """Module path of each benchmark by its name, in alphabetical order of names."""
    files = (file for file in Path(__file__).parent.glob("*/*.py") if not file.name.startswith(("test_", "_")))
    return {file.stem: f"tests.benchmarks.{file.parent.name}.{file.stem}" for file in sorted(files, key=lambda file: file.stem)}


def main(arguments: list[str]) -> int:
    """Run the named benchmarks, all by default, and print one verdict a benchmark at the end."""
    known = modules()
    chosen = list(takewhile(lambda word: not word.startswith("-"), arguments))
    passed_on = arguments[len(chosen) :]
    if unknown := [name for name in chosen if name not in known]:
        print(f"no benchmark {unknown[0]}: choose from {', '.join(known)}", file=sys.stderr)
        return 2
    if passed_on and len(chosen) != 1:
        print(f"name one benchmark that {passed_on[0]} is for, got {len(chosen)}", file=sys.stderr)
        return 2
    verdicts: dict[str, tuple[int, float]] = {}
    for name in chosen or known:
        print(f"\n== {name}", flush=True)
        began = time.monotonic()
        command = [sys.executable, "-m", known[name], *(word for word in passed_on if word != "--")]
        verdicts[name] = subprocess.run(command, check=False).returncode, time.monotonic() - began
    print()
    for name, (code, seconds) in verdicts.items():
        print(f"{name:<40} {_VERDICTS.get(code, 'MISSED')}  {seconds:.0f} s")
    return 1 if any(code not in _VERDICTS for code, _ in verdicts.values()) else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
