"""A recommendation as a row, and in full."""

from __future__ import annotations

from collections.abc import Sequence

from core.hardware.plan.advise import Number, Recommendation
from core.measure import units
from core.sanitize import clean
from tui.hardware import words
from tui.hardware.plan import Step
from tui.widgets.live import Line, clip, fit

_TITLE = 36


def head(width: int) -> Line:
    """The head of the list."""
    return clip(((f"    {fit('way', _TITLE)}{'weights':>10}{'left':>11}  next step", "muted"),), width - 1)


def row(rank: int, advice: Recommendation) -> Line:
    """One way to serve the model, with what it leaves and what enter does."""
    sizes = {number.name.split(" ")[0]: number.value for number in advice.numbers}
    weights, left = (sizes.get(name) for name in ("weights", "left"))
    fits = left is None or left >= 0
    doable = advice.why_not is None
    mark = f"{rank}." if doable else "x "
    return (
        (f"{mark:<3}", "accent" if doable else "muted"),
        (fit(clean(advice.title), _TITLE), "" if doable else "muted"),
        (f"{words.size(weights):>10}", words.known(words.size(weights))),
        (f"{words.size(left) if fits else 'missing':>11}  ", "" if fits else "bad"),
        (_way(advice), "good" if advice.action is not None and doable else "muted"),
    )


def full(advice: Recommendation, steps: Sequence[Step]) -> list[tuple[str, str]]:
    """(name, text) of everything known about it."""
    rows = [("not here", clean(advice.why_not))] if advice.why_not is not None else []
    rows.append(("why", clean(advice.reason)))
    if advice.statement:
        rows.append(("note", clean(advice.statement)))
    rows += [(step.purpose, clean(step.command)) for step in steps]
    return rows + [_number(number, advice.label) for number in advice.numbers]


def _number(number: Number, label: str) -> tuple[str, str]:
    """`speed limit of one sequence` and `weights on each of 2 GPUs` say in their text what they are of."""
    name, of, rest = clean(number.name).partition(" of " if " on each of " not in number.name else " on each of ")
    whose = f"{of}{rest}" if of else ""
    return name, f"{_figure(number)}{whose} ({label}: {clean(number.how)})"


def _way(advice: Recommendation) -> str:
    if advice.why_not is not None:
        return "not possible here"
    return "enter: Quantize" if advice.action is not None else "y: copy command" if advice.command else ""


def _figure(number: Number) -> str:
    if number.unit == "byte":
        return words.size(number.value)
    many = "s" if number.value != 1 and number.unit.isalpha() else ""
    return f"{units.number(round(number.value))} {number.unit}{many}"
