"""The figures above the text of a live run. Pure."""

from __future__ import annotations

from collections.abc import Sequence

from tui.speculate.names import setting
from tui.speculate.tape import SpeculateTape, Tally
from tui.widgets import words
from tui.widgets.live import Line, clip
from tui.widgets.strip import history

SPEED, PLAIN, GAIN = "tokens_per_second", "baseline_tokens_per_second", "speedup"
"""Metrics of a run."""
_POSITIONS = 8


def figures(tape: SpeculateTape, width: int) -> list[Line]:
    """Setting, acceptance so far, its course, speeds. Always four lines, so that nothing below them moves."""
    tally = tape.tally
    if tally is None or tape.setting is None:
        return [(), (), (), ()]
    drafter, gamma, temperature = tape.setting
    text = f"text {tape.begin.prompt + 1}, " if tape.begin is not None else ""
    lines: list[Line] = [
        ((setting(drafter, gamma, temperature), "strong"), (f"  {text}{words.count(tally.rounds)} rounds so far", "muted")),
        _acceptance(tally),
        _course(tape.recent, tally, width),
        _speed(tape, tally),
    ]
    return [clip(line, width) for line in lines]


def _acceptance(tally: Tally) -> Line:
    return (
        ("accepted ", "muted"),
        (words.percent(tally.acceptance, 1), "good"),
        (f" of {words.count(tally.judged)} judged drafts, ", "muted"),
        (words.figure(tally.tokens_per_round, 3), "strong"),
        (" tokens a round", "muted"),
    )


def _course(recent: Sequence[float | None], tally: Tally, width: int) -> Line:
    shares = " ".join(f"{100 * share:.0f}" for share in tally.positions[:_POSITIONS])
    told = f" by position {shares} %" if shares else ""
    room = width - len(told) - len("course ")
    if room < 8:
        return ((told.strip(), "muted"),)
    return (("course ", "muted"), (history(recent, min(room, 40)), "bar"), (told, "muted"))


def _speed(tape: SpeculateTape, tally: Tally) -> Line:
    speed = tape.metrics.get(SPEED) or tally.tokens_per_second
    plain, gain = tape.metrics.get(PLAIN), tape.metrics.get(GAIN)
    if gain is None and speed and plain:
        gain = speed / plain
    parts: list[tuple[str, str]] = []
    if speed:
        parts.append((f"{words.figure(speed, 3)} tokens/s", "strong"))
    if plain:
        parts.append((f"plain decoding {words.figure(plain, 3)}", "muted"))
    if gain:
        parts.append((f"{words.figure(gain, 3)} times as fast", "good" if gain >= 1 else "bad"))
    line: list[tuple[str, str]] = []
    for part in parts:
        line += [(", ", "muted"), part] if line else [part]
    return tuple(line)  # type: ignore[arg-type]
