"""Run every benchmark that can run here: `python -m tests.benchmarks [NAME ...]`; 1 when a bar is missed.

Each module runs in a process of its own, so that one benchmark's memory or imports do not colour another's figures.
A module that needs something this machine lacks exits with 77 and says what.
"""

from __future__ import annotations

import pkgutil
import subprocess
import sys
import time

import tests.benchmarks as package

NOT_BENCHMARKS = {"__main__", "meanings", "page", "report"}
CANNOT_RUN_HERE = 77

_VERDICTS = {0: "met", CANNOT_RUN_HERE: "not run"}


def names() -> list[str]:
    """The benchmark modules of this folder, in alphabetical order."""
    found = (module.name for module in pkgutil.iter_modules(package.__path__))
    return sorted(name for name in found if name not in NOT_BENCHMARKS and not name.startswith(("test_", "conftest", "_")))


def main(chosen: list[str]) -> int:
    """Run the chosen benchmarks, all by default, and print one verdict a module at the end."""
    known = names()
    if unknown := [name for name in chosen if name not in known]:
        print(f"no benchmark {unknown[0]}: choose from {', '.join(known)}", file=sys.stderr)
        return 2
    verdicts: dict[str, tuple[int, float]] = {}
    for name in chosen or known:
        print(f"\n== {name}", flush=True)
        began = time.monotonic()
        code = subprocess.run([sys.executable, "-m", f"tests.benchmarks.{name}"], check=False).returncode
        verdicts[name] = code, time.monotonic() - began
    print()
    for name, (code, seconds) in verdicts.items():
        print(f"{name:<40} {_VERDICTS.get(code, 'MISSED')}  {seconds:.0f} s")
    return 1 if any(code not in _VERDICTS for code, _ in verdicts.values()) else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
