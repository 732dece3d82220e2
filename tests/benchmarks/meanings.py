"""What each benchmark shows and what each of its figures means, as `meanings.toml` says."""

from __future__ import annotations

import tomllib
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from pathlib import Path

_FILE = tomllib.loads(Path(__file__).with_suffix(".toml").read_text())


@dataclass(frozen=True)
class Benchmark:
    """One benchmark in the words of the page."""

    area: str
    title: str
    shows: str
    figures: dict[str, str] = field(default_factory=dict)
    """Pattern of a figure's name to its meaning; * is the variant that was measured."""


BENCHMARKS: dict[str, Benchmark] = {name: Benchmark(**given) for name, given in _FILE["benchmark"].items()}


def meaning(benchmark: str, figure: str) -> str | None:
    """What a figure means, by the name itself or else the first pattern that fits; None when nobody wrote it down."""
    known = BENCHMARKS[benchmark].figures | {pattern: text for pattern, text in _FILE["any"].items() if pattern not in BENCHMARKS[benchmark].figures}
    return known.get(figure) or next((text for pattern, text in known.items() if fnmatchcase(figure, pattern)), None)
