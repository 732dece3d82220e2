"""How a benchmark speaks: figures against bars on stdout, the same as JSON in results/<name>.json.

A benchmark module lies in a folder of this one, has `main() -> bool` and ends in `sys.exit(not main())`, so that a missed bar is an exit code.
"""

from __future__ import annotations

import json
import operator
import os
import platform
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import Any

RESULTS = Path(__file__).parent / "results"
CANNOT_RUN_HERE = 77
"""Exit code of a benchmark that needs something this machine lacks."""

_COMPARE: dict[str, Callable[[float, float], bool]] = {"<=": operator.le, "<": operator.lt, ">=": operator.ge, ">": operator.gt, "==": operator.eq}
_PACKAGES = ("torch", "transformers", "textual", "safetensors", "numpy")

Bar = tuple[str, float]


def record(name: str, figures: Mapping[str, Any], bars: Mapping[str, Bar], *, results: Path = RESULTS) -> bool:
    """Print every figure beside its bar and keep them in results/<name>.json.

    Args:
        name: file stem of the result, the benchmark module's name.
        figures: figure name with its unit ("peak_rss_bytes") to a JSON value; a figure without a bar is printed as context.
        bars: figure name to (comparison, threshold), for example ("<=", 0.75). A bar whose figure is missing or None has failed.
        results: folder that receives the JSON.

    Returns:
        True when every bar is met.
    """
    verdicts = {key: _met(figures.get(key), bar) for key, bar in bars.items()}
    for key in [*figures, *(key for key in bars if key not in figures)]:
        print(_line(key, figures.get(key), bars.get(key), verdicts.get(key)), flush=True)
    document = {
        "name": name,
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "machine": machine(),
        "versions": versions(),
        "figures": dict(figures),
        "bars": {
            key: {"bar": f"{symbol} {threshold:g}", "figure": figures.get(key), "passed": verdicts[key]} for key, (symbol, threshold) in bars.items()
        },
        "passed": all(verdicts.values()),
    }
    results.mkdir(parents=True, exist_ok=True)
    temporary = results / f".{name}.{os.getpid()}.tmp"
    temporary.write_text(json.dumps(document, indent=2) + "\n")
    temporary.replace(results / f"{name}.json")
    return all(verdicts.values())


def machine() -> dict[str, Any]:
    """What the figures were measured on, without names of hosts or people."""
    return {"cpu": _cpu(), "cores": len(os.sched_getaffinity(0)), "architecture": platform.machine(), "system": platform.system()}


def versions() -> dict[str, str]:
    """Python and the packages whose speed or arithmetic the figures depend on."""
    found = {"python": platform.python_version()}
    for package in _PACKAGES:
        try:
            found[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            continue
    return found


def _met(figure: Any, bar: Bar) -> bool:
    symbol, threshold = bar
    return figure is not None and _COMPARE[symbol](figure, threshold)


def _line(key: str, figure: Any, bar: Bar | None, met: bool | None) -> str:
    shown = f"{figure:.6g}" if isinstance(figure, float) else str(figure)
    verdict = "" if bar is None else f"  bar {bar[0]} {bar[1]:g}  {'met' if met else 'MISSED'}"
    return f"{key:<48} {shown:>14}{verdict}"


def _cpu() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor()
    return next((line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")), platform.processor())
