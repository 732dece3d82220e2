"""Short expressions over measured figures, for a CI or a verdict: `name.part < 500ms`. What may be named is passed in."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from math import isclose
from operator import eq, ge, gt, le, lt, ne
from typing import Final

from core.errors import RequestError
from core.sanitize import clean

Scales = Mapping[str, float]
"""Units that may be written, "" for none, to what one of them is in the figure's own unit."""

MILLISECONDS: Final[Scales] = {"": 1.0, "ms": 1.0, "s": 1000.0, "us": 0.001}
SHARES: Final[Scales] = {"": 1.0, "%": 0.01}
NATS: Final[Scales] = {"": 1.0, "nat": 1.0, "mnat": 0.001}
COUNTS: Final[Scales] = {"": 1.0, "k": 1000.0}

_FORM = re.compile(r"^\s*([a-z0-9_]+)(?:\.([a-z0-9.]+))?\s*(<=|>=|==|!=|<|>)\s*([0-9]*\.?[0-9]+(?:e[+-]?[0-9]+)?)\s*([a-z/%]*)\s*$", re.IGNORECASE)
_PERCENTILE = re.compile(r"^p\d{1,2}(\.\d+)?$")
_COMPARE: Final[Mapping[str, Callable[[float, float], bool]]] = {
    "<": lt,
    "<=": le,
    ">": gt,
    ">=": ge,
    "==": lambda value, limit: eq(value, limit) or isclose(value, limit, rel_tol=1e-12),
    "!=": ne,
}


@dataclass(frozen=True)
class Expression:
    """One parsed expression; the limit is in the figure's own unit."""

    text: str
    name: str
    part: str
    """As `Measurable.parts` spells it; "" of a figure that is one number."""
    sign: str
    limit: float
    without_part: bool = True
    """Whether the usual part was meant by writing none."""

    def holds(self, value: float) -> bool:
        """Whether a figure, in its own unit, meets the limit."""
        return _COMPARE[self.sign](value, self.limit)


@dataclass(frozen=True)
class Measurable:
    """What an expression may name: one number, or a distribution with parts."""

    scales: Scales
    """Units of the number, or of the usual part."""
    parts: Mapping[str, Scales] = field(default_factory=dict)
    """Units by part, for example `p95`; empty for one number."""
    usual: str = ""
    """The part that is meant when none is written."""


@dataclass(frozen=True)
class Grammar:
    """All that can be named, and an example for who writes something else."""

    measurables: Mapping[str, Measurable]
    example: str
    """As it follows 'write for example'."""

    def parse(self, text: str) -> Expression:
        """Take an expression apart. Raises RequestError: it is none, or names what is not measured; the sentence lists what is."""
        shown = clean(text, limit=80)
        match = _FORM.match(text)
        if match is None:
            raise RequestError(f"the threshold {shown!r} cannot be read: write for example {self.example}")
        name, written, sign, number, unit = match[1].lower(), (match[2] or "").lower(), match[3], float(match[4]), match[5].lower()
        found = self.measurables.get(name)
        if found is None or (written and not found.parts):
            behind = f"choose one of {', '.join(self.measurables)}" if found is None else f"{name} is one number, write it without .{written}"
            raise RequestError(f"the threshold {shown!r} names no metric: {behind}")
        part = f"p{float(written[1:]):g}" if _PERCENTILE.match(written) else written or found.usual
        if part and part not in found.parts:
            raise RequestError(f"the threshold {shown!r} asks for {part}: choose one of {', '.join(found.parts)}")
        scales = found.parts.get(part, found.scales)
        if unit not in scales:
            raise RequestError(f"the threshold {shown!r} has the unit {clean(unit)}: {name} takes {', '.join(filter(None, scales)) or 'none'}")
        return Expression(text.strip(), name, part, sign, number * scales[unit], not written)
