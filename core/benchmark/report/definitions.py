"""What the figures of a report are, as their classes define them."""

from __future__ import annotations

from inspect import getdoc
from typing import Final

from core.benchmark.metrics import RATES, SAMPLES, Goodput
from core.runs.export.report import Cells

_BETTER: Final = {"lower": "less", "higher": "more", "": ""}
_HEAD: Final[Cells] = ("figure", "unit", "better", "what it is")


def definitions() -> list[Cells]:
    """A line a metric: its name, its unit, which way is better, its formula."""
    return [_HEAD, *(_line(metric) for metric in (*SAMPLES, *RATES, Goodput()))]


def _line(metric: object) -> Cells:
    first = (getdoc(type(metric)) or "").split("\n\n")[0].replace("\n", " ").replace("`", "")
    unit = getattr(metric, "unit", "")
    return (str(getattr(metric, "title", "")), "share" if unit == "1" else str(unit), _BETTER[getattr(metric, "better", "")], first)
